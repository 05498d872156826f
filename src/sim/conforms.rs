//! What every platform's adapter has to keep, whatever its platform can and cannot do: one story, told on each of them, in
//! which each write that the guard makes meets each fault, and a process ends at each step. A further platform is one
//! more table.
//!
//! `trial` tells a story and says what of it does not hold, `sound` what has to hold however one ends.

mod crashes;
mod reads;
mod secrets;
mod soaks;
mod sound;
mod trial;
mod withdrawn;
mod writes;

use super::course::{Course, Event};
use super::told::{PUSHED, bad_release, course};
use crate::decision::effect::Reason;
use crate::decision::state::Outcome;
use crate::lab::{AppKind, Hint, Operation, RollbackRule, Source, Unknowns};
use trial::Trial;

#[derive(Clone, Copy)]
struct Platform {
    name: &'static str,
    kind: AppKind,
    rule: RollbackRule,
    /// What becomes of a target that a static site is told.
    site: Hint,
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
    Platform { name, kind, rule, site: Hint::Honoured, writes, end }
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
    Platform {
        site: Hint::Ignored,
        ..platform(
            "a static site that builds its branch instead",
            AppKind::sevalla(Source::StaticSite),
            RollbackRule::LatestSuccess,
            PAUSED,
            WRONG,
        )
    },
];

/// A bad release, and what else happens.
fn story(platform: &Platform, more: Vec<(i64, Event)>) -> Course {
    let mut story = course(vec![(PUSHED, bad_release(0))]);
    story.kind = platform.kind;
    story.unknowns = Unknowns {
        rollback_rule: platform.rule,
        honour_site_target: platform.site,
        hook_enabled: true,
        ..Unknowns::default()
    };
    story.length_ms = 420_000;
    story.events.extend(more);
    story
}

/// The writes of the plain story, each with how often it was asked for by then, itself included.
fn numbered(platform: &Platform) -> impl Iterator<Item = (Operation, u64)> {
    let nth = |n: usize| platform.writes[..=n].iter().filter(|write| **write == platform.writes[n]).count();
    platform.writes.iter().enumerate().map(move |(n, write)| (*write, nth(n) as u64))
}

fn every() -> impl Iterator<Item = &'static Platform> {
    [DIGITALOCEAN, SEVALLA_PUSHED, SEVALLA_PUBLIC, SEVALLA_TARGETED].into_iter().flatten()
}

/// Tries something on these platforms, and tells of all that does not hold at once.
fn conform<'a>(platforms: impl IntoIterator<Item = &'a Platform>, tries: &[fn(&mut Trial<'_>)]) {
    let mut broken = Vec::new();
    for platform in platforms {
        let mut trial = Trial::of(platform);
        tries.iter().for_each(|tried| tried(&mut trial));
        broken.append(&mut trial.broken);
    }
    assert!(broken.is_empty(), "{} do not hold:\n{}", broken.len(), broken.join("\n"));
}

const STORIES: &[fn(&mut Trial<'_>)] = &[
    writes::are_told_to_their_end,
    writes::are_found_out_whatever_becomes_of_them,
    writes::survive_words_that_nobody_knows,
];

#[test]
fn digitalocean() {
    conform(DIGITALOCEAN, STORIES);
}

#[test]
fn sevalla_where_pushes_are_heard() {
    conform(SEVALLA_PUSHED, STORIES);
}

#[test]
fn sevalla_where_they_are_not() {
    conform(SEVALLA_PUBLIC, STORIES);
}

#[test]
fn sevalla_where_the_target_can_be_named() {
    for rule in [RollbackRule::PreviousRow, RollbackRule::PreviousDistinct, RollbackRule::LatestSuccess] {
        let under: Vec<_> = SEVALLA_TARGETED.iter().map(|platform| Platform { rule, ..*platform }).collect();
        conform(&under, STORIES);
    }
}

#[test]
fn what_a_rollback_says_of_itself_is_not_relied_upon() {
    let on_sevalla = [SEVALLA_PUSHED, SEVALLA_PUBLIC, SEVALLA_TARGETED].into_iter().flatten();
    conform(on_sevalla, &[writes::are_known_again_whatever_they_are_called]);
}

#[test]
fn a_restart_comes_first_where_it_is_asked_for() {
    conform(every(), &[writes::begin_with_a_restart]);
}

#[test]
fn a_process_may_end_at_any_step() {
    conform(every(), &[crashes::of_each_step]);
}

#[test]
fn the_right_to_write_may_be_taken_away_at_any_step() {
    conform(every(), &[withdrawn::at_each_step]);
}

#[test]
fn a_rollback_that_does_not_help_is_undone() {
    conform(every(), &[soaks::that_are_unhealthy]);
}

#[test]
fn a_person_who_lets_pushes_go_during_a_soak_ends_it() {
    conform(every(), &[soaks::that_a_person_ends]);
}

#[test]
fn what_is_only_read_is_not_changed() {
    conform(every(), &[reads::write_nothing]);
}

#[test]
fn no_secret_is_told_whatever_the_platform_quotes() {
    conform(every(), &[secrets::that_are_quoted]);
}
