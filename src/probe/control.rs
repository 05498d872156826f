//! "Is it me?", asked of places that are up whenever our own network is.
//!
//! A failed sample of an app counts only with a good control sample sent no earlier than [`ALLOWANCE`] before it.
//! Each control is sampled at its own period, and asked again at once when there is no such sample. One good answer
//! proves our network; what every control fails, or leaves unanswered, is our own fault until one answers.
//!
//! A line that loses some of what is sent over it has controls that answer and apps that seem to fail. So where it broke
//! twice within a minute (`LATELY`), and not for one of several controls alone, they vouch only for what an app was heard
//! to answer, and not for what may have been lost on the way.
//!
//! Good means what it means for a probe without expectations: any 2xx. A gateway of our own that answers 502 for
//! the whole world must not prove that the world can be reached. For the same reason controls are best given by name
//! and over HTTPS, as the apps are: one given by address proves nothing about our name resolution.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until, timeout};

use super::{Probe, Turn};
use crate::clock::{Clock, Moment};
use crate::config::{Ask, ControlProbe, Expect, HttpAsk, ProbeConfig};
use crate::decision::sample::{Failure, Sample, SampleResult};

/// How much earlier than the failed sample a control sample may have been sent: together with it. The operator's
/// contract allows half a second, in which a network may break and three fast probes fail.
pub const ALLOWANCE: Duration = Duration::from_millis(50);

/// So far is looked back for how often the line broke ...
const LATELY: Duration = Duration::from_secs(60);
/// ... and from so often on it is a flaky one.
const FLAKY: usize = 2;
/// Nor does a control say so that lost less than this share meanwhile: it is asked often while an app fails.
const LOSSY: f64 = 0.1;
/// More samples of a control are not kept.
const KEPT: usize = 256;

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
    board: Arc<Board>,
    /// The longest that an answer may take.
    patience: Duration,
    task: JoinHandle<()>,
}

impl Drop for Asked {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What the controls said.
type Seen = Vec<Heard>;

/// Where that is read. Who waits for news is woken in the order in which they came, which those of a watch channel are not:
/// apps that fail together would be judged in an order of chance, and no course of the simulation would repeat itself.
struct Board {
    /// Absent once the task is gone.
    seen: Mutex<Option<Seen>>,
    news: Notify,
}

impl Board {
    /// What `of` makes of it; of nothing once nobody samples any more.
    fn read<T>(&self, of: impl FnOnce(&Seen) -> Option<T>) -> Option<T> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).as_ref().and_then(of)
    }

    /// Waits for something that `of` makes of it; none once nobody samples any more.
    async fn wait_for<T>(&self, of: impl Fn(&Seen) -> Option<T>) -> Option<T> {
        loop {
            // Hears of what comes from here on, before it is waited for.
            let news = self.news.notified();
            let found = self.read(|seen| Some(of(seen)))?;
            if found.is_some() {
                return found;
            }
            news.await;
        }
    }

    fn change(&self, with: impl FnOnce(&mut Option<Seen>)) {
        with(&mut self.seen.lock().unwrap_or_else(PoisonError::into_inner));
        self.news.notify_waiters();
    }
}

/// What the task writes there. Whoever waits hears that it is gone.
struct Told(Arc<Board>);

impl Drop for Told {
    fn drop(&mut self) {
        self.0.change(|seen| *seen = None);
    }
}

/// What one of them said. Moments are when its samples were sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Heard {
    /// The newest sample that has a result.
    finished: Option<Moment>,
    /// The newest good one.
    good: Option<Moment>,
    /// Those of the last minute, in the order in which they were sent: whether they were lost on the way.
    lately: VecDeque<(Moment, bool)>,
}

impl Heard {
    fn take(&mut self, sent: Moment, result: SampleResult) {
        self.finished = self.finished.max(Some(sent));
        if result == SampleResult::Good {
            self.good = self.good.max(Some(sent));
        }
        let place = self.lately.partition_point(|(other, _)| *other <= sent);
        self.lately.insert(place, (sent, is_lost(result)));
        let is_old = |(other, _): &(Moment, bool)| self.finished.is_some_and(|last| *other + LATELY < last);
        // One older than that says how the line was before.
        while self.lately.len() > KEPT || self.lately.get(1).is_some_and(is_old) {
            self.lately.pop_front();
        }
    }

    /// How often its line broke in the minute before `at`, if it lost more than a few: a sample was lost, and the one before
    /// was not.
    fn broke(&self, at: Moment) -> usize {
        let is_of_it = |sent: Moment| sent + LATELY >= at;
        let lately = || self.lately.iter().filter(|(sent, _)| is_of_it(*sent));
        if (lately().filter(|(_, lost)| *lost).count() as f64) < LOSSY * lately().count() as f64 {
            return 0;
        }
        let pairs = self.lately.iter().zip(self.lately.iter().skip(1));
        pairs.filter(|((_, before), (sent, lost))| !before && *lost && is_of_it(*sent)).count()
    }
}

/// Whether our line loses some of what is sent over it.
fn is_flaky(seen: &Seen, at: Moment) -> bool {
    let broke = || seen.iter().map(|heard| heard.broke(at)).filter(|times| *times > 0);
    // One of several whose line breaks has trouble of its own.
    broke().max() >= Some(FLAKY) && (broke().count() > 1 || seen.len() == 1)
}

/// Whether it may never have got there, or the answer not back.
fn is_lost(result: SampleResult) -> bool {
    let (SampleResult::Bad(failure) | SampleResult::Unvouched(failure)) = result else { return false };
    matches!(failure, Failure::Dns | Failure::Connect | Failure::Tls | Failure::Timeout | Failure::Protocol)
}

/// What they say of a failure that only control samples sent at `bar` or later may speak about, or None while some control
/// has still to answer.
fn whose(seen: &Seen, bar: Moment, failed: SampleResult) -> Option<ControlVerdict> {
    let is_answered = seen.iter().any(|heard| heard.good >= Some(bar));
    if is_answered && !(is_lost(failed) && is_flaky(seen, bar)) {
        return Some(ControlVerdict::Theirs);
    }
    seen.iter().all(|heard| heard.finished >= Some(bar)).then_some(ControlVerdict::Ours)
}

impl Controls {
    /// Starts sampling the controls, each at its period, their phases spread. Needs a tokio runtime.
    pub fn start(controls: Vec<ControlProbe>, probe: Arc<dyn Probe>, clock: Arc<dyn Clock>) -> Self {
        if controls.is_empty() {
            return Self { asked: None, clock };
        }
        let patience = controls.iter().map(|control| control.timeout).max().unwrap_or_default() + SLACK;
        let nothing = vec![Heard::default(); controls.len()];
        let (wanted, wants) = watch::channel(Moment::from_millis(i64::MIN));
        let board = Arc::new(Board { seen: Mutex::new(Some(nothing)), news: Notify::new() });
        let told = Told(Arc::clone(&board));
        let task = tokio::spawn(sample_for_ever(controls, probe, Arc::clone(&clock), wants, told));
        Self { asked: Some(Asked { wanted, board, patience, task }), clock }
    }

    /// Whose fault `failed` is. At once when a control is known to be good, else after asking them again, within
    /// the longest control timeout and [`SLACK`]. A control that does not answer by then proves nothing.
    pub async fn verdict(&self, failed: &Sample) -> ControlVerdict {
        let Some(asked) = &self.asked else { return ControlVerdict::NotConfigured };
        let bar = failed.at - ALLOWANCE;
        let verdict = |seen: &Seen| whose(seen, bar, failed.result);
        if let Some(verdict) = asked.board.read(verdict) {
            return verdict;
        }
        asked.want(bar);
        let answered = timeout(asked.patience, asked.board.wait_for(verdict)).await;
        // Too late, or the task is gone: nobody vouches for our network.
        answered.ok().flatten().unwrap_or(ControlVerdict::Ours)
    }

    /// A probe that has been failing is sent at `sent`, or one that was takes long: asks the controls that were not since, so
    /// that what they answer is of the same moment, and there when it fails.
    pub fn hint(&self, sent: Moment) {
        if let Some(asked) = &self.asked {
            asked.want(sent - ALLOWANCE);
        }
    }

    /// Whether our line broke again and again lately.
    pub fn is_flaky(&self) -> bool {
        let now = self.clock.now();
        let of = |seen: &Seen| Some(is_flaky(seen, now));
        self.asked.as_ref().and_then(|asked| asked.board.read(of)).unwrap_or(false)
    }

    /// When a control was last good (when it was sent): for metrics and the API.
    pub fn last_good(&self) -> Option<Moment> {
        let of = |seen: &Seen| seen.iter().filter_map(|heard| heard.good).max();
        self.asked.as_ref().and_then(|asked| asked.board.read(of))
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
    told: Told,
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
            Some((index, sent, result)) = in_flight.next() => {
                told.0.change(|seen| {
                    if let Some(heard) = seen.as_mut().and_then(|seen| seen.get_mut(index)) {
                        heard.take(sent, result);
                    }
                });
            }
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
mod tests;
