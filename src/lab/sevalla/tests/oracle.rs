//! What the ledger says was done is what the model shows was done, under every fault.

use proptest::prelude::*;

use super::*;
use crate::lab::app::Cause;

fn kinds() -> impl Strategy<Value = Kind> {
    prop_oneof![
        any::<bool>().prop_map(|applied| Kind::Status { code: 502, applied }),
        any::<bool>().prop_map(|applied| Kind::Hang { applied }),
        (0..4000u64).prop_map(|after_ms| Kind::AppliedLate { after_ms }),
        Just(Kind::Truncated),
        Just(Kind::TooManyRequests { retry_after: None }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn of_every_rollback(
        calls in prop::collection::vec((0..5usize, 0..3000i64), 1..40),
        faults in prop::collection::vec((kinds(), 1..4u64), 0..3),
    ) {
        let mut shop = shop_with_v2(Unknowns::default());
        for (kind, every) in faults {
            shop.world.faults.add(Fault::on(Target::Writes, kind).when(When::Every(every)));
        }
        let verbs = [
            ("POST", "/deployments/rollback", ""),
            ("POST", "/deployments", r#"{"is_restart":true}"#),
            ("POST", "/deployments", "{}"),
            ("PATCH", "", r#"{"auto_deploy":false}"#),
            ("PATCH", "", r#"{"auto_deploy":true}"#),
        ];
        for (verb, wait) in &calls {
            let (method, path, body) = verbs[*verb];
            shop.ask(Some(GUARD_TOKEN), method, path, body);
            shop.wait(*wait);
        }
        shop.wait(600_000);

        let (app, ledger) = (&shop.world.model.apps[0], &shop.world.ledger);
        let made = |wanted: fn(&Cause) -> bool| app.deployments.iter().filter(|d| wanted(&d.cause)).count();
        let applied = |operation| ledger.applied(operation, "shop");
        let rollbacks = applied(Operation::CreateRollback);
        prop_assert_eq!(rollbacks.len(), made(|c| matches!(c, Cause::Rollback { .. })));
        prop_assert_eq!(applied(Operation::Restart).len(), made(|c| *c == Cause::Restart));
        prop_assert_eq!(ledger.entries.len(), calls.len() + 1, "every write is in it once");
        for entry in rollbacks {
            let row = entry.deployment.as_ref().and_then(|id| app.place_of(id));
            let target = row.and_then(|row| app.deployments[row].goes_back_to());
            prop_assert!(target.is_some() && entry.target.as_deref() == target);
        }
        prop_assert!(app.in_progress.is_none() && app.queue.is_empty(), "all of it ends");
    }
}
