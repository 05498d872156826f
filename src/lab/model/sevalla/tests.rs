//! Sevalla's verbs, on time handed in.

use super::*;
use crate::lab::app::Phase;
use crate::lab::model::tests::Shop;
use crate::lab::release::Fate;
use crate::lab::unknowns::Unknowns;

fn shop(source: Source) -> Shop {
    Shop::of(AppKind::sevalla(source), Unknowns::default())
}

fn ruled_by(rollback_rule: RollbackRule) -> Shop {
    Shop::of(AppKind::sevalla(Source::PrivateGit), Unknowns { rollback_rule, ..Unknowns::default() })
}

/// Asks for what makes a row, and gives its id.
fn made(shop: &mut Shop, write: Write) -> String {
    shop.write(write).expect("a row").expect("its id")
}

/// What the newest row goes back to, by the place of it.
fn gone_back_to(shop: &Shop) -> Option<usize> {
    let seen = shop.see();
    let target = seen.deployments.last()?.goes_back_to()?.to_owned();
    seen.deployments.iter().position(|row| row.id == target)
}

#[test]
fn one_row_is_in_progress_and_each_of_the_later_ones_has_its_turn() {
    let mut shop = shop(Source::PrivateGit);
    let rows = ["v2", "v3", "v4"].map(|version| shop.push(version));
    assert_eq!((shop.see().in_progress, shop.see().pending), (Some(rows[0].clone()), Some(rows[1].clone())));
    for (row, version) in rows.iter().zip(["v2", "v3", "v4"]) {
        assert_eq!(shop.wait(169).see().in_progress.as_ref(), Some(row));
        assert_eq!(shop.wait(1).version(), version);
    }
    assert_eq!(shop.see().in_progress, None);
}

#[test]
fn a_push_makes_a_row_only_where_pushes_are_heard_and_deployed() {
    for (source, deploys) in [
        (Source::PrivateGit, true),
        (Source::StaticSite, true),
        (Source::PublicGit, false),
        (Source::DockerImage, false),
    ] {
        let mut shop = shop(source);
        let pushed = shop.write(Write::Push(Release::good("v2").into())).expect("a push");
        assert_eq!(pushed.is_some(), deploys, "{source:?}");
        made(&mut shop, Write::Deploy);
        assert_eq!(shop.wait(1000).version(), "v2", "{source:?}: the head is deployed all the same");
    }
    let mut shop = shop(Source::PrivateGit);
    shop.write(Write::SetAutoDeploy { on: false }).expect("a change");
    assert_eq!(shop.see().auto_deploy, Some(false));
    assert_eq!(shop.write(Write::Push(Release::good("v2").into())), Ok(None));
    shop.write(Write::SetAutoDeploy { on: true }).expect("a change");
    assert_eq!(shop.wait(1000).version(), "v1", "what was pushed in between is not made up for");
    shop.push("v3");
    assert_eq!(shop.wait(1000).version(), "v3");
}

#[test]
fn a_rollback_picks_by_the_rule_in_force() {
    for (rule, picked) in [
        (RollbackRule::PreviousRow, 1),
        (RollbackRule::PreviousDistinct, 0),
        (RollbackRule::LatestSuccess, 2),
    ] {
        let mut shop = ruled_by(rule);
        shop.released(Release::bad("v2"));
        made(&mut shop, Write::Restart);
        shop.wait(1000);
        made(&mut shop, Write::PickedRollback);
        assert_eq!(gone_back_to(&shop), Some(picked), "{rule:?}");
    }
}

#[test]
fn a_rollback_skips_what_never_was_live_and_a_second_one_leads_forward_again() {
    let mut shop = ruled_by(RollbackRule::PreviousRow);
    shop.released(Release::bad("v2"));
    shop.released(Release { build: Fate::Fails, ..Release::good("v3") });
    made(&mut shop, Write::PickedRollback);
    assert_eq!(shop.wait(1000).version(), "v1");
    made(&mut shop, Write::PickedRollback);
    assert_eq!(shop.wait(1000).version(), "v2", "the row before the live one is the bad one");
}

#[test]
fn a_rollback_while_the_bad_one_never_went_live_goes_too_far() {
    let mut shop = ruled_by(RollbackRule::PreviousRow);
    shop.released(Release::good("v2"));
    shop.released(Release { rollout: Fate::Fails, ..Release::good("v3") });
    made(&mut shop, Write::PickedRollback);
    assert_eq!(shop.wait(1000).version(), "v1");
}

#[test]
fn with_nothing_to_go_back_to_there_is_the_status_of_the_switch() {
    for nothing_to_roll_back in [404, 500] {
        let unknowns = Unknowns { nothing_to_roll_back, ..Unknowns::default() };
        let mut shop = Shop::of(AppKind::sevalla(Source::PrivateGit), unknowns);
        let refused = shop.write(Write::PickedRollback).expect_err("nothing to go back to");
        assert_eq!((refused.status, shop.see().deployments.len()), (nothing_to_roll_back, 1));
    }
    let mut distinct = ruled_by(RollbackRule::PreviousDistinct);
    made(&mut distinct, Write::Restart);
    distinct.wait(1000).write(Write::PickedRollback).expect_err("only one image ever");
}

#[test]
fn restarts_and_rollbacks_reuse_the_build_and_deployments_build() {
    let mut shop = shop(Source::PrivateGit);
    shop.released(Release { build_ms: Some(500), ..Release::good("v2") });
    for (write, ends) in [(Write::Restart, 60), (Write::PickedRollback, 60), (Write::Deploy, 570)] {
        let row = made(&mut shop, write.clone());
        assert_ne!(shop.wait(ends - 1).phase(&row), Phase::Active, "{write:?}");
        assert_eq!(shop.wait(1).phase(&row), Phase::Active, "{write:?}");
    }
    assert_eq!(shop.version(), "v2");
}

#[test]
fn an_image_brings_its_release_back_without_a_build_and_an_unknown_one_is_refused() {
    let mut shop = shop(Source::DockerImage);
    let v1 = shop.see().active.expect("live");
    shop.write(Write::Push(Release::bad("v2").into())).expect("a push");
    made(&mut shop, Write::Deploy);
    assert_eq!(shop.wait(1000).version(), "v2");
    let image = Release::good("v1").image_url("shop");
    let row = made(&mut shop, Write::Redeploy { image: image.clone() });
    assert_eq!(shop.wait(60).phase(&row), Phase::Active);
    let seen = shop.see();
    assert_eq!(seen.deployment(&row).and_then(|row| row.goes_back_to()), Some(v1.as_str()));
    assert_eq!(seen.version.as_deref(), Some("v1"));
    let unknown = shop.write(Write::Redeploy { image: "registry.lab.test/shop:nope".to_owned() });
    assert_eq!(unknown.expect_err("no such image").status, 400);
    let mut git = ruled_by(RollbackRule::PreviousRow);
    git.write(Write::Redeploy { image }).expect_err("not made from an image");
}

#[test]
fn a_static_site_goes_back_to_the_row_it_is_told() {
    let mut shop = shop(Source::StaticSite);
    let v1 = shop.see().active.expect("live");
    shop.released(Release::good("v2"));
    shop.released(Release::bad("v3"));
    let failed = shop.released(Release { build: Fate::Fails, ..Release::good("v4") });
    let mut back_to =
        |target: &str| shop.write(Write::Rollback { target: target.to_owned(), skip_pin: false });
    assert_eq!(back_to(&failed).expect_err("it never was live").status, 400);
    assert_eq!(back_to("nobody").expect_err("unknown").status, 404);
    back_to(&v1).expect("a row");
    assert_eq!(shop.wait(1000).version(), "v1");
}

#[test]
fn what_waits_is_skipped_what_runs_is_cancelled_and_what_ended_has_the_status_of_the_switch() {
    for cancel_of_finished in [404, 409] {
        let unknowns = Unknowns { cancel_of_finished, ..Unknowns::default() };
        let mut shop = Shop::of(AppKind::sevalla(Source::PrivateGit), unknowns);
        let [v2, v3, v4] = ["v2", "v3", "v4"].map(|version| shop.push(version));
        shop.wait(50);
        let mut cancel = |id: &str| shop.write(Write::Cancel { deployment: Some(id.to_owned()) });
        cancel(&v3).expect("a waiting one");
        cancel(&v2).expect("a running one");
        assert_eq!(cancel(&v2).expect_err("it has ended").status, cancel_of_finished);
        let seen = shop.see();
        let started = |id: &str| seen.deployment(id).and_then(|row| row.started_ms);
        assert_eq!((started(&v2), started(&v3)), (Some(10), None));
        assert_eq!(seen.in_progress, Some(v4));
        assert_eq!(shop.wait(170).version(), "v4");
    }
}

#[test]
fn neither_platform_has_the_others_verbs() {
    let mut sevalla = shop(Source::PrivateGit);
    for write in [Write::Commit, Write::Revert, Write::Maintenance, Write::Autoscale] {
        assert_eq!(sevalla.write(write).expect_err("no such thing").status, 400);
    }
    let mut other = Shop::of(AppKind::DigitalOcean, Unknowns::default());
    for write in [Write::PickedRollback, Write::SetAutoDeploy { on: false }] {
        assert_eq!(other.write(write).expect_err("no such thing").status, 400);
    }
    assert_eq!(other.see().auto_deploy, None);
}
