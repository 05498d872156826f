//! What a rollback goes back to, and what it says of itself.

use super::*;

#[test]
fn a_rollback_leaves_its_trace_in_the_answers_and_the_ledger() {
    let mut shop = shop_with_v2(Unknowns::default());
    let [bad, good] = [0, 1].map(|nth| shop.rows()[nth].clone());
    assert_ne!(bad["docker_image_url"], good["docker_image_url"]);
    let made = shop.roll_back();
    assert_eq!((&made["status"], &made["trigger"]), (&json!("waiting"), &json!("ROLLBACK_DEPLOYMENT")));
    assert_eq!(made["steps"], json!(["rollout"]));
    assert_eq!(made["docker_image_url"], good["docker_image_url"]);
    assert_eq!(made["commit_sha"], good["commit_sha"]);
    shop.wait(60_000);
    assert_eq!(shop.live(), "v1");
    let applied = shop.world.ledger.applied(Operation::CreateRollback, "shop");
    assert_eq!(applied.len(), 1);
    assert_eq!(applied[0].target.as_deref(), good["id"].as_str(), "what the platform picked");
    assert_eq!(applied[0].deployment.as_deref(), made["id"].as_str());
    assert_eq!(applied[0].active_before.as_deref(), bad["id"].as_str());
    assert_eq!((applied[0].auto_deploy_before, applied[0].who), (Some(true), Who::Guard));
}

#[test]
fn every_rule_picks_its_own_target() {
    for (rollback_rule, live) in [
        (RollbackRule::PreviousRow, "v2"),
        (RollbackRule::PreviousDistinct, "v1"),
        (RollbackRule::LatestSuccess, "v2"),
    ] {
        let mut shop = shop_with_v2(Unknowns { rollback_rule, ..Unknowns::default() });
        let restart = shop.post("/deployments", &json!({ "is_restart": true }));
        assert_eq!((&restart["trigger"], &restart["steps"]), (&json!("RESTART"), &json!(["rollout"])));
        shop.wait(60_000);
        let picked = match rollback_rule {
            RollbackRule::LatestSuccess => restart["id"].clone(),
            RollbackRule::PreviousRow => shop.rows()[1]["id"].clone(),
            RollbackRule::PreviousDistinct => shop.rows()[2]["id"].clone(),
        };
        shop.roll_back();
        shop.wait(60_000);
        assert_eq!(shop.live(), live, "{rollback_rule:?}");
        let ledger = &shop.world.ledger;
        assert_eq!(ledger.applied(Operation::Restart, "shop").len(), 1);
        let target = ledger.applied(Operation::CreateRollback, "shop")[0].target.as_deref();
        assert_eq!(target, picked.as_str(), "{rollback_rule:?}");
    }
}

#[test]
fn a_target_in_a_rollbacks_body_is_ignored_honoured_or_refused() {
    for (honour_deployment_id, status, live) in
        [(Hint::Ignored, 200, "v2"), (Hint::Honoured, 200, "v1"), (Hint::Refused, 400, "v3")]
    {
        let mut shop = shop_with_v2(Unknowns { honour_deployment_id, ..Unknowns::default() });
        shop.push(Release::bad("v3"));
        let hint = json!({ "deployment_id": shop.rows()[2]["id"] }).to_string();
        assert_eq!(shop.try_to("POST", "/deployments/rollback", &hint).0, status, "{honour_deployment_id:?}");
        shop.wait(60_000);
        assert_eq!(shop.live(), live, "{honour_deployment_id:?}");
    }
}

#[test]
fn a_target_that_a_site_is_told_is_honoured_ignored_or_refused() {
    for (honour_site_target, status, live) in
        [(Hint::Honoured, 201, "v1"), (Hint::Ignored, 201, "v2"), (Hint::Refused, 400, "v2")]
    {
        let unknowns = Unknowns { honour_site_target, ..Unknowns::default() };
        let mut site = shop_of(Source::StaticSite, &LabConfig { unknowns, ..LabConfig::default() });
        site.push(Release::bad("v2"));
        let target = json!({ "deployment_id": site.rows()[1]["id"] }).to_string();
        assert_eq!(site.try_to("POST", "/deployments", &target).0, status, "{honour_site_target:?}");
        site.wait(60_000);
        assert_eq!(site.live(), live, "{honour_site_target:?}");
    }
}

#[test]
fn with_nothing_to_go_back_to_a_rollback_is_a_404_or_a_500() {
    for nothing_to_roll_back in [404, 500] {
        let unknowns = Unknowns { nothing_to_roll_back, ..Unknowns::default() };
        let mut shop = shop_of(Source::PrivateGit, &LabConfig { unknowns, ..LabConfig::default() });
        let (status, error) = shop.try_to("POST", "/deployments/rollback", "");
        assert_eq!((status, &error["status"]), (nothing_to_roll_back, &json!(nothing_to_roll_back)));
        assert_eq!(shop.rows().len(), 1);
        assert!(shop.world.ledger.received(Operation::CreateRollback, "shop")[0].refused.is_some());
    }
}

#[test]
fn a_rollback_may_not_say_what_it_runs_until_it_ends_or_ever() {
    for (null_image, before, after) in [
        (NullImage::Never, false, false),
        (NullImage::UntilItEnds, true, false),
        (NullImage::ForEver, true, true),
        (NullImage::ImageForEver, false, false),
    ] {
        let mut shop = shop_with_v2(Unknowns { null_image, ..Unknowns::default() });
        let is_null = |row: &Value| row["docker_image_url"].is_null() && row["commit_sha"].is_null();
        assert_eq!(is_null(&shop.roll_back()), before, "{null_image:?}");
        shop.wait(60_000);
        let rows = shop.rows();
        assert_eq!((is_null(&rows[0]), is_null(&rows[1])), (after, false), "{null_image:?}");
        let has_no_image = rows[0]["docker_image_url"].is_null();
        assert_eq!(has_no_image, after || null_image == NullImage::ImageForEver, "{null_image:?}");
    }
}

#[test]
fn the_trigger_of_a_rollback_is_one_of_three_words() {
    let triggers =
        [RollbackTrigger::RollbackDeployment, RollbackTrigger::ManualDeploy, RollbackTrigger::Unheard];
    let words = triggers.map(|rollback_trigger| {
        shop_with_v2(Unknowns { rollback_trigger, ..Unknowns::default() }).roll_back()["trigger"].clone()
    });
    assert_eq!(words, ["ROLLBACK_DEPLOYMENT", "MANUAL_DEPLOY", "ARTIFACT_REUSE"]);
}

#[test]
fn an_image_is_brought_back_by_its_name() {
    let image = |tag: &str| Some(Image { tag: tag.to_owned(), digest: None });
    let mut shop = shop_of(Source::DockerImage, &LabConfig::default());
    shop.push(Release { image: image("two"), ..Release::bad("v2") });
    assert_eq!(shop.live(), "v1", "nothing is heard of a push");
    shop.post("/deployments", &json!({}));
    shop.wait(60_000);
    let rows = shop.rows();
    assert_eq!(rows[0]["docker_image_url"], "registry.lab.test/shop:two");
    assert_eq!((&rows[0]["commit_sha"], &rows[0]["git_type"]), (&Value::Null, &Value::Null));
    let back = shop.post("/deployments", &json!({ "docker_image": rows[1]["docker_image_url"] }));
    assert_eq!((&back["trigger"], &back["steps"]), (&json!("MANUAL_DEPLOY"), &json!(["rollout"])));
    shop.wait(60_000);
    assert_eq!(shop.live(), "v1");
    let unknown = shop.try_to("POST", "/deployments", r#"{"docker_image":"registry.lab.test/shop:nope"}"#);
    assert_eq!(unknown.0, 400);
    let applied = shop.world.ledger.applied(Operation::CreateRollback, "shop");
    assert_eq!(applied.len(), 1);
    assert_eq!(applied[0].target.as_deref(), rows[1]["id"].as_str());
    let app = shop.get("");
    assert_eq!((&app["source"], &app["auto_deploy"]), (&json!("dockerImage"), &json!(false)));
}
