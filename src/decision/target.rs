//! Picks the deployment to go back to, or says why there is none.
//!
//! In this order: the newest deployment that rearguard itself saw to be good; failing those, the newest one the
//! platform calls superseded and complete. Never the accused one or its artifact, never one that was condemned
//! or its artifact, never one that failed, was cancelled or did not serve, never one that was tried already.
//! Deployments are ordered by creation, not by their place in a list.

use std::cmp::Ordering;

use super::capability::{Capabilities, Targeting};
use super::effect::Reason;
use super::observation::{Artifact, Deployment, Phase};
use super::state::{Incident, Ledger};
use crate::ids::DeploymentId;

/// How many targets an incident may try.
pub const MOST_TRIED: usize = 3;

/// What came of looking for a target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pick {
    /// This one.
    Target(Deployment),
    /// None was seen to be good, and the platform's list is not known yet.
    NeedHistory,
    /// There is none.
    None,
}

/// What a target is looked for from.
#[derive(Clone, Copy, Debug)]
pub struct Search<'a> {
    /// The deployment to go back from.
    pub accused: &'a Deployment,
    /// The ids that the same release had before.
    pub former: &'a [DeploymentId],
    /// Targets that were tried and not accepted, and why.
    pub tried: &'a [(DeploymentId, Reason)],
    /// What the platform can do for the app.
    pub capabilities: Capabilities,
}

impl<'a> From<&'a Incident> for Search<'a> {
    fn from(incident: &'a Incident) -> Self {
        let Incident { accused, former, tried, capabilities, .. } = incident;
        Self { accused, former, tried, capabilities: *capabilities }
    }
}

/// Picks the target of a rollback.
pub fn pick(ledger: &Ledger, search: Search<'_>, history: Option<&[Deployment]>) -> Pick {
    let Search { accused, former, tried, capabilities } = search;
    if tried.len() >= MOST_TRIED {
        return Pick::None;
    }
    let barred = |candidate: &Deployment| {
        candidate.id == accused.id
            || former.contains(&candidate.id)
            || candidate.artifact.same_as(&accused.artifact)
            || is_condemned(ledger, &candidate.id, &candidate.artifact)
            || tried.iter().any(|(tried, _)| *tried == candidate.id)
            // What it runs is all there is to ask for it by.
            || (capabilities.targeting == Targeting::ByCode && candidate.artifact.code.is_empty())
    };
    match capabilities.targeting {
        Targeting::PlatformPicks => {
            let Some(history) = history else { return Pick::NeedHistory };
            let picked = platforms_choice(accused, history).filter(|picked| !barred(picked));
            // Nothing else can be gone back to: what is not among those seen to be good is refused if there are any.
            let is_good = |picked: &&Deployment| {
                ledger.good.is_empty()
                    || ledger
                        .good
                        .iter()
                        .any(|good| good.id == picked.id || good.artifact.same_as(&picked.artifact))
            };
            return picked.filter(is_good).map_or(Pick::None, |picked| Pick::Target(picked.clone()));
        }
        Targeting::ById | Targeting::ByCode => {}
    }
    let known_to_have_failed = |id: &DeploymentId| {
        history.is_some_and(|list| {
            list.iter().any(|entry| entry.id == *id && matches!(entry.phase, Phase::Error | Phase::Canceled))
        })
    };
    let good = ledger.good.iter().rev().find(|good| !barred(good) && !known_to_have_failed(&good.id));
    if let Some(good) = good {
        return Pick::Target(good.clone());
    }
    let Some(history) = history else { return Pick::NeedHistory };
    history
        .iter()
        .filter(|entry| entry.phase == Phase::Superseded && entry.complete)
        .filter(|entry| accused.came_after(entry.age_key()) && !barred(entry))
        // Where dates say nothing, the platform's own order has to do: the newest first.
        .rev()
        .max_by(|a, b| match a.created_ms == 0 || b.created_ms == 0 {
            true => Ordering::Equal,
            false => a.created_ms.cmp(&b.created_ms),
        })
        .map_or(Pick::None, |entry| Pick::Target(entry.clone()))
}

/// The target that a person named, or a code of why it is none: `tried`, `unknown_deployment`, `same_artifact` for what is
/// to be gone back from, `never_live`, `artifact_unknown`, `platform_picks_other`. What was condemned is theirs to choose.
pub fn named(
    ledger: &Ledger,
    search: Search<'_>,
    history: &[Deployment],
    id: &DeploymentId,
) -> Result<Deployment, &'static str> {
    let Search { accused, former, tried, capabilities } = search;
    if tried.iter().any(|(tried, _)| tried == id) {
        return Err("tried");
    }
    let mut known = history.iter().chain(&ledger.good);
    let found = known.find(|entry| entry.id == *id).ok_or("unknown_deployment")?;
    if found.id == accused.id || former.contains(&found.id) {
        return Err("same_artifact");
    }
    if !found.complete && !matches!(found.phase, Phase::Active | Phase::Superseded) {
        return Err("never_live");
    }
    match capabilities.targeting {
        Targeting::ByCode if found.artifact.code.is_empty() => Err("artifact_unknown"),
        Targeting::PlatformPicks if platforms_choice(accused, history).is_none_or(|pick| pick.id != *id) => {
            Err("platform_picks_other")
        }
        _ => Ok(found.clone()),
    }
}

/// Why [`pick`] finds nothing, as a code: what speaks against the newest deployment that could be gone back to.
pub fn why_none(ledger: &Ledger, search: Search<'_>, history: &[Deployment]) -> &'static str {
    let Search { accused, former, capabilities, .. } = search;
    let Some(newest) = platforms_choice(accused, history) else { return "no_previous_success" };
    let artifact = &newest.artifact;
    if artifact.same_as(&accused.artifact) || former.contains(&newest.id) {
        return "same_artifact";
    }
    if is_condemned(ledger, &newest.id, artifact) {
        return "known_bad_target";
    }
    match capabilities.targeting {
        Targeting::PlatformPicks => "platform_picks_other",
        Targeting::ByCode if artifact.code.is_empty() => "artifact_unknown",
        Targeting::ByCode | Targeting::ById => "",
    }
}

/// What a platform that picks by itself is reckoned to pick when `live` is the live one: the newest successful deployment
/// before that. Whether it did is seen afterwards.
pub fn platforms_choice<'a>(live: &Deployment, history: &'a [Deployment]) -> Option<&'a Deployment> {
    let before = history.iter().filter(|entry| entry.complete && live.came_after(entry.age_key()));
    // Of those created at the same moment, the one that the platform lists first.
    before.rev().max_by_key(|entry| entry.created_ms)
}

/// Whether an incident found it, or what it runs, to be bad.
pub(super) fn is_condemned(ledger: &Ledger, id: &DeploymentId, artifact: &Artifact) -> bool {
    ledger.condemned.iter().any(|(condemned, ran)| condemned == id || ran.same_as(artifact))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Moment;
    use crate::decision::effect::Reason;
    use crate::decision::observation::Cause;
    use crate::decision::rule::{Reading, Verdict};
    use crate::decision::state::{Live, Stage};
    use crate::ids::IncidentId;
    use proptest::prelude::*;

    /// Deployment `d{n}`, created at `n`, running code `c{code}`.
    fn deployment(n: u8, code: u8, phase: Phase, complete: bool) -> Deployment {
        let code = if code == 0 { Vec::new() } else { vec![("web".to_owned(), format!("c{code}"))] };
        Deployment {
            id: DeploymentId::from(format!("d{n}")),
            phase,
            cause: Cause::Release,
            created_ms: i64::from(n),
            complete,
            artifact: Artifact { code, spec: "s".into(), ..Artifact::default() },
            cloned_from: None,
            took_ms: None,
            title: String::new(),
        }
    }

    fn superseded(n: u8) -> Deployment {
        deployment(n, n, Phase::Superseded, true)
    }

    fn incident(accused: Deployment) -> Incident {
        let at = Moment::from_millis(0);
        let reading = Reading {
            verdict: Verdict::Bad,
            value: None,
            threshold: 3.0,
            samples: 3,
            first_failure_at: None,
            parts: Vec::new(),
            compared: None,
        };
        let live = Live { id: accused.id.clone(), created_ms: accused.created_ms, since: at };
        Incident {
            id: IncidentId::of(&"shop".into(), &accused.id),
            opened_at: at,
            first_failure_at: at,
            rule: Some("down".into()),
            evidence: Some(reading),
            asked: None,
            ending: None,
            accused,
            live,
            former: Vec::new(),
            restart_lost: false,
            before: std::collections::BTreeMap::new(),
            begun: 0,
            bad_before: std::collections::BTreeSet::new(),
            tried: Vec::new(),
            requests: crate::decision::state::Requests::default(),
            setbacks: 0,
            approved: true,
            end_waits: None,
            prediction: None,
            capabilities: crate::decision::capability::Capabilities::default(),
            restartable: None,
            stage: Stage::Validating { target: None, call: None, deadline: at },
        }
    }

    fn id(picked: &Pick) -> String {
        match picked {
            Pick::Target(target) => target.id.to_string(),
            Pick::NeedHistory => "history".to_owned(),
            Pick::None => "none".to_owned(),
        }
    }

    #[test]
    fn what_was_seen_to_be_good_comes_before_what_the_platform_calls_superseded() {
        let accused = deployment(9, 9, Phase::Active, true);
        let list = [superseded(8), superseded(5), superseded(7), superseded(6)];
        let with_good =
            |good: &[u8]| Ledger { good: good.iter().map(|n| superseded(*n)).collect(), ..Ledger::default() };
        let run = |good: &[u8], list| id(&pick(&with_good(good), (&incident(accused.clone())).into(), list));
        assert_eq!(run(&[5, 6], Some(&list[..])), "d6");
        assert_eq!(run(&[], Some(&list[..])), "d8");
        assert_eq!(run(&[4], None), "d4");
        assert_eq!(run(&[], None), "history");
        assert_eq!(run(&[], Some(&[])), "none");
    }

    #[test]
    fn each_bar_excludes_its_deployment() {
        let accused = deployment(9, 9, Phase::Active, true);
        let fine = superseded(3);
        let ledger = Ledger {
            condemned: vec![("d5".into(), deployment(5, 5, Phase::Superseded, true).artifact)],
            ..Ledger::default()
        };
        let barred = [
            ("the accused one", accused.clone()),
            ("its artifact", deployment(4, 9, Phase::Superseded, true)),
            ("condemned", superseded(5)),
            ("a condemned artifact", deployment(6, 5, Phase::Superseded, true)),
            ("failed", deployment(6, 6, Phase::Error, false)),
            ("cancelled", deployment(6, 6, Phase::Canceled, false)),
            ("incomplete", deployment(6, 6, Phase::Superseded, false)),
            ("under way", deployment(6, 6, Phase::InProgress, false)),
            ("a phase we do not know", deployment(6, 6, Phase::Unknown, true)),
            ("newer than the accused one", superseded(10)),
        ];
        for (why, barred) in barred {
            let list = [barred, fine.clone()];
            assert_eq!(id(&pick(&ledger, (&incident(accused.clone())).into(), Some(&list))), "d3", "{why}");
        }
        // Unknown code bars nothing but itself: the platform's validation has the last word.
        let unknown = deployment(6, 0, Phase::Superseded, true);
        let accused = deployment(9, 0, Phase::Active, true);
        assert_eq!(id(&pick(&ledger, (&incident(accused)).into(), Some(&[unknown]))), "d6");
    }

    #[test]
    fn without_times_of_creation_the_platform_s_order_is_believed() {
        let undated = |entry: Deployment| Deployment { created_ms: 0, ..entry };
        let accused = undated(deployment(10, 10, Phase::Active, true));
        let list = [accused.clone(), undated(superseded(9)), undated(superseded(8))];
        assert_eq!(id(&pick(&Ledger::default(), (&incident(accused.clone())).into(), Some(&list))), "d9");
        // One that has no date cannot be told to be the older one.
        let list = [accused.clone(), undated(superseded(9)), superseded(8)];
        assert_eq!(id(&pick(&Ledger::default(), (&incident(accused.clone())).into(), Some(&list))), "d9");
        let list = [accused.clone(), superseded(8), undated(superseded(9))];
        assert_eq!(id(&pick(&Ledger::default(), (&incident(accused)).into(), Some(&list))), "d8");
    }

    #[test]
    fn of_those_created_at_the_same_moment_the_platform_s_order_is_believed() {
        let dated = |n| Deployment { created_ms: 7, ..superseded(n) };
        let accused = Deployment { created_ms: 7, ..deployment(5, 5, Phase::Active, true) };
        for [newer, older] in [[3, 6], [6, 3]] {
            let list = [accused.clone(), dated(newer), dated(older), superseded(2)];
            let picked = pick(&Ledger::default(), (&incident(accused.clone())).into(), Some(&list));
            assert_eq!(id(&picked), format!("d{newer}"));
            assert_eq!(platforms_choice(&accused, &list).unwrap().id.as_str(), format!("d{newer}"));
        }
    }

    #[test]
    fn that_there_is_none_has_a_code() {
        let picks = Capabilities { targeting: Targeting::PlatformPicks, ..Capabilities::default() };
        let by_code = Capabilities { targeting: Targeting::ByCode, ..Capabilities::default() };
        let accused = deployment(9, 9, Phase::Active, true);
        let good = Ledger { good: vec![superseded(3)], ..Ledger::default() };
        let bad = Ledger { condemned: vec![("d8".into(), superseded(8).artifact)], ..Ledger::default() };
        let fresh = Ledger::default();
        let cases = [
            ("no_previous_success", &fresh, picks, vec![accused.clone()]),
            ("no_previous_success", &fresh, picks, vec![deployment(8, 8, Phase::Error, false)]),
            ("same_artifact", &fresh, picks, vec![deployment(8, 9, Phase::Superseded, true), superseded(7)]),
            ("known_bad_target", &bad, picks, vec![superseded(8), superseded(7)]),
            ("platform_picks_other", &good, picks, vec![superseded(8), superseded(3)]),
            ("no_previous_success", &fresh, Capabilities::default(), vec![accused.clone()]),
            ("artifact_unknown", &fresh, by_code, vec![deployment(8, 0, Phase::Superseded, true)]),
            ("", &fresh, by_code, vec![deployment(8, 8, Phase::Unknown, true)]),
        ];
        for (code, ledger, capabilities, list) in cases {
            let search = Search { accused: &accused, former: &[], tried: &[], capabilities };
            assert_eq!(pick(ledger, search, Some(&list)), Pick::None, "{code}");
            assert_eq!(why_none(ledger, search, &list), code);
        }
    }

    #[test]
    fn what_a_platform_picks_is_known_to_be_good_by_its_id_or_by_what_it_runs() {
        let picks = Capabilities { targeting: Targeting::PlatformPicks, ..Capabilities::default() };
        let accused = deployment(9, 9, Phase::Active, true);
        let list = [accused.clone(), superseded(8)];
        let search = Search { accused: &accused, former: &[], tried: &[], capabilities: picks };
        for (good, picked) in [
            (deployment(8, 0, Phase::Active, true), "d8"),
            (deployment(5, 8, Phase::Active, true), "d8"),
            (superseded(5), "none"),
        ] {
            let ledger = Ledger { good: vec![good], ..Ledger::default() };
            assert_eq!(id(&pick(&ledger, search, Some(&list))), picked);
        }
    }

    #[test]
    fn what_a_person_names_is_taken_unless_it_is_nothing_to_go_back_to() {
        let targeting = |targeting| Capabilities { targeting, ..Capabilities::default() };
        let (by_id, by_code) = (targeting(Targeting::ById), targeting(Targeting::ByCode));
        let picks = targeting(Targeting::PlatformPicks);
        let accused = deployment(9, 9, Phase::Active, true);
        let list = [
            accused.clone(),
            superseded(8),
            deployment(7, 0, Phase::Superseded, true),
            deployment(6, 6, Phase::Error, false),
            deployment(5, 5, Phase::Superseded, false),
            deployment(4, 4, Phase::Active, false),
            deployment(3, 3, Phase::Unknown, true),
        ];
        let ledger = Ledger {
            good: vec![superseded(1)],
            condemned: vec![("d8".into(), superseded(8).artifact)],
            ..Ledger::default()
        };
        let tried = [("d2".into(), Reason::NotValid)];
        let former = ["d11".into()];
        for (id, capabilities, why_not) in [
            ("d2", by_id, Some("tried")),
            ("d10", by_id, Some("unknown_deployment")),
            ("d9", by_id, Some("same_artifact")),
            ("d6", by_id, Some("never_live")),
            // What went live once did, whatever is known of its steps; and what is done may be told by them alone.
            ("d5", by_id, None),
            ("d4", by_id, None),
            ("d3", by_id, None),
            // Also what was condemned, and what only we remember.
            ("d8", by_id, None),
            ("d1", by_id, None),
            ("d7", by_id, None),
            ("d7", by_code, Some("artifact_unknown")),
            ("d8", by_code, None),
            ("d8", picks, None),
            ("d7", picks, Some("platform_picks_other")),
        ] {
            let search = Search { accused: &accused, former: &former, tried: &tried, capabilities };
            let named = named(&ledger, search, &list, &id.into());
            assert_eq!(named.as_ref().err().copied(), why_not, "{id}");
            assert!(named.is_err() || named.is_ok_and(|named| named.id.as_str() == id));
        }
        let nothing = [accused.clone(), superseded(11)];
        let search = Search { accused: &accused, former: &former, tried: &[], capabilities: picks };
        assert_eq!(named(&ledger, search, &nothing, &"d11".into()), Err("same_artifact"));
        assert_eq!(named(&ledger, search, &[], &"d1".into()), Err("platform_picks_other"));
    }

    #[test]
    fn a_good_one_that_failed_since_is_passed_over_and_three_tries_are_enough() {
        let mut incident = incident(deployment(9, 9, Phase::Active, true));
        let ledger = Ledger { good: vec![superseded(4), superseded(5)], ..Ledger::default() };
        let list = [deployment(5, 5, Phase::Error, false), superseded(4), superseded(3)];
        assert_eq!(id(&pick(&ledger, (&incident).into(), Some(&list))), "d4");
        incident.tried.push(("d4".into(), Reason::NotValid));
        assert_eq!(id(&pick(&ledger, (&incident).into(), Some(&list))), "d3");
        incident.tried.push(("d3".into(), Reason::NotValid));
        incident.tried.push(("d2".into(), Reason::Warnings));
        assert_eq!(id(&pick(&ledger, (&incident).into(), Some(&list))), "none");
    }

    fn any_deployment() -> impl Strategy<Value = Deployment> {
        let phases = [
            Phase::InProgress,
            Phase::Active,
            Phase::Superseded,
            Phase::Superseded,
            Phase::Error,
            Phase::Canceled,
            Phase::Unknown,
        ];
        (1_u8..12, 0_u8..6, prop::sample::select(phases.to_vec()), any::<bool>())
            .prop_map(|(n, code, phase, complete)| deployment(n, code, phase, complete))
    }

    proptest! {
        #[test]
        fn no_target_is_ever_barred_and_the_order_of_the_list_does_not_matter(
            accused in any_deployment(),
            mut list in prop::collection::vec(any_deployment(), 0..8),
            good in prop::collection::vec(any_deployment(), 0..4),
            condemned in prop::collection::vec(any_deployment(), 0..3),
            tried in prop::collection::vec(0_u8..12, 0..3),
        ) {
            list.sort_by(|a, b| a.id.cmp(&b.id));
            list.dedup_by(|a, b| a.id == b.id);
            let condemned: Vec<_> = condemned.into_iter().map(|d| (d.id, d.artifact)).collect();
            let ledger = Ledger { good: good.clone(), condemned: condemned.clone(), ..Ledger::default() };
            let mut incident = incident(accused.clone());
            incident.tried =
                tried.iter().map(|n| (DeploymentId::from(format!("d{n}")), Reason::NotValid)).collect();
            let picked = pick(&ledger, (&incident).into(), Some(&list));
            let mut turned = list.clone();
            turned.reverse();
            prop_assert_eq!(&pick(&ledger, (&incident).into(), Some(&turned)), &picked);
            let Pick::Target(target) = picked else { return Ok(()) };
            prop_assert!(target.id != accused.id && !target.artifact.same_as(&accused.artifact));
            prop_assert!(condemned.iter().all(|(id, ran)| *id != target.id && !ran.same_as(&target.artifact)));
            prop_assert!(incident.tried.iter().all(|(id, _)| *id != target.id));
            let listed = list.iter().find(|entry| entry.id == target.id);
            prop_assert!(listed.is_none_or(|entry| !matches!(entry.phase, Phase::Error | Phase::Canceled)));
            prop_assert!(good.contains(&target) || (target.phase == Phase::Superseded && target.complete));
        }
    }
}
