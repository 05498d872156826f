//! "Is it me?", asked of places that are up whenever our own network is.
//!
//! A failed sample of an app counts only with a good control sample sent no earlier than [`ALLOWANCE`] before it.
//! Each control is sampled at its own period, and asked again at once when there is no such sample. One good answer
//! proves our network; what every control fails, or leaves unanswered, is our own fault until one answers.
//!
//! Good means what it means for a probe without expectations: any 2xx. A gateway of our own that answers 502 for
//! the whole world must not prove that the world can be reached. For the same reason controls are best given by name
//! and over HTTPS, as the apps are: one given by address proves nothing about our name resolution.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until, timeout};

use super::{Probe, Turn};
use crate::clock::{Clock, Moment};
use crate::config::{Ask, ControlProbe, Expect, HttpAsk, ProbeConfig};
use crate::decision::sample::{Sample, SampleResult};

/// How much earlier than the failed sample a control sample may have been sent: together with it. The operator's
/// contract allows half a second, in which a network may break and three fast probes fail.
pub const ALLOWANCE: Duration = Duration::from_millis(50);

/// Added to the longest control timeout: starting a task and reading a clock on a busy machine.
pub const SLACK: Duration = Duration::from_millis(500);

/// Whose fault a failed sample is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ControlVerdict {
    /// No control answers: our own network.
    Ours,
    /// A control answers: the app is at fault.
    Theirs,
    /// There is no control to ask.
    NotConfigured,
}

/// The control probes, sampled by a task of their own for as long as this lives. Shared behind an `Arc`.
pub struct Controls {
    /// Absent when no control is configured.
    asked: Option<Asked>,
    clock: Arc<dyn Clock>,
}

struct Asked {
    /// Controls are wanted that were sent no earlier than this. A thousand apps that fail at once leave one value.
    wanted: watch::Sender<Moment>,
    seen: watch::Receiver<Seen>,
    /// The longest that an answer may take.
    patience: Duration,
    task: JoinHandle<()>,
}

impl Drop for Asked {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What the controls said, by when the samples were sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Seen {
    /// The newest good sample of any control.
    good: Option<Moment>,
    /// The newest sample of each control that has a result.
    finished: Vec<Option<Moment>>,
}

impl Seen {
    /// What this says of a failure that only control samples sent at `bar` or later may speak about, or None
    /// while some control has still to answer.
    fn verdict(&self, bar: Moment) -> Option<ControlVerdict> {
        if self.good.is_some_and(|at| at >= bar) {
            return Some(ControlVerdict::Theirs);
        }
        let all = self.finished.iter().all(|at| at.is_some_and(|at| at >= bar));
        all.then_some(ControlVerdict::Ours)
    }
}

impl Controls {
    /// Starts sampling the controls, each at its period, their phases spread. Needs a tokio runtime.
    pub fn start(controls: Vec<ControlProbe>, probe: Arc<dyn Probe>, clock: Arc<dyn Clock>) -> Self {
        if controls.is_empty() {
            return Self { asked: None, clock };
        }
        let patience = controls.iter().map(|control| control.timeout).max().unwrap_or_default() + SLACK;
        let nothing = Seen { good: None, finished: vec![None; controls.len()] };
        let (wanted, wants) = watch::channel(Moment::from_millis(i64::MIN));
        let (tell, seen) = watch::channel(nothing);
        let task = tokio::spawn(sample_for_ever(controls, probe, Arc::clone(&clock), wants, tell));
        Self { asked: Some(Asked { wanted, seen, patience, task }), clock }
    }

    /// Whose fault `failed` is. At once when a control is known to be good, else after asking them again, within
    /// the longest control timeout and [`SLACK`]. A control that does not answer by then proves nothing.
    pub async fn verdict(&self, failed: &Sample) -> ControlVerdict {
        let Some(asked) = &self.asked else { return ControlVerdict::NotConfigured };
        let bar = failed.at - ALLOWANCE;
        if let Some(verdict) = asked.seen.borrow().verdict(bar) {
            return verdict;
        }
        asked.want(bar);
        let mut seen = asked.seen.clone();
        let answered = timeout(asked.patience, seen.wait_for(|seen| seen.verdict(bar).is_some())).await;
        match answered {
            Ok(Ok(seen)) => seen.verdict(bar).unwrap_or(ControlVerdict::Ours),
            // Too late, or the task is gone: nobody vouches for our network.
            Ok(Err(_)) | Err(_) => ControlVerdict::Ours,
        }
    }

    /// A probe that has been failing is sent now: asks the controls together with it, so that the answer is there when
    /// it fails again.
    pub fn hint(&self) {
        if let Some(asked) = &self.asked {
            asked.want(self.clock.now());
        }
    }

    /// When a control was last good (when it was sent): for metrics and the API.
    pub fn last_good(&self) -> Option<Moment> {
        self.asked.as_ref().and_then(|asked| asked.seen.borrow().good)
    }

    /// Whether the task still runs. When it does not, every failure is [`ControlVerdict::Ours`] and the process is
    /// better started again.
    pub fn is_running(&self) -> bool {
        self.asked.as_ref().is_none_or(|asked| !asked.task.is_finished())
    }
}

impl Asked {
    fn want(&self, bar: Moment) {
        self.wanted.send_if_modified(|wanted| {
            let later = bar > *wanted;
            *wanted = bar.max(*wanted);
            later
        });
    }
}

/// One control and what is under way for it.
struct Control {
    config: ProbeConfig,
    /// When its newest sample was sent, finished or not.
    sent: Option<Moment>,
    due: Instant,
}

impl Control {
    fn new(index: usize, count: usize, control: ControlProbe, now: Instant) -> Self {
        let spread = control.period.mul_f64(index as f64 / count as f64);
        let config = ProbeConfig {
            name: format!("control-{index}").into(),
            ask: Ask::Http(HttpAsk {
                url: control.url,
                headers: std::collections::BTreeMap::new(),
                expect: Expect::default(),
            }),
            // A period of zero would leave no time for anything else.
            period: control.period.max(Duration::from_millis(100)),
            watch_period: control.period,
            burst: control.period,
            timeout: control.timeout,
            settle: Duration::ZERO,
            window: 1,
        };
        Self { config, sent: None, due: now + spread }
    }

    /// Moves on to the next slot, skipping those that were missed.
    fn pass(&mut self, now: Instant) {
        let missed = now.saturating_duration_since(self.due).as_nanos() / self.config.period.as_nanos();
        self.due += self.config.period * (u32::try_from(missed).unwrap_or(u32::MAX - 1) + 1);
    }
}

type InFlight = FuturesUnordered<BoxFuture<'static, (usize, Moment, SampleResult)>>;

async fn sample_for_ever(
    configs: Vec<ControlProbe>,
    probe: Arc<dyn Probe>,
    clock: Arc<dyn Clock>,
    mut wants: watch::Receiver<Moment>,
    tell: watch::Sender<Seen>,
) {
    let (start, count) = (Instant::now(), configs.len());
    let mut controls: Vec<Control> =
        configs.into_iter().enumerate().map(|(i, config)| Control::new(i, count, config, start)).collect();
    let mut in_flight = InFlight::new();
    loop {
        let due = controls.iter().map(|control| control.due).min().unwrap_or(start);
        tokio::select! {
            biased;
            () = sleep_until(due) => {
                let now = Instant::now();
                for (index, control) in controls.iter_mut().enumerate().filter(|(_, c)| c.due <= now) {
                    control.pass(now);
                    in_flight.push(send(index, control, &probe, clock.now()));
                }
            }
            changed = wants.changed() => {
                if changed.is_err() {
                    return;
                }
                let bar = *wants.borrow_and_update();
                for (index, control) in controls.iter_mut().enumerate() {
                    // What was sent since serves as well, whether it is under way or has failed already.
                    if control.sent.is_none_or(|sent| sent < bar) {
                        in_flight.push(send(index, control, &probe, clock.now()));
                    }
                }
            }
            Some((index, sent, result)) = in_flight.next() => tell.send_modify(|seen| {
                seen.finished[index] = seen.finished[index].max(Some(sent));
                if result == SampleResult::Good {
                    seen.good = seen.good.max(Some(sent));
                }
            }),
        }
    }
}

/// Sends a sample. `now` is taken as the time it was sent: the probe's own reading can only be later.
fn send(
    index: usize,
    control: &mut Control,
    probe: &Arc<dyn Probe>,
    now: Moment,
) -> BoxFuture<'static, (usize, Moment, SampleResult)> {
    control.sent = Some(now);
    let (probe, config) = (Arc::clone(probe), control.config.clone());
    Box::pin(async move { (index, now, probe.sample(&config, Turn::Any).await.result) })
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::Pin;
    use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};

    use tokio::sync::Semaphore;

    use super::*;
    use crate::clock::Mark;
    use crate::decision::sample::Failure;

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
    async fn a_round_under_way_that_is_too_old_is_not_waited_for() {
        let (controls, fake, clock) = start([true, true], 1_500);
        pass(2_600).await;
        controls.hint();
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
            controls.hint();
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
}
