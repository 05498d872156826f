//! What is gone back to in words: why it is that one, and why another one is not.

use super::in_brackets;
use crate::decision::effect::Reason;
use crate::ids::{Caller, DeploymentId};

/// Why it is this one.
pub(super) fn chosen(
    target: &DeploymentId,
    title: &str,
    seen_good: bool,
    named_by: Option<&Caller>,
    was_bad: bool,
) -> String {
    let title = in_brackets(title);
    let why = match (named_by, seen_good) {
        (Some(by), _) => format!("named by {by}; {}", what_is_known(seen_good, was_bad)),
        (None, true) => "the newest that rearguard saw to be good".to_owned(),
        (None, false) => {
            "the newest one that was rolled out completely; rearguard has not judged it itself".to_owned()
        }
    };
    format!("the deployment to go back to is {target}{title}: {why}")
}

/// What is known of a deployment that a person named, whatever that is.
pub(crate) fn what_is_known(seen_good: bool, was_bad: bool) -> &'static str {
    match (was_bad, seen_good) {
        (true, _) => "what it runs was found to be bad, or was rolled back from before",
        (false, true) => "rearguard saw it to be good",
        (false, false) => "rearguard has not judged it itself",
    }
}

/// Why none is: what speaks against the newest one that could be.
pub(super) fn none(code: &str) -> String {
    let none = "of the deployments before it none can be gone back to";
    match code {
        "no_previous_success" => format!("{none}: none of them succeeded ({code})"),
        _ => match obstacle(code) {
            Some(meaning) => format!("{none}; of the newest one it is said: {meaning} ({code})"),
            None => format!("{none}; of the newest one it is said: {code}"),
        },
    }
}

/// What the code of an obstacle means, of those that we give ourselves. What a platform calls its own stands for itself.
pub(crate) fn obstacle(code: &str) -> Option<&'static str> {
    Some(match code {
        "no_previous_success" => "no deployment before the live one succeeded",
        "same_artifact" => "what it would go back to runs the same as what is live",
        "known_bad_target" => {
            "what it would go back to was found to be bad, or somebody ordered it to be left"
        }
        "platform_picks_other" => {
            "the platform would go back to something else than what was seen to be good"
        }
        "artifact_unknown" => "the platform does not say what the deployment to go back to runs",
        "app_suspended" => "the app is suspended",
        "app_deleting" => "the app is being deleted",
        "not_live" => "another deployment is live by now",
        _ => return None,
    })
}

/// Why this one is not.
pub(super) fn refused(target: &DeploymentId, reason: Reason, detail: &str) -> String {
    format!("not going back to {target}: {}", why_not(reason, detail))
}

/// Why a target is not accepted, with its codes.
pub(crate) fn why_not(reason: Reason, detail: &str) -> String {
    match misnamed(reason, detail) {
        Some(why) => format!("{why} ({detail})"),
        None => format!("{} ({}: {detail})", reason.meaning(), reason.word()),
    }
}

/// Why an incident is closed, with its codes. Where a person named what is nothing to go back to, that there is nothing is not
/// the reason.
pub(super) fn why_closed(reason: Reason, detail: &str) -> String {
    match misnamed(reason, detail) {
        Some(why) => format!("{why} ({}: {detail})", reason.word()),
        None => format!("{} ({})", reason.meaning(), reason.word()),
    }
}

/// Why what a person named is nothing to go back to, which is not to say that there is nothing.
pub(crate) fn misnamed(reason: Reason, detail: &str) -> Option<&'static str> {
    if reason != Reason::NoTarget {
        return None;
    }
    Some(match detail {
        "unknown_deployment" => "the app has no such deployment among those that the platform lists",
        "same_artifact" => "that is what is to be gone back from",
        "never_live" => "that deployment never went live",
        "artifact_unknown" => "the platform does not say what that deployment runs",
        "platform_picks_other" => "the platform picks what it goes back to, and would pick another one",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_obstacle_that_we_give_ourselves_has_its_meaning() {
        for code in [
            "no_previous_success",
            "same_artifact",
            "known_bad_target",
            "platform_picks_other",
            "artifact_unknown",
            "app_suspended",
            "app_deleting",
            "not_live",
        ] {
            assert!(obstacle(code).is_some_and(|meaning| !meaning.is_empty()), "{code}");
        }
        assert_eq!(obstacle("a_platform_s_own"), None);
    }

    #[test]
    fn what_a_person_named_is_never_called_the_newest() {
        let ada = Caller::from("ada");
        let said = |named_by, seen_good, was_bad| chosen(&"d1".into(), "", seen_good, named_by, was_bad);
        let begin = "the deployment to go back to is d1: ";
        for (named_by, seen_good, was_bad, why) in [
            (None, true, false, "the newest that rearguard saw to be good"),
            (
                None,
                false,
                false,
                "the newest one that was rolled out completely; rearguard has not judged it itself",
            ),
            (Some(&ada), true, false, "named by ada; rearguard saw it to be good"),
            (Some(&ada), false, false, "named by ada; rearguard has not judged it itself"),
            (
                Some(&ada),
                false,
                true,
                "named by ada; what it runs was found to be bad, or was rolled back from before",
            ),
        ] {
            assert_eq!(said(named_by, seen_good, was_bad), format!("{begin}{why}"));
        }
    }

    #[test]
    fn an_incident_that_is_closed_over_a_wrong_name_does_not_say_that_there_is_nothing_to_go_back_to() {
        for code in
            ["unknown_deployment", "same_artifact", "never_live", "artifact_unknown", "platform_picks_other"]
        {
            let said = why_closed(Reason::NoTarget, code);
            assert!(!said.contains(Reason::NoTarget.meaning()), "{said}");
            assert!(said.ends_with(&format!("(no_target: {code})")), "{said}");
        }
        for (reason, code) in [(Reason::NoTarget, ""), (Reason::Cooldown, "same_artifact")] {
            assert_eq!(why_closed(reason, code), format!("{} ({})", reason.meaning(), reason.word()));
        }
    }

    #[test]
    fn codes_of_ours_are_said_in_words_and_stand_in_brackets() {
        assert_eq!(
            none("no_previous_success"),
            "of the deployments before it none can be gone back to: none of them succeeded (no_previous_success)"
        );
        assert_eq!(
            none("known_bad_target"),
            "of the deployments before it none can be gone back to; of the newest one it is said: what it would go \
             back to was found to be bad, or somebody ordered it to be left (known_bad_target)"
        );
        assert!(none("odd_code").ends_with("of the newest one it is said: odd_code"));
        assert_eq!(
            refused(&"d9".into(), Reason::NoTarget, "unknown_deployment"),
            "not going back to d9: the app has no such deployment among those that the platform lists \
             (unknown_deployment)"
        );
        assert_eq!(
            refused(&"d9".into(), Reason::NotValid, "incompatible_phase"),
            format!("not going back to d9: {} (not_valid: incompatible_phase)", Reason::NotValid.meaning())
        );
    }
}
