//! A call to the platform in words: what it is for, and what came of it.

use crate::decision::capability::{PinKind, Support};
use crate::decision::effect::{Answer, Effect, Guard, Rejection};
use crate::ids::DeploymentId;

pub(super) fn intention(call: &Effect, pin: PinKind) -> String {
    match call {
        Effect::Validate { target, .. } => {
            format!("finding out whether the platform would accept a rollback to {target}")
        }
        Effect::Pin { .. } => "keeping pushes from being deployed until the rollback is settled; other \
                               deployments the platform does not stop"
            .to_owned(),
        Effect::Unpin => "letting pushes be deployed again".to_owned(),
        Effect::Restart { accused } => format!("restarting deployment {accused} before anything else"),
        Effect::CreateRollback { accused, target, .. } => {
            let meanwhile = match pin {
                PinKind::Hard => "new deployments are blocked meanwhile",
                PinKind::Soft => "pushes are not deployed meanwhile",
                PinKind::Absent => "nothing keeps other deployments away meanwhile",
            };
            format!("rolling back from {accused} to {target}; {meanwhile}")
        }
        Effect::Commit { rollback } => {
            format!("committing rollback {rollback}, so that new deployments are possible again")
        }
        Effect::Revert { rollback } => {
            format!("reverting rollback {rollback}: back to the newest release")
        }
    }
}

pub(super) fn answered(answer: &Answer) -> String {
    match answer {
        Answer::Validated(validation) => {
            let warnings: Vec<&str> =
                validation.warnings.iter().map(|warning| warning.code.as_str()).collect();
            let warned = if warnings.is_empty() {
                "no warnings".to_owned()
            } else {
                format!("warnings: {}", warnings.join(", "))
            };
            match &validation.error {
                _ if validation.by == Support::Emulated => match &validation.error {
                    Some(error) if !validation.valid => {
                        format!("what can be read speaks against it: {}", error.code)
                    }
                    _ => format!(
                        "nothing that can be read speaks against it (the platform has no dry run), {warned}"
                    ),
                },
                _ if validation.valid => format!("the platform would accept it, {warned}"),
                Some(error) => format!("the platform would not accept it: {}", error.code),
                None => "the platform would not accept it".to_owned(),
            }
        }
        Answer::Pinned => "done, pushes are not deployed".to_owned(),
        Answer::Unpinned => "done, pushes are deployed again".to_owned(),
        Answer::Restarted(deployment) => format!("the platform started deployment {}", deployment.id),
        Answer::Created(deployment) => format!("the platform started deployment {}", deployment.id),
        Answer::Committed => "done, the app is not pinned any more".to_owned(),
        Answer::Reverted(Some(id)) => format!("done, the platform started deployment {id}"),
        Answer::Reverted(None) => "done".to_owned(),
        Answer::NotSent(guard) => format!(
            "not sent: {}",
            match guard {
                Guard::Changed => "the app has changed since it was decided",
                Guard::Unreadable => "the app could not be read right before it",
                Guard::Paused => "an operator paused the app",
                Guard::Frozen => "a freeze window has opened",
                Guard::Observe => "it is not to be done by itself any more",
                Guard::Storm => "too many apps want a rollback at once",
                Guard::Interrupted => "rearguard was stopping, or held up since it was decided",
            }
        ),
        Answer::NotApplied { why, .. } => format!(
            "not applied: {}",
            match why {
                Rejection::RateLimited => "the platform limits our rate",
                Rejection::Denied => "the platform refuses our token",
                Rejection::NotConnected => "no connection",
                Rejection::NotFound => "the platform does not know it",
            }
        ),
        Answer::Refused { status, message } => format!("refused with status {status}: {message}"),
        Answer::Unresolved => "no conclusive answer; reading the platform before anything else".to_owned(),
    }
}

pub(super) fn perhaps_ours(deployments: &[DeploymentId], is_restart: bool) -> String {
    let asked = if is_restart { "restart" } else { "rollback" };
    let which = deployments.iter().map(DeploymentId::as_str).collect::<Vec<_>>().join(" and ");
    match deployments.len() {
        1 => format!(
            "deployment {which} has begun since the {asked} was asked for, without an answer: it may be what came of \
             that, or a colleague's, and nobody can tell"
        ),
        _ => format!(
            "deployments {which} have begun since the {asked} was asked for, without an answer: one of them may be what \
             came of that, the others are a colleague's, and nobody can tell which"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decision::effect::{Condition, Validation};

    #[test]
    fn what_a_validation_says_is_told_by_who_said_it() {
        let condition =
            |code: &str| Condition { code: code.into(), message: String::new(), is_advice: false };
        let said = |by, valid, error: Option<&str>| {
            let validation =
                Validation { valid, error: error.map(condition), warnings: vec![condition("w1")], by };
            answered(&Answer::Validated(validation))
        };
        let nothing =
            "nothing that can be read speaks against it (the platform has no dry run), warnings: w1";
        assert_eq!(said(Support::Emulated, true, None), nothing);
        assert_eq!(said(Support::Emulated, true, Some("e1")), nothing);
        assert_eq!(said(Support::Emulated, false, Some("e1")), "what can be read speaks against it: e1");
        assert_eq!(said(Support::Native, true, Some("e1")), "the platform would accept it, warnings: w1");
        assert_eq!(said(Support::Native, false, Some("e1")), "the platform would not accept it: e1");
        assert_eq!(said(Support::Native, false, None), "the platform would not accept it");
    }
}
