//! Who is asked when, and whose fault it is said to be.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};

use tokio::sync::Semaphore;

use super::*;
use crate::clock::Mark;

const BAD: SampleResult = SampleResult::Bad(Failure::Connect);

/// A clock that goes with tokio's paused time.
#[derive(Debug)]
struct PausedClock(Instant);

impl Clock for PausedClock {
    fn now(&self) -> Moment {
        Moment::from_millis(1_000_000) + self.0.elapsed()
    }

    fn wall(&self) -> jiff::Timestamp {
        jiff::Timestamp::UNIX_EPOCH
    }

    fn mark(&self) -> Mark {
        Mark { at: self.now(), boottime_ms: 0, boot_id: String::new() }
    }
}

/// Gives each control the result set for it, after `lasts` milliseconds, and counts.
struct Counting {
    clock: Arc<dyn Clock>,
    good: [Semaphore; 2],
    lasts: AtomicI64,
    sent: AtomicUsize,
}

impl Counting {
    fn set(&self, index: usize, good: bool) {
        self.good[index].forget_permits(usize::MAX >> 3);
        self.good[index].add_permits(usize::from(good));
    }

    fn sent(&self) -> usize {
        self.sent.load(Ordering::SeqCst)
    }
}

impl Probe for Counting {
    fn sample<'a>(
        &'a self,
        probe: &'a ProbeConfig,
        _: Turn,
    ) -> Pin<Box<dyn Future<Output = Sample> + Send + 'a>> {
        Box::pin(async move {
            self.sent.fetch_add(1, Ordering::SeqCst);
            let at = self.clock.now();
            let index = usize::from(probe.name.as_str() == "control-1");
            let lasts = u64::try_from(self.lasts.load(Ordering::SeqCst)).expect("not negative");
            tokio::time::sleep(Duration::from_millis(lasts)).await;
            let good = self.good[index].available_permits() > 0;
            Sample { at, micros: 1, result: if good { SampleResult::Good } else { BAD } }
        })
    }
}

fn start(good: [bool; 2], lasts: i64) -> (Arc<Controls>, Arc<Counting>, Arc<dyn Clock>) {
    let clock: Arc<dyn Clock> = Arc::new(PausedClock(Instant::now()));
    let fake = Arc::new(Counting {
        clock: Arc::clone(&clock),
        good: good.map(|good| Semaphore::new(usize::from(good))),
        lasts: AtomicI64::new(lasts),
        sent: AtomicUsize::new(0),
    });
    let control = |name: &str| ControlProbe {
        url: format!("https://{name}.example/").parse().expect("a URL"),
        period: Duration::from_secs(5),
        timeout: Duration::from_secs(2),
    };
    let probe: Arc<dyn Probe> = Arc::clone(&fake) as Arc<dyn Probe>;
    let controls = Controls::start(vec![control("a"), control("b")], probe, Arc::clone(&clock));
    (Arc::new(controls), fake, clock)
}

fn failed(at: Moment) -> Sample {
    Sample { at, micros: 1_000, result: BAD }
}

async fn pass(millis: u64) {
    tokio::time::sleep(Duration::from_millis(millis)).await;
}

#[tokio::test(start_paused = true)]
async fn without_controls_there_is_no_answer() {
    let clock: Arc<dyn Clock> = Arc::new(PausedClock(Instant::now()));
    let (_, fake, _) = start([true, true], 0);
    let none = Controls::start(Vec::new(), fake, Arc::clone(&clock));
    assert_eq!(none.verdict(&failed(clock.now())).await, ControlVerdict::NotConfigured);
    assert!(none.is_running());
}

#[tokio::test(start_paused = true)]
async fn each_control_is_sampled_once_a_period_and_not_together() {
    let (_controls, fake, _) = start([true, true], 10);
    pass(1_000).await;
    assert_eq!(fake.sent(), 1);
    pass(2_000).await;
    assert_eq!(fake.sent(), 2);
    pass(50_000).await;
    assert_eq!(fake.sent(), 22);
}

#[tokio::test(start_paused = true)]
async fn one_good_control_is_enough_and_none_is_not() {
    for (good, verdict) in [
        ([true, true], ControlVerdict::Theirs),
        ([false, true], ControlVerdict::Theirs),
        ([true, false], ControlVerdict::Theirs),
        ([false, false], ControlVerdict::Ours),
    ] {
        let (controls, _, clock) = start(good, 100);
        pass(2_000).await;
        assert_eq!(controls.verdict(&failed(clock.now())).await, verdict, "{good:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_control_sample_just_before_the_failed_one_answers_without_asking_again() {
    let (controls, fake, clock) = start([true, true], 10);
    pass(40).await;
    // The first control was sampled at zero: together with what failed now.
    assert_eq!(controls.verdict(&failed(clock.now())).await, ControlVerdict::Theirs);
    assert_eq!(fake.sent(), 1);
    pass(100).await;
    assert_eq!(controls.verdict(&failed(clock.now())).await, ControlVerdict::Theirs);
    assert_eq!(fake.sent(), 3, "that sample is too old by now, so both were asked again");
}

#[tokio::test(start_paused = true)]
async fn a_control_that_was_good_before_does_not_vouch_for_a_network_that_broke_since() {
    let (controls, fake, clock) = start([true, true], 10);
    pass(4_000).await;
    fake.set(0, false);
    fake.set(1, false);
    assert_eq!(controls.verdict(&failed(clock.now())).await, ControlVerdict::Ours);
    fake.set(1, true);
    pass(600).await;
    assert_eq!(controls.verdict(&failed(clock.now())).await, ControlVerdict::Theirs, "it came back");
}

#[tokio::test(start_paused = true)]
async fn a_thousand_apps_that_fail_at_once_ask_once() {
    for (good, verdict) in [([true; 2], ControlVerdict::Theirs), ([false; 2], ControlVerdict::Ours)] {
        let (controls, fake, clock) = start(good, 300);
        pass(4_000).await;
        let before = fake.sent();
        let asking: Vec<_> = (0..1_000)
            .map(|i| {
                let (controls, clock) = (Arc::clone(&controls), Arc::clone(&clock));
                // Sent over the last moments, noticed over the next ones.
                tokio::spawn(async move {
                    let sample = failed(clock.now() - Duration::from_millis(i / 25));
                    pass(i / 100).await;
                    controls.verdict(&sample).await
                })
            })
            .collect();
        for answer in asking {
            assert_eq!(answer.await.expect("no panic"), verdict);
        }
        assert_eq!(fake.sent() - before, 2, "one sample of each control");
    }
}

#[tokio::test(start_paused = true)]
async fn apps_that_fail_together_hear_in_the_order_in_which_they_asked() {
    let (controls, _, clock) = start([true, true], 300);
    pass(4_000).await;
    let heard = Arc::new(Mutex::new(Vec::new()));
    let asking: Vec<_> = (0..50)
        .map(|n| {
            let (controls, clock, heard) = (Arc::clone(&controls), Arc::clone(&clock), Arc::clone(&heard));
            tokio::spawn(async move {
                controls.verdict(&failed(clock.now())).await;
                heard.lock().expect("not poisoned").push(n);
            })
        })
        .collect();
    for asked in asking {
        asked.await.expect("no panic");
    }
    assert_eq!(*heard.lock().expect("not poisoned"), (0..50).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn who_waits_hears_at_once_that_nobody_samples_any_more() {
    let (controls, _, clock) = start([true, true], 1_000);
    pass(4_000).await;
    let (asked, sample) = (Instant::now(), failed(clock.now()));
    let waiting = tokio::spawn({
        let controls = Arc::clone(&controls);
        async move { controls.verdict(&sample).await }
    });
    pass(100).await;
    controls.asked.as_ref().expect("controls").task.abort();
    assert_eq!(waiting.await.expect("no panic"), ControlVerdict::Ours);
    assert_eq!(asked.elapsed(), Duration::from_millis(100));
    assert!(!controls.is_running());
}

#[tokio::test(start_paused = true)]
async fn a_round_under_way_that_is_too_old_is_not_waited_for() {
    let (controls, fake, clock) = start([true, true], 1_500);
    pass(2_600).await;
    controls.hint(clock.now());
    pass(700).await;
    let before = fake.sent();
    let asked = Instant::now();
    assert_eq!(controls.verdict(&failed(clock.now())).await, ControlVerdict::Theirs);
    assert_eq!(asked.elapsed(), Duration::from_millis(1_500));
    assert_eq!(fake.sent() - before, 2, "asked again beside it");
}

#[tokio::test(start_paused = true)]
async fn a_hint_has_the_answer_ready_when_the_probe_fails() {
    let (controls, fake, clock) = start([true, true], 50);
    pass(4_000).await;
    let before = fake.sent();
    for _ in 0..100 {
        controls.hint(clock.now());
    }
    let sent = clock.now();
    pass(300).await;
    let asked = Instant::now();
    assert_eq!(controls.verdict(&failed(sent)).await, ControlVerdict::Theirs);
    assert_eq!(asked.elapsed(), Duration::ZERO);
    assert_eq!(fake.sent() - before, 2, "a hundred hints ask once");
}

#[tokio::test(start_paused = true)]
async fn a_control_that_never_answers_is_given_up_and_vouches_for_nothing() {
    let (controls, _, clock) = start([true, true], 3_600_000);
    let asked = Instant::now();
    assert_eq!(controls.verdict(&failed(clock.now())).await, ControlVerdict::Ours);
    assert_eq!(asked.elapsed(), Duration::from_secs(2) + SLACK);
}

#[tokio::test(start_paused = true)]
async fn a_good_control_answers_without_waiting_for_a_dead_one() {
    let (controls, fake, clock) = start([true, false], 100);
    pass(4_000).await;
    let asked = Instant::now();
    assert_eq!(controls.verdict(&failed(clock.now())).await, ControlVerdict::Theirs);
    assert_eq!(asked.elapsed(), Duration::from_millis(100));
    assert!(fake.sent() > 0 && controls.last_good().is_some() && controls.is_running());
}

#[tokio::test(start_paused = true)]
async fn after_a_stall_missed_samples_are_not_made_up_for() {
    let (_controls, fake, _) = start([true, true], 10);
    pass(100).await;
    tokio::time::advance(Duration::from_secs(3_600)).await;
    let before = fake.sent();
    pass(1_000).await;
    assert!(fake.sent() - before <= 3, "{}", fake.sent() - before);
}

/// What the only control of a line says of a failure, after samples every five seconds of which these were good.
fn of_one(answers: &str, failed: SampleResult) -> Option<ControlVerdict> {
    let mut heard = Heard::default();
    let mut sent = Moment::from_millis(0);
    for answer in answers.chars() {
        sent = sent + Duration::from_secs(5);
        heard.take(
            sent,
            match answer {
                'g' => SampleResult::Good,
                'l' => BAD,
                _ => SampleResult::Bad(Failure::Status(503)),
            },
        );
    }
    whose(&vec![heard], sent, failed)
}

#[test]
fn a_control_whose_line_broke_twice_in_a_minute_does_not_vouch_for_what_may_have_been_lost() {
    let (theirs, ours) = (Some(ControlVerdict::Theirs), Some(ControlVerdict::Ours));
    let heard = SampleResult::Bad(Failure::Status(500));
    for (what, answers, lost, answered) in [
        ("never lost", "gggg", theirs, theirs),
        ("once", "glllg", theirs, theirs),
        ("twice", "glglg", ours, theirs),
        ("twice, a minute ago", "glglgggggggggg", ours, theirs),
        ("twice, long ago", "glglggggggggggg", theirs, theirs),
        ("once long ago, and once", "glgggggggggggglg", theirs, theirs),
        ("never good before", "lgllg", theirs, theirs),
        ("its server refuses now and then", "gsgsg", theirs, theirs),
        ("and gone", "glgl", ours, ours),
    ] {
        assert_eq!(of_one(answers, BAD), lost, "{what}: lost");
        assert_eq!(of_one(answers, heard), answered, "{what}: answered");
    }
}

/// One whose samples were sent at these seconds; which of them were lost.
fn heard(samples: &[(i64, bool)]) -> Heard {
    let mut heard = Heard::default();
    for (seconds, lost) in samples {
        let result = if *lost { BAD } else { SampleResult::Good };
        heard.take(Moment::from_millis(seconds * 1_000), result);
    }
    heard
}

#[test]
fn one_of_several_whose_line_breaks_has_trouble_of_its_own() {
    let bar = Moment::from_millis(9_000);
    let (theirs, ours) = (Some(ControlVerdict::Theirs), Some(ControlVerdict::Ours));
    let twice = || heard(&[(1, false), (2, true), (3, false), (4, true), (9, false)]);
    let once = || heard(&[(1, false), (5, true), (9, false)]);
    let never = || heard(&[(1, false), (9, false)]);
    assert_eq!(whose(&vec![twice(), never()], bar, BAD), theirs);
    assert_eq!(whose(&vec![twice(), once()], bar, BAD), ours);
    assert_eq!(whose(&vec![once(), once(), once()], bar, BAD), theirs, "it was one outage");
    assert_eq!(whose(&vec![never(), once(), twice()], bar, BAD), ours);
    assert_eq!(whose(&vec![once(), never()], bar, BAD), theirs);
    let late = heard(&[(1, false), (3, true)]);
    assert_eq!(whose(&vec![twice(), late], bar, BAD), None, "it has still to answer");
}

#[test]
fn a_line_breaks_in_the_order_in_which_samples_were_sent() {
    let at = Moment::from_millis(30_000);
    // One that timed out is known later than the good one after it.
    assert_eq!(heard(&[(1, false), (3, false), (2, true)]).broke(at), 1);
    // A single outage, whose last sample is known after the first good one.
    assert_eq!(heard(&[(1, false), (2, true), (3, true), (5, false), (4, true)]).broke(at), 1);
    let few: Vec<(i64, bool)> = (0..60).map(|second| (second, second % 12 == 5)).collect();
    assert_eq!(heard(&few).broke(Moment::from_millis(60_000)), 0, "one in twelve");
    let many: Vec<(i64, bool)> = (0..2_000).map(|second| (second, second % 2 == 0)).collect();
    let many = heard(&many);
    assert!(many.lately.len() <= 62, "{}", many.lately.len());
    assert_eq!(many.broke(Moment::from_millis(2_000_000)), 30);
}
