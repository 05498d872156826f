//! What every platform's adapter has to keep, whatever its platform can and cannot do: one story, told on each of them, in
//! which each write that the guard makes meets each fault. A further platform is one
//! more table.

use super::course::Event;
use super::run::Run;
use super::told::{PUSHED, bad_release, calls, course, logged, opened, timelines, told};
use crate::decision::effect::Reason;
use crate::decision::state::Outcome;
use crate::journal::{IncidentQuery, IncidentRecord, Journal};
use crate::lab::{
    AppKind, Entry, Fault, GUARD_TOKEN, Kind, Operation, Phase, RollbackRule, Source, Target, Unknowns, When,
    Who,
};

struct Platform {
    name: &'static str,
    kind: AppKind,
    rule: RollbackRule,
    /// How the plain story ends: what every write comes to, and the end of the incident.
    writes: &'static [Operation],
    end: (Outcome, Reason),
}

const GOOD: (Outcome, Reason) = (Outcome::Committed, Reason::SoakHealthy);
const WRONG: (Outcome, Reason) = (Outcome::Held, Reason::WrongTarget);
const SWITCHED: &[Operation] =
    &[Operation::SetAutoDeploy, Operation::CreateRollback, Operation::SetAutoDeploy];
/// Until a person has looked at what came back, pushes stay paused.
const PAUSED: &[Operation] = &[Operation::SetAutoDeploy, Operation::CreateRollback];
const ALONE: &[Operation] = &[Operation::CreateRollback];

const fn platform(
    name: &'static str,
    kind: AppKind,
    rule: RollbackRule,
    writes: &'static [Operation],
    end: (Outcome, Reason),
) -> Platform {
    Platform { name, kind, rule, writes, end }
}

const DIGITALOCEAN: &[Platform] = &[platform(
    "DigitalOcean",
    AppKind::DigitalOcean,
    RollbackRule::PreviousRow,
    &[Operation::CreateRollback, Operation::CommitRollback],
    GOOD,
)];

const SEVALLA_PUSHED: &[Platform] = &[
    platform(
        "private Git, the row before",
        AppKind::sevalla(Source::PrivateGit),
        RollbackRule::PreviousRow,
        SWITCHED,
        GOOD,
    ),
    platform(
        "private Git, other code",
        AppKind::sevalla(Source::PrivateGit),
        RollbackRule::PreviousDistinct,
        SWITCHED,
        GOOD,
    ),
    platform(
        "private Git, the latest",
        AppKind::sevalla(Source::PrivateGit),
        RollbackRule::LatestSuccess,
        PAUSED,
        WRONG,
    ),
];

const SEVALLA_PUBLIC: &[Platform] = &[
    platform(
        "public Git, the row before",
        AppKind::sevalla(Source::PublicGit),
        RollbackRule::PreviousRow,
        ALONE,
        GOOD,
    ),
    platform(
        "public Git, other code",
        AppKind::sevalla(Source::PublicGit),
        RollbackRule::PreviousDistinct,
        ALONE,
        GOOD,
    ),
    platform(
        "public Git, the latest",
        AppKind::sevalla(Source::PublicGit),
        RollbackRule::LatestSuccess,
        ALONE,
        WRONG,
    ),
];

const SEVALLA_TARGETED: &[Platform] = &[
    platform("an image", AppKind::sevalla(Source::DockerImage), RollbackRule::LatestSuccess, ALONE, GOOD),
    platform(
        "a static site",
        AppKind::sevalla(Source::StaticSite),
        RollbackRule::LatestSuccess,
        SWITCHED,
        GOOD,
    ),
];

/// What may become of a write.
fn fates() -> Vec<Kind> {
    let (yes, no) = (true, false);
    vec![
        Kind::Hang { applied: yes },
        Kind::Hang { applied: no },
        Kind::Reset { applied: yes },
        Kind::Reset { applied: no },
        Kind::Status { code: 500, applied: yes },
        Kind::Status { code: 503, applied: no },
        Kind::AppliedLate { after_ms: 20_000 },
        Kind::Truncated,
        Kind::Empty,
        Kind::Html { code: 502 },
        Kind::WrongTypes,
        Kind::MissingIds,
        Kind::UnknownWords,
    ]
}

fn story(platform: &Platform, more: Vec<(i64, Event)>) -> super::course::Course {
    let mut story = course(vec![(PUSHED, bad_release(0))]);
    story.kind = platform.kind;
    story.unknowns = Unknowns { rollback_rule: platform.rule, hook_enabled: true, ..Unknowns::default() };
    story.length_ms = 420_000;
    story.events.extend(more);
    story
}

fn incidents(run: &Run) -> Vec<IncidentRecord> {
    let (journal, runtime) = opened(run);
    runtime.block_on(journal.incidents(IncidentQuery::default())).expect("incidents")
}

fn ours(run: &Run) -> Vec<Entry> {
    run.lab.ledger().entries.into_iter().filter(|entry| entry.who == Who::Guard).collect()
}

/// What holds however a story ends. Whatever the platform's ledger has against it, the judge has said by now.
fn is_sound(run: &Run, platform: &Platform, what: &str) {
    let name = platform.name;
    let incidents = incidents(run);
    let asked = ours(run);
    let rollbacks = || asked.iter().filter(|entry| entry.operation == Operation::CreateRollback);
    let Some(bad) = incidents.last().map(|incident| &incident.bad_deployment) else {
        return assert_eq!(asked, [], "{name}, {what}");
    };
    let from_bad = rollbacks().filter(|entry| entry.active_before.as_deref() == Some(bad.as_str()));
    // One may be asked for again where that is harmless, and only if nothing came of the first.
    assert!(rollbacks().filter(|entry| entry.applied()).count() <= 1, "{name}, {what}: {asked:#?}");
    if run.course.platform_picks() {
        assert!(from_bad.count() <= 1, "{name}, {what}: asked for again: {asked:#?}");
    }
    for incident in &incidents {
        assert!(incident.outcome.is_some(), "{name}, {what}: still open: {incident:#?}");
    }
    let state = run.lab.record(&run.shapes[0].site);
    let live =
        state.deployments.iter().rfind(|deployment| deployment.phase == Phase::Active).expect("a live one");
    let is_good = live.release.version == "v1";
    let said = incidents.iter().any(|incident| incident.outcome == Some(Outcome::Committed));
    assert!(is_good || !said, "{name}, {what}: a success, and {} is live", live.release.version);
    // Pushes are deployed again, or a person was told.
    let switch = asked.iter().filter(|entry| entry.operation == Operation::SetAutoDeploy && entry.applied());
    let is_held = incidents.iter().any(|incident| incident.outcome == Some(Outcome::Held));
    let last = switch.max_by_key(|entry| entry.applied_ms);
    assert!(
        last.is_none_or(|last| last.auto_deploy == Some(true)) || is_held,
        "{name}, {what}: pushes stay paused: {asked:#?}"
    );
    let told = timelines(run).join("\n") + &run.scraped;
    for secret in [GUARD_TOKEN, "/deploy/"] {
        assert!(!told.contains(secret), "{name}, {what}: a secret is told");
    }
}

/// In quiet times nothing is asked for that changes anything.
fn reads_write_nothing(platform: &Platform) {
    let mut quiet = story(platform, Vec::new());
    quiet.events.clear();
    let run = told(quiet);
    assert_eq!(ours(&run).iter().map(|entry| entry.operation).collect::<Vec<_>>(), [], "{}", platform.name);
    assert_eq!(run.lab.record(&run.shapes[0].site).deployments.len(), 1, "{}", platform.name);
}

/// Without a fault, to its end.
fn is_told_to_its_end(platform: &Platform) {
    let (run, log) = logged(story(platform, Vec::new()));
    is_sound(&run, platform, "no fault");
    assert_eq!(calls(&run, 0), platform.writes, "{}", platform.name);
    let [incident] = &incidents(&run)[..] else { panic!("{}: not one incident", platform.name) };
    assert_eq!(
        (incident.outcome, incident.reason),
        (Some(platform.end.0), platform.end.1),
        "{}",
        platform.name
    );
    for secret in [GUARD_TOKEN, "/deploy/"] {
        assert!(!log.contains(secret), "{}: a secret is logged", platform.name);
    }
}

/// Each write meets each fault, once.
fn what_becomes_of_a_write_is_found_out(platform: &Platform) {
    for kind in fates() {
        let mut writes = platform.writes.to_vec();
        writes.dedup();
        for (n, write) in writes.into_iter().enumerate() {
            // The second time that it is asked for is another write.
            let nth = platform.writes[..n].iter().filter(|before| **before == write).count() + 1;
            let when = When::Nth(u64::try_from(nth).expect("few"));
            let fault = Fault { on: Target::Call(write), app: None, kind: kind.clone(), when };
            let run = told(story(platform, vec![(0, Event::Fault(Box::new(fault)))]));
            is_sound(&run, platform, &format!("{kind:?} on {write:?} number {nth}"));
            assert!(!incidents(&run).is_empty(), "{}, {kind:?}: nothing happened", platform.name);
        }
    }
}

/// Words that nobody has heard of, in every answer for a while: what is live may not be known meanwhile, and nothing is
/// done that would not have been done anyway.
fn words_that_nobody_knows_are_survived(platform: &Platform) {
    let fault = Fault { on: Target::Reads, app: None, kind: Kind::UnknownWords, when: When::Always };
    for from in [0, PUSHED, PUSHED + 6_000, PUSHED + 12_000] {
        let fault = Event::Fault(Box::new(fault.clone()));
        let run = told(story(platform, vec![(from, fault), (PUSHED + 90_000, Event::NoFaults)]));
        is_sound(&run, platform, &format!("unknown words from {from} ms on"));
    }
}

fn conform(platforms: &[Platform]) {
    for platform in platforms {
        reads_write_nothing(platform);
        is_told_to_its_end(platform);
        what_becomes_of_a_write_is_found_out(platform);
        words_that_nobody_knows_are_survived(platform);
    }
}

#[test]
fn digitalocean() {
    conform(DIGITALOCEAN);
}

#[test]
fn sevalla_where_pushes_are_heard() {
    conform(SEVALLA_PUSHED);
}

#[test]
fn sevalla_where_they_are_not() {
    conform(SEVALLA_PUBLIC);
}

#[test]
fn sevalla_where_the_target_can_be_named() {
    conform(SEVALLA_TARGETED);
}
