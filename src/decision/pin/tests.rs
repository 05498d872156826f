//! What becomes of one pause of pushes, by one read, answer or word.

use super::*;
use crate::decision::capability::Capabilities;
use crate::decision::observation::{Operator, ReadFault};
use crate::decision::scenarios::policy;
use crate::ids::{DeploymentId, IncidentId};

/// The moment of the decision.
const NOW: Moment = Moment::from_millis(100_000_000);

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// One that is looked out for no more, of which nothing was seen.
fn pin() -> SoftPin {
    let incident = IncidentId::of(&"shop".into(), &"bad".into());
    SoftPin { seen_absent: true, until: NOW - secs(60), ..SoftPin::of(incident) }
}

/// One that the platform said is there.
fn there() -> SoftPin {
    SoftPin { is_there: true, ..pin() }
}

fn released(attempt: u32, status: CallStatus) -> Option<Call> {
    Some(Call { attempt, intended_at: NOW - secs(20), status })
}

fn backoff(until: Moment) -> CallStatus {
    CallStatus::Backoff { until, why: Reason::Blind }
}

/// What is seen, and by whom it is decided.
struct Given {
    app: Reading<AppView>,
    operator: Operator,
    mode: Mode,
}

/// Pushes are seen as that, by a read of this moment.
fn seen(pushes: Pushes) -> Given {
    seen_at(NOW, pushes)
}

fn seen_at(read_at: Moment, pushes: Pushes) -> Given {
    let view = AppView { pushes: Some(pushes), ..AppView::default() };
    Given { app: Reading::known(read_at, view), operator: Operator::default(), mode: Mode::Enforce }
}

impl Given {
    fn with<T>(&self, pin: &SoftPin, ask: impl FnOnce(&Policy, &State, &Observation<'_>) -> T) -> T {
        let mut state = State::default();
        state.ledger.soft_pin = Some(pin.clone());
        let policy = Policy { mode: self.mode, ..policy() };
        let seen = Observation {
            at: NOW,
            app: &self.app,
            other_was_live_at: None,
            history: &Reading::never(),
            windows: &[],
            answer: None,
            operator: &self.operator,
        };
        ask(&policy, &state, &seen)
    }

    fn let_go(&self, pin: &SoftPin) -> Option<Change> {
        let decision = self.with(pin, let_go)?;
        decision.change.map(|change| *change)
    }

    fn waits(&self, pin: &SoftPin) -> Option<Reason> {
        self.with(pin, waits)
    }
}

fn after(change: Option<Change>) -> Option<SoftPin> {
    change.expect("a change").state.ledger.soft_pin
}

#[test]
fn what_its_end_waits_for_is_said_while_it_is_there_and_nothing_needs_it() {
    let paused = Given { operator: Operator { paused: true, ..Operator::default() }, ..seen(Pushes::Paused) };
    let observed = Given { mode: Mode::Observe, ..seen(Pushes::Paused) };
    let denied = CallStatus::Backoff { until: NOW, why: Reason::Denied };
    let refused = SoftPin { release: released(1, denied), ..there() };
    assert_eq!(paused.waits(&there()), Some(Reason::Paused));
    assert_eq!(paused.waits(&refused), Some(Reason::Paused));
    assert_eq!(observed.waits(&there()), Some(Reason::ObserveMode));
    assert_eq!(seen(Pushes::Paused).waits(&refused), Some(Reason::Denied));
    assert_eq!(seen(Pushes::Paused).waits(&there()), None);
    // Nothing waits where it is needed, the app is gone, or nobody knows of a pause.
    assert_eq!(paused.waits(&SoftPin { holds: Some("back".into()), ..there() }), None);
    assert_eq!(paused.waits(&SoftPin { is_app_gone: true, ..there() }), None);
    assert_eq!(paused.waits(&pin()), None);
    let doubted = SoftPin { doubted_at: Some(NOW), ..pin() };
    assert_eq!(paused.waits(&doubted), Some(Reason::ForeignPin));
}

#[test]
fn an_app_stands_as_pinned_to_what_the_pause_is_for_until_a_read_shows_its_end() {
    let holds = |id: Option<&str>| SoftPin { holds: id.map(DeploymentId::from), ..there() };
    let pinned = |given: &Given, pin: &SoftPin| {
        given
            .with(pin, |_, state, seen| shown(state, seen.app))
            .map(|app| app.value().unwrap().pinned.clone())
    };
    assert_eq!(pinned(&seen(Pushes::Paused), &holds(Some("back"))), Some(Some("back".into())));
    assert_eq!(pinned(&seen(Pushes::Deploy), &holds(Some("back"))), None);
    assert_eq!(pinned(&seen(Pushes::Paused), &holds(None)), None);
    // What the platform says of it is not made better.
    let mut given = seen(Pushes::Paused);
    given.app.last.as_mut().unwrap().1.pinned = Some("other".into());
    assert_eq!(pinned(&given, &holds(Some("back"))), None);
}

#[test]
fn of_an_app_that_is_gone_nothing_is_asked_until_it_comes_back() {
    let tried = SoftPin { release: released(5, backoff(NOW)), tries: 5, ..there() };
    let mut gone = seen(Pushes::Paused);
    gone.app.last = None;
    for at in [NOW - GONE_AFTER, NOW] {
        gone.app.fail(at, ReadFault::NotFound);
    }
    let left = SoftPin { release: None, tries: 0, is_app_gone: true, ..tried.clone() };
    let change = gone.let_go(&tried).unwrap();
    assert_eq!((change.story, change.state.ledger.soft_pin), (vec![Event::AppGone], Some(left.clone())));
    assert_eq!(gone.let_go(&left), None);
    // What is no more than told is owed nothing.
    let told = gone.let_go(&SoftPin { rollback_at: Some(NOW), ..pin() }).unwrap();
    assert_eq!((told.story, told.state.ledger.soft_pin), (vec![], None));
    assert_eq!(after(seen(Pushes::Paused).let_go(&left)), Some(SoftPin { is_app_gone: false, ..left }));
}

#[test]
fn the_end_is_asked_for_once_it_is_seen_and_may_be() {
    let change = seen(Pushes::Paused).let_go(&there()).unwrap();
    assert_eq!(change.effect, Some(Effect::Unpin));
    let call = Call { attempt: 1, intended_at: NOW, status: CallStatus::Owed };
    let asked = SoftPin { release: Some(call), tries: 1, ..there() };
    assert_eq!(change.state.ledger.soft_pin, Some(asked));
    assert_eq!(change.story.len(), 1);
    // Where rearguard may not act it is known from then on that it is there.
    let paused = Given { operator: Operator { paused: true, ..Operator::default() }, ..seen(Pushes::Paused) };
    for given in [paused, Given { mode: Mode::Observe, ..seen(Pushes::Paused) }] {
        let awaited = SoftPin { until: NOW, ..pin() };
        let change = given.let_go(&awaited).unwrap();
        let known = SoftPin { is_there: true, known_at: Some(NOW), ..awaited };
        assert_eq!((&change.effect, &change.state.ledger.soft_pin), (&None, &Some(known.clone())));
        assert_eq!(given.let_go(&known), None);
    }
    // Only a read from after the time that was waited for lets it be asked for again.
    let until = NOW - secs(4);
    let tried = SoftPin { release: released(4, backoff(until)), tries: 4, ..there() };
    assert_eq!(seen_at(until - secs(1), Pushes::Paused).let_go(&tried), None);
    let change = seen_at(until, Pushes::Paused).let_go(&tried).unwrap();
    let new = change.state.ledger.soft_pin.unwrap();
    assert_eq!((new.release.unwrap().attempt, new.tries, change.story.len()), (5, 5, 0));
}

#[test]
fn pushes_that_are_deployed_end_it_by_what_was_known_of_it() {
    let by_read = seen(Pushes::Deploy);
    // Asked for: that was our own request, if one may have been applied. Known to be there before: a person was faster.
    let asked = |ago| SoftPin { release: released(1, backoff(NOW)), tried_at: Some(NOW - ago), ..there() };
    assert!(matches!(by_read.let_go(&asked(SOON)).unwrap().story[..], [Event::Adopted { .. }]));
    let denied = SoftPin { tried_at: None, ..asked(SOON) };
    for known in [there(), denied, asked(SOON + secs(1))] {
        assert_eq!(by_read.let_go(&known).unwrap().story, [Event::LetGoByOthers]);
    }
    // A read that may be from before it does not say so.
    let new = SoftPin { known_at: Some(NOW - LAG), ..there() };
    assert_eq!(seen_at(NOW - secs(1), Pushes::Deploy).let_go(&new), None);
    assert!(by_read.let_go(&new).is_some());
    // Neither: it may come yet, or have come and gone.
    let unseen = SoftPin { seen_absent: false, ..pin() };
    assert_eq!(after(by_read.let_go(&unseen)), Some(pin()));
    let lost = SoftPin { known_at: Some(NOW - LAG), ..unseen };
    assert_eq!(seen_at(NOW - secs(1), Pushes::Deploy).let_go(&lost), None, "too early to say");
    assert_eq!(after(by_read.let_go(&lost)), Some(SoftPin { seen_absent: true, ..lost }));
    // It is awaited until its time is over.
    assert_eq!(by_read.let_go(&SoftPin { until: NOW, ..pin() }), None);
    assert_eq!(after(by_read.let_go(&SoftPin { until: NOW - secs(1), ..pin() })), None);
    // Or until a read is late enough after pushes were let go, and after its request was lost.
    let settles = |let_go: Duration, lost: Duration| {
        let awaited = SoftPin {
            until: NOW + secs(600),
            let_go_at: Some(NOW - let_go),
            lost_at: Some(NOW - lost),
            ..pin()
        };
        by_read.let_go(&awaited).map(|change| change.state.ledger.soft_pin.unwrap().until)
    };
    assert_eq!(settles(LAG, SOON), Some(NOW), "and is told if it comes");
    assert_eq!(settles(LAG - secs(1), SOON), None);
    assert_eq!(settles(LAG, SOON - secs(1)), None);
}

#[test]
fn a_pause_that_is_none_of_ours_is_told_where_a_request_may_have_made_it() {
    let paused = seen(Pushes::Paused);
    // A person's, and nothing of ours was lost.
    let change = paused.let_go(&pin()).unwrap();
    assert_eq!((change.story, change.state.ledger.soft_pin), (Vec::new(), None));
    let lost = SoftPin { lost_at: Some(NOW - LATEST), ..pin() };
    let change = paused.let_go(&lost).unwrap();
    let doubted = SoftPin { doubted_at: Some(NOW), ..lost };
    assert_eq!((change.story, &change.effect), (vec![Event::PausedPerhapsByUs], &None));
    assert_eq!(change.state.ledger.soft_pin, Some(doubted.clone()));
    assert_eq!(paused.let_go(&doubted), None, "it is told once");
    // Or may have, since nobody has looked since that time.
    let unseen = SoftPin { lost_at: Some(NOW - 2 * LATEST), ..pin() };
    assert_eq!(paused.let_go(&unseen).unwrap().story, [Event::PausedPerhapsByUs]);
    // A person ends it: ours may come yet.
    let doubted = SoftPin { doubted_at: Some(NOW - LAG), lost_at: Some(NOW - LATEST), ..pin() };
    assert_eq!(seen_at(NOW - secs(1), Pushes::Deploy).let_go(&doubted), None, "that read may lag");
    let awaited = SoftPin { doubted_at: None, ..doubted.clone() };
    assert_eq!(after(seen(Pushes::Deploy).let_go(&doubted)), Some(awaited));
    // After an hour it is a person's without a doubt.
    let old = SoftPin { doubted_at: Some(NOW - LATEST), ..doubted };
    assert_eq!(paused.let_go(&old), None);
    let older = SoftPin { doubted_at: Some(NOW - LATEST - secs(1)), ..old };
    assert_eq!(after(paused.let_go(&older)), None);
}

#[test]
fn an_answer_that_is_no_yes_is_waited_after() {
    let owed = |attempt, tries| SoftPin { release: released(attempt, CallStatus::Owed), tries, ..there() };
    let answered = |pin: &SoftPin, answer: Answer| {
        let mut change = seen(Pushes::Paused)
            .with(pin, |_, state, seen| answered(state, pin, &answer, seen))
            .change
            .unwrap();
        let story = std::mem::take(&mut change.story).len();
        (change.state.ledger.soft_pin.unwrap(), story)
    };
    let waits = |tries, answer: Answer| match answered(&owed(1, tries), answer).0.release.unwrap() {
        Call { status: CallStatus::Backoff { until, why }, .. } => (until.since(NOW), why),
        call => panic!("{call:?}"),
    };
    let not = |why, retry_after| Answer::NotApplied { why, retry_after };
    assert_eq!(waits(1, not(Rejection::Denied, None)), (secs(2), Reason::Denied));
    assert_eq!(waits(2, not(Rejection::NotConnected, None)), (secs(4), Reason::Blind));
    assert_eq!(waits(9, Answer::Unresolved), (secs(60), Reason::Blind));
    // As long as the platform asks for, in reason.
    assert_eq!(waits(1, not(Rejection::RateLimited, Some(secs(17)))), (secs(17), Reason::Blind));
    assert_eq!(waits(1, not(Rejection::RateLimited, Some(secs(3_600)))).0, LONGEST_WAIT);
    assert_eq!(waits(1, not(Rejection::RateLimited, Some(secs(0)))).0, secs(1));
    assert_eq!(waits(2, Answer::NotSent(Guard::Paused)), (secs(4), Reason::Paused));
    // What goes on is told less and less often.
    let told = |tries| answered(&owed(9, tries), not(Rejection::Denied, None)).1;
    assert_eq!((told(3), told(4), told(5)), (0, 1, 0));
    // A fresh read has shown that there is nothing to end.
    let (left, story) = answered(&owed(9, 9), Answer::NotSent(Guard::Changed));
    assert_eq!((left.release, left.tries, story), (None, 9, 1));
    // What may have been done is remembered.
    let tried = |answer| answered(&SoftPin { tried_at: Some(NOW - SOON), ..owed(9, 9) }, answer).0.tried_at;
    assert_eq!(tried(Answer::Unresolved), Some(NOW));
    for answer in
        [not(Rejection::Denied, None), Answer::NotSent(Guard::Paused), Answer::NotSent(Guard::Changed)]
    {
        assert_eq!(tried(answer), Some(NOW - SOON));
    }
}

#[test]
fn what_is_over_is_looked_out_for_as_long_as_something_may_come_of_it() {
    let asked = SoftPin { release: released(3, CallStatus::Owed), tries: 3, tried_at: Some(NOW), ..there() };
    let over = |pin: &SoftPin, sureness| {
        let event = Event::LetGoByOthers;
        after(
            seen(Pushes::Deploy)
                .with(pin, |_, state, _| over(state, pin, event, sureness, NOW))
                .change
                .map(|c| *c),
        )
    };
    // No request of ours was lost.
    assert_eq!((over(&asked, Sureness::Answered), over(&asked, Sureness::ByRead)), (None, None));
    // A lost request may come about soon; later ones are told only.
    let lost = |ago: Duration| SoftPin { lost_at: Some(NOW - ago), seen_absent: false, ..asked.clone() };
    let awaited = |ago, until| SoftPin {
        lost_at: Some(NOW - ago),
        let_go_at: Some(NOW),
        until,
        over_at: NOW + LAG,
        ..pin()
    };
    let soon = NOW + SOON - secs(10);
    assert_eq!(over(&lost(secs(10)), Sureness::Answered), Some(awaited(secs(10), soon)));
    assert_eq!(over(&lost(SOON), Sureness::Answered), Some(awaited(SOON, NOW + 2 * LAG)));
    // The read that says so is not from before the next one.
    let by_read = SoftPin { over_at: NOW + Duration::from_millis(1), ..awaited(SOON, NOW + 2 * LAG) };
    assert_eq!(over(&lost(SOON), Sureness::ByRead), Some(by_read));
    let long_ago = SoftPin { let_go_at: Some(NOW - 2 * LAG), ..lost(SOON) };
    let told = SoftPin { let_go_at: Some(NOW - 2 * LAG), ..awaited(SOON, NOW) };
    assert_eq!(over(&long_ago, Sureness::Answered), Some(told));
    let too_late = SoftPin { let_go_at: Some(NOW - 2 * LAG), ..lost(LATEST + secs(1)) };
    assert_eq!(over(&too_late, Sureness::Answered), None);
}

#[test]
fn what_is_over_within_an_incident_protects_nothing_any_more() {
    let held = SoftPin { holds: Some("back".into()), ..there() };
    let known = |pin: &SoftPin, given: Given| given.with(pin, |_, _, seen| unless_over(pin.clone(), seen));
    let left = |pin: &SoftPin, given: Given| known(pin, given).0;
    assert_eq!(known(&held, seen(Pushes::Deploy)), (None, Some(Event::LetGoByOthers)));
    // Our own request to end it was lost.
    let asked = SoftPin { tried_at: Some(NOW), ..held.clone() };
    assert!(matches!(known(&asked, seen(Pushes::Deploy)), (None, Some(Event::Adopted { .. }))));
    assert_eq!(left(&held, seen(Pushes::Paused)), Some(held.clone()));
    // What was lost may come yet, and is another one.
    let lost = SoftPin { lost_at: Some(NOW - secs(10)), ..held.clone() };
    let awaited = left(&lost, seen(Pushes::Deploy)).expect("it is looked out for");
    assert_eq!((awaited.is_there, awaited.holds, awaited.lost_at), (false, None, lost.lost_at));
    let new = SoftPin { known_at: Some(NOW), ..held };
    assert_eq!(left(&new, seen(Pushes::Deploy)), Some(new.clone()), "a read that may be from before it");
    // Nothing is there: what is seen after its time is a person's.
    let unseen = SoftPin { seen_absent: false, ..pin() };
    assert_eq!(left(&unseen, seen(Pushes::Deploy)), Some(pin()));
    let lost = |ago| SoftPin { lost_at: Some(NOW - ago), ..unseen.clone() };
    let awaited = LATEST + LAG - secs(1);
    assert_eq!(
        left(&lost(awaited), seen(Pushes::Deploy)),
        Some(SoftPin { seen_absent: true, ..lost(awaited) })
    );
    assert_eq!(left(&lost(LATEST + LAG), seen(Pushes::Deploy)), Some(pin()), "it never comes any more");
    let rolled_back = |ago| SoftPin { rollback_at: Some(NOW - ago), ..pin() };
    assert_eq!(left(&rolled_back(awaited), seen(Pushes::Deploy)), Some(rolled_back(awaited)));
    assert_eq!(
        left(&rolled_back(LATEST + LAG), seen(Pushes::Deploy)),
        Some(pin()),
        "nor does what it paused"
    );
    let new = SoftPin { known_at: Some(NOW), ..unseen };
    assert_eq!(left(&new, seen(Pushes::Deploy)), Some(new.clone()));
}

#[test]
fn what_a_rollback_may_make_of_pushes_is_told_and_never_undone() {
    let left = |rollback_at, sureness| {
        let left = left_over(&SoftPin { rollback_at, ..there() }, sureness, NOW);
        left.map(|left| (left.until, left.over_at, left.may_be_ours(NOW + secs(1))))
    };
    for sureness in [Sureness::Answered, Sureness::ByRead] {
        assert_eq!(left(None, sureness), None);
        assert_eq!(left(Some(NOW - LATEST), sureness), Some((NOW, NOW + LAG, false)));
        assert_eq!(left(Some(NOW - LATEST - secs(1)), sureness), None);
    }
    let unseen = SoftPin { rollback_at: Some(NOW - 2 * LATEST), ..pin() };
    assert_eq!(seen(Pushes::Paused).let_go(&unseen).unwrap().story, [Event::PausedPerhapsByUs]);
}

#[test]
fn what_is_only_told_ends_where_nothing_is_ever_shown() {
    let unknown = |pin| {
        let view = AppView {
            pushes: None,
            capabilities: Capabilities { pin, ..Capabilities::default() },
            ..AppView::default()
        };
        Given { app: Reading::known(NOW, view), ..seen(Pushes::Deploy) }
    };
    let told = |ago| SoftPin { rollback_at: Some(NOW - ago), ..pin() };
    let is_ended = |given: Given, pin: &SoftPin| given.let_go(pin).map(|change| change.state.ledger.soft_pin);
    assert_eq!(is_ended(unknown(PinKind::Absent), &told(2 * LATEST)), Some(None));
    assert_eq!(is_ended(unknown(PinKind::Soft), &told(2 * LATEST)), None);
    assert_eq!(is_ended(unknown(PinKind::Absent), &told(LATEST)), None);
    assert_eq!(is_ended(unknown(PinKind::Absent), &there()), None);
}
