//! An incident in a sentence.

use super::Known;
use crate::decision::observation::Request;
use crate::decision::state::Outcome;
use crate::journal::IncidentRecord;

/// The whole of it.
pub(super) fn headline(record: &IncidentRecord, known: &Known) -> String {
    let why = known.why(record);
    if let (None, Some(Request::Commit | Request::Revert)) = (&record.rule, &known.order) {
        return settled(record, known, why);
    }
    let app = &record.app;
    let target = record.target_deployment.as_ref();
    let to = target.map_or(String::new(), |target| format!(" to {}", known.named(target)));
    let begun = begun(record, known);
    // Who went bad goes on as the subject; where somebody ordered it, that is somebody else than who is rolled back.
    let went = |how: &str| match record.rule {
        Some(_) => format!("{begun}, {how}"),
        None => format!("{begun}; {app} {how}"),
    };
    // What follows has a subject of its own.
    let and = if record.rule.is_some() { ", and" } else { ";" };
    match record.outcome {
        None => format!("{begun}; it is open: {} ({why}).", record.state.replace('_', " ")),
        Some(Outcome::Committed) => {
            format!("{}, and the rollback was kept: {why}.", went(&format!("was rolled back{to}")))
        }
        Some(Outcome::Reverted) => {
            format!("{}, and the rollback was undone: {why}.", went(&format!("was rolled back{to}")))
        }
        Some(Outcome::Refused) => format!("{begun}{and} no rollback was made: {why}."),
        Some(Outcome::Observed) => format!("{begun}; a rollback{to} would have been made, but {why}."),
        Some(Outcome::Held) => format!("{begun}; automation stopped and waits for a person: {why}."),
        Some(Outcome::Failed) => format!("{begun}{and} the rollback{to} failed: {why}."),
        Some(Outcome::Superseded) => format!("{begun}; then it was out of rearguard's hands: {why}."),
        Some(Outcome::Restarted) => format!("{begun}{and} a restart healed it."),
    }
}

/// How it began.
fn begun(record: &IncidentRecord, known: &Known) -> String {
    let (app, accused) = (&record.app, known.named(&record.bad_deployment));
    match &record.rule {
        Some(rule) => format!("{app} went bad on deployment {accused} by rule {rule}"),
        None => format!("{} ordered a rollback of {app} from deployment {accused}", somebody(record)),
    }
}

/// Of an order that only brings an earlier rollback to its end.
fn settled(record: &IncidentRecord, known: &Known, why: &str) -> String {
    let what = if known.order == Some(Request::Commit) { "committed" } else { "reverted" };
    let target = record.target_deployment.as_ref();
    let to = target.map_or(String::new(), |target| format!(" to {}", known.named(target)));
    let begun = format!("{} ordered the rollback of {}{to} to be {what}", somebody(record), record.app);
    match record.outcome {
        None => format!("{begun}; it is open: {} ({why}).", record.state.replace('_', " ")),
        Some(Outcome::Committed) => format!("{begun}, and it was kept: {why}."),
        Some(Outcome::Reverted) => format!("{begun}, and it was undone: {why}."),
        Some(Outcome::Held) => format!("{begun}; automation stopped and waits for a person: {why}."),
        Some(Outcome::Superseded) => format!("{begun}; then it was out of rearguard's hands: {why}."),
        Some(Outcome::Refused | Outcome::Observed | Outcome::Failed | Outcome::Restarted) => {
            format!("{begun}, and that was not done: {why}.")
        }
    }
}

fn somebody(record: &IncidentRecord) -> &str {
    record.asked_by.as_ref().map_or("somebody", |by| by.as_str())
}

#[cfg(test)]
mod tests {
    use super::super::super::made::record;
    use super::*;
    use crate::decision::effect::Reason;
    use crate::decision::observation::Accepted;

    #[test]
    fn every_outcome_has_a_headline() {
        for outcome in Outcome::ALL {
            let text = headline(&record(Some(outcome), Reason::RollbackFailed), &Known::default());
            assert!(text.starts_with("checkout went bad on deployment ") && text.ends_with('.'), "{text}");
        }
    }

    #[test]
    fn who_orders_is_not_said_to_have_been_rolled_back() {
        let ordered = |outcome, order: Option<Request>| {
            let record = record(outcome, Reason::Requested);
            let record = IncidentRecord { rule: None, asked_by: Some("ada".into()), ..record };
            let known = Known { order, ..Known::default() };
            headline(&record, &known)
                .replace(super::super::super::made::BAD, "d2")
                .replace(super::super::super::made::GOOD, "d1")
        };
        let every: Vec<_> = [None].into_iter().chain(Outcome::ALL.map(Some)).collect();
        let back = Request::Rollback { to: None, accept: Accepted::default() };
        let all = |order: &Request| {
            every.iter().map(|outcome| ordered(*outcome, Some(order.clone()))).collect::<Vec<_>>().join("\n")
        };
        insta::assert_snapshot!(all(&back), @r"
        ada ordered a rollback of checkout from deployment d2; it is open: awaiting approval (a person asked for it).
        ada ordered a rollback of checkout from deployment d2; checkout was rolled back to d1, and the rollback was kept: a person asked for it.
        ada ordered a rollback of checkout from deployment d2; checkout was rolled back to d1, and the rollback was undone: a person asked for it.
        ada ordered a rollback of checkout from deployment d2; no rollback was made: a person asked for it.
        ada ordered a rollback of checkout from deployment d2; automation stopped and waits for a person: a person asked for it.
        ada ordered a rollback of checkout from deployment d2; the rollback to d1 failed: a person asked for it.
        ada ordered a rollback of checkout from deployment d2; then it was out of rearguard's hands: a person asked for it.
        ada ordered a rollback of checkout from deployment d2; a rollback to d1 would have been made, but a person asked for it.
        ada ordered a rollback of checkout from deployment d2; a restart healed it.
        ");
        insta::assert_snapshot!(all(&Request::Commit), @r"
        ada ordered the rollback of checkout to d1 to be committed; it is open: awaiting approval (a person asked for it).
        ada ordered the rollback of checkout to d1 to be committed, and it was kept: a person asked for it.
        ada ordered the rollback of checkout to d1 to be committed, and it was undone: a person asked for it.
        ada ordered the rollback of checkout to d1 to be committed, and that was not done: a person asked for it.
        ada ordered the rollback of checkout to d1 to be committed; automation stopped and waits for a person: a person asked for it.
        ada ordered the rollback of checkout to d1 to be committed, and that was not done: a person asked for it.
        ada ordered the rollback of checkout to d1 to be committed; then it was out of rearguard's hands: a person asked for it.
        ada ordered the rollback of checkout to d1 to be committed, and that was not done: a person asked for it.
        ada ordered the rollback of checkout to d1 to be committed, and that was not done: a person asked for it.
        ");
        assert_eq!(
            ordered(Some(Outcome::Reverted), Some(Request::Revert)),
            "ada ordered the rollback of checkout to d1 to be reverted, and it was undone: a person asked for it."
        );
        // Of an order whose timeline is not there, or is of an older daemon's.
        assert_eq!(ordered(Some(Outcome::Committed), None), ordered(Some(Outcome::Committed), Some(back)));
    }
}
