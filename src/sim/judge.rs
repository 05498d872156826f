//! The promises, one function each, judged from the platform's own ledger and from what its sites truly answered.
//!
//! The numbers in brackets are those of the list of promises in `tests/README.md`.

mod evidence;
mod freeze;
mod made;
mod orders;
mod picks;
mod soak;
#[cfg(test)]
mod tests;

pub(super) use made::rollbacks_of;

use std::collections::BTreeSet;

use made::{
    another_passed_for_it, asked_for, came_to_light_late, is_ordered, is_return, is_shown, judged, ours,
    rollbacks,
};

use super::course::COOLDOWN_MS;
use super::disk::Request as Asked;
use super::happen::LEFT;
use super::machine::{EPOCH_MS, lock};
use super::panics;
use super::run::{Heard, Run, Word};
use crate::decision::observation::Request;
use crate::lab::{
    AppKind, Cause, ClonedFrom, Deployment, Entry, GUARD_TOKEN, NullImage, Operation, Phase, RollbackTrigger,
    Shown, Source, Who,
};
use crate::server::AppStatus;

/// A read, or what follows from one, is on its way for less than that, while the machine is awake.
const ON_ITS_WAY_MS: i64 = 100;

/// How long after its end an incident's lost requests are reckoned with.
const LATEST_MS: i64 = 3_600_000;

/// Somewhat less than the minute in which the storm breaker counts.
const STORM_MS: i64 = 55_000;

/// A pin may go unseen for so long: the longest poll, and what an answer takes.
const UNSEEN_MS: i64 = 45_000;

/// Every promise that can be judged at the end of a course.
pub(super) fn whole(run: &Run) {
    for app in 0..run.shapes.len() {
        every_rollback_pins(run, app);
        one_rollback_for_one_release(run, app);
        evidence::no_healthy_release_is_rolled_back(run, app);
        evidence::only_the_accused_is_rolled_back(run, app);
        every_target_was_live_and_never_accused(run, app);
        only_our_own_pins_are_settled(run, app);
        what_a_person_settled_or_pinned_is_left_alone(run, app);
        no_rollback_is_rolled_back(run, app);
        nothing_while_something_is_being_deployed(run, app);
        nothing_while_it_is_to_be_quiet(run, app);
        freeze::nothing_in_a_freeze_window(run, app);
        within_the_budget(run, app);
        not_within_the_cooldown(run, app);
        not_without_a_yes(run, app);
        orders::each_was_given_and_heeded(run, app);
        picks::pushes_are_let_go_by_whom_they_were_paused(run, app);
        picks::no_release_is_restarted_twice(run, app);
        soak::each_end_had_its_soak(run, app);
    }
    picks::what_came_back_instead_is_no_success(run);
    orders::none_was_turned_round(run);
    no_more_apps_at_once_than_the_storm_breaker_lets(run);
    assert_eq!(panics::count(), 0, "a task panicked\n{}", run.story());
    nothing_is_repeated_unread(run);
    evidence::nobody_is_accused_of_what_another_did(run);
    every_write_stands_in_the_journal(run);
    decisions_follow_from_the_journal(run);
    no_secret_is_kept(run);
}

fn broken(run: &Run, promise: &str, entry: &Entry) -> ! {
    panic!("{promise}: {entry:?}\n{}", run.story())
}

/// [I10] No rollback without a pin.
fn every_rollback_pins(run: &Run, app: usize) {
    if let Some(entry) = ours(run, app).iter().find(|entry| entry.skip_pin) {
        broken(run, "a rollback without a pin", entry);
    }
}

/// Two rollbacks for one release: it was accused in both, or it was live when both arrived.
struct Pair {
    first: Entry,
    second: Entry,
    is_accused_twice: bool,
}

fn pairs(run: &Run, app: usize) -> Vec<Pair> {
    let all = rollbacks(run, app);
    let mut pairs = Vec::new();
    for (n, second) in all.iter().enumerate() {
        for first in &all[..n] {
            let [one, other] = [first, second].map(|entry| asked_for(run, app, entry));
            let of = |asked: &Option<Asked>| asked.as_ref().map(|asked| asked.accused.clone());
            let incident = |asked: &Option<Asked>| asked.as_ref().and_then(|asked| asked.incident.clone());
            let is_accused_twice = one.is_some() && of(&one) == of(&other);
            // A person may have what was rolled back, and came back, rolled back once more.
            let is_another = is_ordered(run, app, second) && incident(&one) != incident(&other);
            if (is_accused_twice || first.active_before == second.active_before)
                && !run.is_lost_between(first.at_ms, second.at_ms)
                && !is_another
            {
                pairs.push(Pair { first: first.clone(), second: second.clone(), is_accused_twice });
            }
        }
    }
    pairs
}

/// [I3, I4] One rollback for one release; a second one only where the first came to light after its time.
fn one_rollback_for_one_release(run: &Run, app: usize) {
    for Pair { first, second, is_accused_twice } in pairs(run, app) {
        // Where a second one leads somewhere else there is none, however late the first one came to light; unless both met
        // a release that no read had shown, each meant for another one.
        let is_late = !run.course.platform_picks() && came_to_light_late(run, &first);
        if (is_accused_twice || is_shown(run, app, &second)) && !is_late {
            broken(run, "two rollbacks for one release", &second);
        }
    }
}

/// How often the platform's late answers led to a second rollback.
pub(super) fn late_pairs(run: &Run) -> usize {
    (0..run.shapes.len()).map(|app| pairs(run, app).len()).sum()
}

/// Whether it goes where anybody would reckon. What a platform picks otherwise, or, where nothing keeps others away, later or
/// over something that no read had shown, is judged by what becomes of it.
fn goes_as_reckoned(run: &Run, app: usize, entry: &Entry) -> bool {
    let is_prompt = entry.applied_ms == Some(entry.at_ms);
    run.course.picks_as_reckoned()
        && (run.course.kind == AppKind::DigitalOcean || (is_prompt && is_shown(run, app, entry)))
}

/// [I5] The target was live, is not the accused, and was not rolled back from before.
fn every_target_was_live_and_never_accused(run: &Run, app: usize) {
    let state = run.lab.record(&run.shapes[app].site);
    let all = rollbacks(run, app);
    // A revert says that going back did not help: the release was not the cause.
    let reverts = |rollback: &Entry, until_ms: i64| {
        let ours = ours(run, app);
        ours.iter().filter(|entry| entry.applied() && entry.at_ms < until_ms).any(|entry| {
            let is_revert = entry.operation == Operation::RevertRollback;
            let is_return = entry.operation == Operation::CreateRollback && is_return(run, app, entry);
            // A person's revert may be there a moment before ours, which was judged to be due all the same.
            (is_revert && entry.pinned_before == rollback.deployment)
                || ((is_revert || is_return) && entry.active_before == rollback.deployment)
        })
    };
    for (n, entry) in all.iter().enumerate().filter(|(_, entry)| goes_as_reckoned(run, app, entry)) {
        let target = entry.target.as_deref().unwrap_or("");
        let live_ms = state.deployment(target).and_then(|target| target.live_ms);
        if live_ms.is_none_or(|at| at >= entry.at_ms) || entry.active_before.as_deref() == Some(target) {
            broken(run, "a target that was never live, or is the accused", entry);
        }
        if asked_for(run, app, entry).is_some_and(|asked| matches!(asked.ordered, Some(Some(_)))) {
            // A person's choice.
            continue;
        }
        let known = all[..n].iter().filter(|before| !run.is_lost_between(before.at_ms, entry.at_ms));
        // An order leaves a release once something is seen of it: what came to nothing says nothing of what is live.
        let is_seen = |before: &&Entry| {
            let shown_ms = before.applied_ms.map(|at| at + run.lag_ms() + ON_ITS_WAY_MS);
            !is_ordered(run, app, before) || shown_ms.is_some_and(|shown| shown <= entry.at_ms)
        };
        let known = known.filter(is_seen);
        let is_it = |id: &str| evidence::is_same_release(&state.deployments, id, target);
        let mut accused_before = known.filter(|before| before.active_before.as_deref().is_some_and(is_it));
        // What no read had shown it was live was not what it was meant to go back from.
        if accused_before.any(|before| is_shown(run, app, before) && !reverts(before, entry.at_ms)) {
            broken(run, "back to a release that was rolled back from", entry);
        }
    }
}

/// [I7, I8] Commit and revert only for a pin that is ours: made by a request of ours, or by a person who asked for the
/// same as a request of ours whose fate nobody can know.
fn only_our_own_pins_are_settled(run: &Run, app: usize) {
    let ours = ours(run, app);
    let state = run.lab.record(&run.shapes[app].site);
    // Where the platform does not say which one was gone back to, two of the same code cannot be told apart.
    let looks_the_same = |one: &str, other: &str| {
        let [one, other] =
            [one, other].map(|id| state.deployment(id).map(|target| target.release.commit_hash()));
        run.course.unknowns.cloned_from == ClonedFrom::Omitted && one == other
    };
    for entry in &ours {
        let settles = matches!(entry.operation, Operation::CommitRollback | Operation::RevertRollback);
        if !settles || !entry.applied() {
            continue;
        }
        let Some(pin) = &entry.pinned_before else { continue };
        // What was made before the state was lost is not known any more.
        let is_known = |since_ms: i64| !run.is_lost_between(since_ms, entry.at_ms);
        let is_ours = ours.iter().any(|made| made.deployment.as_ref() == Some(pin) && is_known(made.at_ms));
        let target = state.deployment(pin).and_then(|pin| match &pin.cause {
            Cause::Rollback { target } => Some(target.clone()),
            _ => None,
        });
        // Written down, and nobody knows what became of it: whoever reads that it is there cannot know whose it is.
        let asked_the_same = lock(&run.disk.requests).iter().any(|request| {
            let is_recent = (0..LATEST_MS).contains(&(entry.at_ms - request.at_ms));
            let is_same =
                |pinned: &String| request.target == *pinned || looks_the_same(&request.target, pinned);
            request.is_unclear && is_recent && is_known(request.at_ms) && target.as_ref().is_some_and(is_same)
        });
        // Nothing says which pin a commit or revert is for: it takes the one that came after the last read, too.
        let lag = run.lag_ms() + ON_ITS_WAY_MS;
        let came_just_now = state.deployment(pin).is_some_and(|pin| pin.created_ms + lag >= entry.at_ms);
        if !is_ours && !asked_the_same && !came_just_now {
            broken(run, "a pin is settled that is not ours", entry);
        }
    }
}

/// [I8] Nothing is settled once more that a read has shown to be settled, by a person or by us, and nothing is rolled back where
/// a read has shown a pin that is not ours.
fn what_a_person_settled_or_pinned_is_left_alone(run: &Run, app: usize) {
    let site = &run.shapes[app].site;
    let (entries, state) = (run.lab.ledger().entries, run.lab.record(site));
    let settles =
        |entry: &Entry| matches!(entry.operation, Operation::CommitRollback | Operation::RevertRollback);
    let all: Vec<&Entry> = entries.iter().filter(|entry| entry.app == *site).collect();
    let is_shown = |since_ms: i64, entry: &Entry| since_ms + run.lag_ms() + ON_ITS_WAY_MS < entry.at_ms;
    for (n, entry) in all.iter().enumerate().filter(|(_, entry)| entry.who == Who::Guard) {
        if settles(entry) && entry.pinned_before.is_none() {
            let ended = all[..n].iter().rfind(|before| settles(before) && before.pinned_before.is_some());
            if ended.and_then(|ended| ended.applied_ms).is_some_and(|at| is_shown(at, entry)) {
                broken(run, "what is settled is settled once more", entry);
            }
        }
        let Some(pin) = &entry.pinned_before else { continue };
        let is_it = |made: &Entry| made.who == Who::Guard && made.deployment.as_ref() == Some(pin);
        let is_ours = || all.iter().any(|made| is_it(made) && !run.is_lost_between(made.at_ms, entry.at_ms));
        let is_known = || state.deployment(pin).is_some_and(|pin| is_shown(pin.created_ms, entry));
        if entry.operation == Operation::CreateRollback && is_known() && !is_ours() {
            broken(run, "a rollback although somebody else has pinned the app", entry);
        }
    }
}

/// [I6] Nothing is rolled back or restarted where a read has shown that something else is being deployed.
fn nothing_while_something_is_being_deployed(run: &Run, app: usize) {
    let state = run.lab.record(&run.shapes[app].site);
    for entry in &ours(run, app) {
        let is_meant = matches!(entry.operation, Operation::CreateRollback | Operation::Restart);
        let under_way = entry.in_progress_before.as_deref().and_then(|id| state.deployment(id));
        let since = under_way.map(|made| made.started_ms.unwrap_or(made.created_ms));
        if is_meant && since.is_some_and(|since| since + run.lag_ms() + ON_ITS_WAY_MS < entry.at_ms) {
            broken(run, "a rollback or restart while something else is being deployed", entry);
        }
    }
}

/// [I8] What a person, or we, went back to is no release to judge.
fn no_rollback_is_rolled_back(run: &Run, app: usize) {
    let state = run.lab.record(&run.shapes[app].site);
    // Where the platform does not say what brought a deployment about, nobody can tell.
    let unknowns = &run.course.unknowns;
    // Nothing is ever told of a static site's.
    let is_static = matches!(run.course.kind, AppKind::Sevalla { source: Source::StaticSite, .. });
    let is_told = match run.course.kind {
        AppKind::DigitalOcean => unknowns.cause_details == Shown::Shown,
        AppKind::Sevalla { .. } => {
            !is_static && unknowns.rollback_trigger == RollbackTrigger::RollbackDeployment
        }
    };
    let ours = ours(run, app);
    for entry in &judged(run, app) {
        let Some(place) =
            state.deployments.iter().position(|made| Some(&made.id) == entry.active_before.as_ref())
        else {
            continue;
        };
        // An older image that is named anew is an ordinary deployment.
        let is_redeploy = |made: &Deployment| matches!(made.cause, Cause::Redeploy { .. });
        let went_back = |made: &Deployment| {
            made.goes_back_to().is_some() && !is_redeploy(made) || made.cause == Cause::Revert
        };
        let is_ours = ours.iter().any(|made| {
            made.operation != Operation::Restart
                && made.deployment == entry.active_before
                && !run.is_lost_between(made.at_ms, entry.at_ms)
                // Of a static site's nothing is told once it is not looked for any more.
                && !(is_static && (came_to_light_late(run, made) || another_passed_for_it(run, app, made)))
        });
        let is_known = is_told && went_back(evidence::first_of_the_same(&state.deployments, place));
        if (is_known || is_ours) && is_shown(run, app, entry) {
            broken(run, "a rollback is rolled back", entry);
        }
    }
}

/// [I11] Nothing is written in mode observe, nor while paused, and nothing begun for an app that is not configured.
fn nothing_while_it_is_to_be_quiet(run: &Run, app: usize) {
    let begun = rollbacks(run, app);
    let begins = |entry: &Entry| match entry.operation {
        Operation::CreateRollback => begun.contains(entry),
        Operation::SetAutoDeploy => entry.auto_deploy == Some(false),
        operation => operation == Operation::Restart,
    };
    for entry in &ours(run, app) {
        if entry.operation.is_read() {
            continue;
        }
        let at = entry.at_ms - EPOCH_MS;
        let quiet = run.quiet.iter().find(|quiet| {
            quiet.app.is_none_or(|quiet| quiet == app)
                && (quiet.why != LEFT || begins(entry))
                && at > quiet.from_ms
                && quiet.to_ms.is_none_or(|to| at <= to)
        });
        if let Some(quiet) = quiet {
            broken(run, &format!("a write while {}", quiet.why), entry);
        }
    }
}

/// [I12] No more rollbacks in an hour than the budget has. What comes to light late is counted when it does.
fn within_the_budget(run: &Run, app: usize) {
    let all = rollbacks(run, app);
    for (n, entry) in all.iter().enumerate().filter(|(_, entry)| !is_ordered(run, app, entry)) {
        let known = all[..=n].iter().filter(|before| !run.is_lost_between(before.at_ms, entry.at_ms));
        let hour = known.filter(|before| before.at_ms > entry.at_ms - 3_600_000);
        let timely = hour.filter(|entry| !came_to_light_late(run, entry)).count();
        if timely > run.course.budget {
            broken(run, "more rollbacks than the budget has", entry);
        }
    }
}

/// [I12] Some time lies between two rollbacks that were known of.
fn not_within_the_cooldown(run: &Run, app: usize) {
    let all = rollbacks(run, app);
    for two in all.windows(2) {
        let [first, second] = two else { continue };
        let is_known = !came_to_light_late(run, first) && !run.is_lost_between(first.at_ms, second.at_ms);
        let is_ordered = is_ordered(run, app, second);
        if is_known
            && !is_ordered
            && first.active_before != second.active_before
            && second.at_ms - first.at_ms < COOLDOWN_MS
        {
            broken(run, "a rollback within the cooldown", second);
        }
    }
}

/// In mode approve nothing is rolled back without a person's yes, nor after their no.
fn not_without_a_yes(run: &Run, app: usize) {
    let state = run.lab.record(&run.shapes[app].site);
    for entry in &judged(run, app) {
        let live =
            entry.active_before.as_deref().and_then(|id| state.deployments.iter().position(|d| d.id == id));
        // The same release under the id that it was asked about, before it was restarted or moved.
        let all = live.map(|live| evidence::all_of_the_same(&state.deployments, live)).unwrap_or_default();
        // Of a static site's nothing says that it is a restart: whoever asks anew asks about what was begun anew.
        let is_told = !matches!(run.course.kind, AppKind::Sevalla { source: Source::StaticSite, .. });
        let ids = &all[..if is_told { all.len() } else { all.len().min(1) }];
        let Some(live_ms) = ids.last().and_then(|first| first.live_ms) else { continue };
        let (from, to) = (live_ms - EPOCH_MS, entry.at_ms - EPOCH_MS);
        // Who is asked answers what they were asked: of what has gone live since, and was not shown yet, they said nothing.
        let is_about_it = |word: &&Word| {
            word.app == app
                && (from..to).contains(&word.at_ms)
                && ids.iter().any(|made| word.is_about(&made.id))
        };
        let said: Vec<&Word> = run.words.iter().filter(is_about_it).collect();
        // However long it has been so: what was decided before asks by now.
        let is_in_force = |at: i64| at < to;
        let mut of_app = run.modes.iter().filter(|(of, ..)| *of == app);
        let before = of_app.clone().rfind(|(_, at, _)| is_in_force(*at)).map(|(.., mode)| *mode);
        let is_approve = before == Some("approve")
            && of_app.all(|(_, at, mode)| is_in_force(*at) || *at > to || *mode == "approve");
        if is_approve && is_shown(run, app, entry) && !said.iter().any(|word| word.said == Request::Approve) {
            broken(run, "a rollback without a yes", entry);
        }
        let since = |no: &Word, ends: &[i64]| ends.iter().any(|end| (no.at_ms..to).contains(end));
        let stands = |no: &Word| match no.heard {
            Heard::Durably => !since(no, &run.lost_ms),
            Heard::ForNow => !since(no, &run.ends),
            Heard::Perhaps => false,
        };
        // Where the platform hides what brought it about, only a restart of ours is known for one, and a no is none to what
        // others have begun anew.
        let hides_cause =
            run.course.kind == AppKind::DigitalOcean && run.course.unknowns.cause_details != Shown::Shown;
        let is_heard = |word: &Word| !hides_cause || ids.first().is_some_and(|made| word.is_about(&made.id));
        if said.iter().any(|word| word.said == Request::Reject && is_heard(word) && stands(word)) {
            broken(run, "a rollback after a no", entry);
        }
    }
}

/// [I15] When more apps want a rollback within a minute than the storm breaker lets, it is not them.
fn no_more_apps_at_once_than_the_storm_breaker_lets(run: &Run) {
    let is_asked = |entry: &Entry| entry.who == Who::Guard && entry.operation == Operation::CreateRollback;
    let all: Vec<Entry> = run.lab.ledger().entries.into_iter().filter(is_asked).collect();
    // What a person orders is no sign of one.
    let is_ordered = |entry: &Entry| {
        let app = run.shapes.iter().position(|shape| shape.site == entry.app);
        app.is_some_and(|app| is_ordered(run, app, entry))
    };
    let is_undoing = |entry: &Entry| {
        let app = run.shapes.iter().position(|shape| shape.site == entry.app);
        app.is_some_and(|app| is_return(run, app, entry))
    };
    let asked: Vec<&Entry> = all.iter().filter(|entry| !is_undoing(entry) && !is_ordered(entry)).collect();
    for (n, last) in asked.iter().enumerate() {
        let minute = asked[..=n].iter().filter(|entry| last.at_ms - entry.at_ms < STORM_MS);
        let apps: BTreeSet<&str> = minute.clone().map(|entry| entry.app.as_str()).collect();
        let first_ms = minute.map(|entry| entry.at_ms).min().unwrap_or(last.at_ms) - EPOCH_MS;
        // Who wanted one is forgotten with the process, and when a person says that it goes on.
        let in_between = first_ms..=last.at_ms - EPOCH_MS;
        let is_forgotten = run.ends.iter().chain(&run.resumed_all).any(|at| in_between.contains(at));
        if apps.len() > run.course.at_once() && !is_forgotten {
            broken(run, "more apps at once than the storm breaker lets", last);
        }
    }
}

/// [I4] After an answer that is not conclusive the platform is read before the same is sent again.
fn nothing_is_repeated_unread(run: &Run) {
    let repeated = lock(&run.wire.repeated);
    assert!(repeated.is_empty(), "sent again without a read: {repeated:?}\n{}", run.story());
}

/// [I1] Nothing is sent that does not stand in the journal, unanswered.
fn every_write_stands_in_the_journal(run: &Run) {
    let unannounced = lock(&run.wire.unannounced);
    assert!(
        unannounced.is_empty(),
        "writes that the journal does not have: {unannounced:?}\n{}",
        run.story()
    );
}

/// [I20] Each decision comes out the same when it is made again from what the journal has of it.
fn decisions_follow_from_the_journal(run: &Run) {
    assert!(run.differing.is_empty(), "decided otherwise: {:?}\n{}", run.differing, run.story());
}

/// [I13] The token stands in no file.
fn no_secret_is_kept(run: &Run) {
    for file in [run.disk.file.clone(), run.disk.file.with_extension("db-wal")] {
        let bytes = std::fs::read(&file).unwrap_or_default();
        let token = GUARD_TOKEN.as_bytes();
        let is_kept = bytes.windows(token.len()).any(|window| window == token);
        assert!(!is_kept, "the token stands in {}", file.display());
    }
    let said = run.last.iter().map(|(status, _)| serde_json::to_string(status).expect("JSON"));
    let is_said = said.chain([run.scraped.clone()]).any(|text| text.contains(GUARD_TOKEN));
    assert!(!is_said, "the token stands in a status or a figure");
}

/// [I9] A pin of ours that is still there is in the hands of a person who was told.
pub(super) fn no_pin_is_forgotten(run: &Run, apps: &[AppStatus]) {
    for (n, shape) in run.shapes.iter().enumerate() {
        // Of one that was deleted there is nothing left to settle.
        let Ok(state) = run.lab.app(&shape.site) else { continue };
        if state.auto_deploy == Some(false) {
            picks::pushes_are_not_forgotten(run, n, apps);
        }
        let Some(pin) = &state.pinned else { continue };
        let Some(made) = ours(run, n).into_iter().find(|made| made.deployment.as_ref() == Some(pin)) else {
            continue;
        };
        let status = apps.iter().find(|app| app.id.as_str() == state.id);
        let known = status.map(|app| app.state.as_str());
        if matches!(known, Some("held" | "incident")) {
            continue;
        }
        // One that is not known any more is left alone, and shown as somebody's.
        let shown = status.and_then(|app| app.pinned_deployment.as_ref());
        if run.is_lost_between(made.at_ms, i64::MAX) && shown.is_some_and(|shown| shown.as_str() == pin) {
            continue;
        }
        // What has just come about is seen by the next poll.
        let applied = made.applied_ms.unwrap_or(made.at_ms) - EPOCH_MS;
        if run.machine.uptime_ms() - applied < UNSEEN_MS {
            continue;
        }
        if run.taken_over.contains(pin) {
            continue;
        }
        broken(run, &format!("a pin is forgotten, the app is {known:?}"), &made);
    }
}

/// From the first read that can show a bad release to the first request because of it: two samples, and half a minute.
const ACTS_WITHIN_MS: i64 = 2 * 2_000 + 30_000;
/// The slowest pace of polls in a course.
const POLL_MS: i64 = 30_000;

/// Whether a bad release in quiet times has to be rolled back from: where the platform goes somewhere else, or does not say where
/// to, a person is told instead.
pub(super) fn has_to_roll_back(run: &Run) -> bool {
    run.course.picks_as_reckoned()
        && (!run.course.platform_picks() || run.course.unknowns.null_image == NullImage::Never)
}

/// [I25] A bad release in quiet times is rolled back from, soon.
pub(super) fn was_rolled_back(run: &Run, app: usize, bad: &str) {
    let state = run.lab.record(&run.shapes[app].site);
    let is_it = |entry: &Entry| {
        let live =
            entry.active_before.as_deref().and_then(|id| state.deployments.iter().position(|d| d.id == id));
        // Under another id once it was restarted.
        live.is_some_and(|live| evidence::first_of_the_same(&state.deployments, live).id == bad)
    };
    let done = rollbacks(run, app).into_iter().find(is_it);
    let Some(done) = done else { panic!("a bad release in quiet times is not rolled back\n{}", run.story()) };
    let went_live = state.deployment(bad).and_then(|made| made.live_ms).expect("the bad release was live");
    // A restart, where that comes first.
    let is_about = |entry: &&Entry| {
        matches!(entry.operation, Operation::Restart | Operation::CreateRollback)
            && entry.who == Who::Guard
            && entry.active_before.as_deref() == Some(bad)
    };
    let entries = run.lab.ledger().entries;
    let took = entries.iter().find(is_about).map_or(done.at_ms, |first| first.at_ms) - went_live;
    let may_take = POLL_MS + run.lag_ms() + ACTS_WITHIN_MS;
    assert!(took <= may_take, "rolled back {took} ms after it was live\n{}", run.story());
    // A push that waited for the pin to go may have had an incident of its own meanwhile.
    let is_settled = state.pinned.is_none() || state.pinned != done.deployment;
    assert!(is_settled, "its pin is not settled\n{}", run.story());
    let live = state.active.as_deref().and_then(|id| state.deployment(id));
    assert!(live.is_some_and(|live| live.phase == Phase::Active && live.id != bad));
}
