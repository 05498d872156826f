//! One app: observe, decide, record, perform. The only owner of the app's state.

mod around;
mod command;
mod failed;
mod figure;
mod past;
mod readiness;
mod recorded;
mod round;
mod sampled;
mod show;
mod sight;

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::sync::{mpsc, watch};
use tokio::task::{AbortHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use super::Shell;
use super::apps::{Seat, Wanted};
use super::look::{Looked, PlatformWitness};
use super::perform::Performed;
use super::poll::Account;
use super::ready::Readiness;
use super::record::Recorder;
use crate::clock::Moment;
use crate::config::{AppConfig, ProbeConfig};
use crate::decision::effect::{Answer, Effect, Reason};
use crate::decision::measuring::Measuring;
use crate::decision::observation::{AppView, Deployment, Reading};
use crate::decision::rule::regression::Before;
use crate::decision::sample::Window;
use crate::decision::state::{Attention, Situation, SoftPin, State};
use crate::decision::version::Versions;
use crate::ids::{DeploymentId, RuleName};
use crate::metrics::{AppMetrics, Heartbeat};
use crate::probe::needs::Needs;
use crate::probe::peers::Peer;
use crate::probe::schedule::{Attention as Pacing, Schedule, Wake};
use crate::probe::waking::Waking;
use crate::probe::{Turn, Versioned, Witness, believed};

use around::Around;
use command::longest_period;
pub(super) use command::{About, Command, Led, Word};
use failed::Failed;
use figure::Figure;
use recorded::{Answered, Records};
use sight::CLOSE_LOOK;

/// The loop comes round at least this often.
const LONGEST_NAP: Duration = Duration::from_secs(10);

/// What answers at all has mostly done so by then.
const LATE: Duration = Duration::from_millis(250);

/// An app's task.
pub(super) struct App {
    pub(super) shell: Arc<Shell>,
    pub(super) config: Arc<AppConfig>,
    pub(super) account: Account,
    seat: Seat,
    pub(super) metrics: Arc<AppMetrics>,
    pub(super) heartbeat: Arc<Heartbeat>,
    slice: watch::Receiver<Reading<AppView>>,
    commands: mpsc::Receiver<Command>,
    stop: CancellationToken,
    peer: Arc<Peer>,
    recorder: Recorder,
    /// The state as the journal has it; `None` until it was read, and after a write that may have failed.
    pub(super) state: Option<State>,
    pub(super) windows: Vec<Window>,
    /// Which versions have answered, one a probe.
    versions: Vec<Versions>,
    /// The deployment that was live before the one that `view` shows.
    former: Option<Deployment>,
    /// What samples amount to that are not kept.
    measuring: Measuring,
    /// What that came to, rounded, when somebody asked last.
    known: Option<(Moment, BTreeMap<RuleName, Before>)>,
    /// When that is to be kept in the journal; none before it was read there.
    keep_past_at: Option<Moment>,
    probes: Vec<Probing>,
    waking: Waking,
    pub(super) view: Reading<AppView>,
    /// When the last read was sent that showed another live deployment than `view`.
    other_was_live_at: Option<Moment>,
    history: Reading<Vec<Deployment>>,
    /// A person's word that was not decided on yet.
    word: Option<Word>,
    answer: Option<Answer>,
    /// What `answer`, or what is being performed, answers: the call and when it was decided.
    performed: Option<(Effect, Moment)>,
    pub(super) waiting: Option<Reason>,
    wake_at: Option<Moment>,
    /// Tasks of their own: this one may wait for the journal, and that must not look like an app's latency.
    sampling: JoinSet<(usize, Option<DeploymentId>, Versioned)>,
    looking: Option<BoxFuture<'static, Looked>>,
    performing: Option<BoxFuture<'static, Performed>>,
    asking: Option<BoxFuture<'static, Option<Readiness>>>,
    /// What is known of the readiness to roll back.
    pub(super) readiness: Option<Box<Readiness>>,
    /// What is known of deployments that did not go live.
    pub(super) failed: Failed,
    around: Around,
    records: Records,
    next_question: Moment,
    /// That is its turn among the account's apps.
    has_turn: bool,
    next_look: Moment,
    /// One look is wanted, whatever the attention: a rule is Bad and the candidate must be seen to be live still, or
    /// an incident is over and its pin should be seen to be settled.
    wants_look: bool,
    looked_at: Moment,
    /// Looks in a row that failed.
    failed_looks: u32,
    journal_retry: Moment,
    last_round: Moment,
    is_retiring: bool,
}

struct Probing {
    schedule: Schedule,
    is_under_way: bool,
    /// Samples taken so far.
    taken: u32,
    /// A figure of the platform that is read, or waits for its turn.
    reading: Option<AbortHandle>,
    /// That there is no such figure was told.
    told: Arc<AtomicBool>,
}

enum Woken {
    Stop,
    Command(Option<Command>),
    Sampled(usize, Option<DeploymentId>, Versioned),
    Looked(Looked),
    Performed(Performed),
    Ready(Option<Readiness>),
    Recorded(Answered),
    Slice,
    Time,
}

impl App {
    /// A task for an app, not yet running.
    pub(super) fn new(
        shell: Arc<Shell>,
        Wanted { config, account }: Wanted,
        seat: Seat,
        commands: mpsc::Receiver<Command>,
        stop: CancellationToken,
    ) -> Self {
        let now = shell.clock.now();
        let metrics = Arc::new(AppMetrics::new(&config.policy));
        shell.metrics.show_app(Arc::clone(&metrics));
        let heartbeat = Arc::new(Heartbeat::default());
        heartbeat.beat(now);
        let peer = Arc::new(shell.peers.join(longest_period(&config), Some(Arc::clone(&config))));
        let slice = account.slices.of(&config.id);
        let mut app = Self {
            recorder: Recorder::default(),
            slice,
            heartbeat,
            commands,
            stop,
            peer,
            state: None,
            windows: Vec::new(),
            versions: Vec::new(),
            former: None,
            measuring: Measuring::default(),
            known: None,
            keep_past_at: None,
            probes: Vec::new(),
            waking: Waking::default(),
            view: Reading::never(),
            other_was_live_at: None,
            history: Reading::never(),
            word: None,
            answer: None,
            performed: None,
            waiting: None,
            wake_at: None,
            sampling: JoinSet::new(),
            looking: None,
            performing: None,
            asking: None,
            readiness: None,
            failed: Failed::default(),
            around: Around::new(now),
            records: Records::default(),
            next_question: now,
            has_turn: false,
            next_look: now,
            wants_look: false,
            looked_at: now - CLOSE_LOOK,
            failed_looks: 0,
            journal_retry: now,
            last_round: now,
            is_retiring: false,
            shell,
            config,
            account,
            seat,
            metrics,
        };
        app.plan_probes(now);
        app
    }

    /// Runs until stopped or retired.
    ///
    /// What is rarely awaited is boxed: a future is as large as its largest await, ten thousand apps have one each,
    /// and nearly all of them wait for the next sample nearly all of the time. For the same reason the app is
    /// borrowed: a future that is given it by value keeps room for it twice.
    pub(super) async fn run(&mut self) {
        loop {
            let now = self.shell.clock.now();
            self.heartbeat.beat(now);
            self.count_blindness(now);
            self.take_seat();
            self.forget_old_readiness(now);
            Box::pin(self.round()).await;
            Box::pin(self.keep_past(now)).await;
            if self.is_retiring && self.is_idle() {
                return;
            }
            self.start_work();
            self.show();
            match self.wait().await {
                Woken::Stop => break,
                woken => {
                    if self.handle(woken).is_break() {
                        return;
                    }
                }
            }
        }
        self.sampling.shutdown().await;
        Box::pin(self.drain()).await;
    }

    /// Whether nothing is left to be done or told: a pin of ours is told for as long as it is there, pushes that we pause are
    /// let go, and a rollback that was lost may come yet, unless the app itself is gone.
    fn is_idle(&self) -> bool {
        let now = self.shell.clock.now();
        let awaits = |state: &State| {
            let is_of_ours = |pin: &SoftPin| pin.may_be_ours(now) || pin.is_to_be_told(now);
            state.ledger.soft_pin.as_ref().is_some_and(is_of_ours) || !state.ledger.lost.is_empty()
        };
        let is_told = |state: &State| match &state.situation {
            Situation::Incident(_) => false,
            _ if state.is_gone() => true,
            Situation::Held(hold) => hold.pin.is_none() && !awaits(state),
            _ => !awaits(state),
        };
        self.performing.is_none() && self.state.as_ref().is_some_and(is_told)
    }

    /// Whether what is live was seen to be good.
    fn runs_what_is_good(&self) -> bool {
        let is_good = |state: &State| {
            state.live().is_some_and(|live| state.ledger.good.iter().any(|good| good.id == live.id))
        };
        self.state.as_ref().is_some_and(is_good)
    }

    /// Starts what is due: samples, and reads of the app itself.
    fn start_work(&mut self) {
        let now = self.shell.clock.now();
        let attention = self.state.as_ref().map_or(Attention::Rest, State::attention);
        let pacing = match attention {
            Attention::Rest => Pacing::Rest,
            Attention::Watch => Pacing::Watch,
            Attention::Close => Pacing::Close,
        };
        let is_judged = attention != Attention::Rest;
        self.peer.has_changed(is_judged || !self.runs_what_is_good(), now);
        let (was_well, since) =
            (self.was_well(), self.state.as_ref().and_then(State::live).map(|live| live.since));
        let asks_needs = is_judged && !self.config.depends_on.is_empty();
        let slow_from: Vec<_> =
            (0..self.probes.len()).filter(|_| asks_needs).map(|n| self.slow_from(n)).collect();
        for (n, probing) in self.probes.iter_mut().enumerate() {
            probing.schedule.attend(pacing, now);
            if !is_judged && !self.config.probes[n].ask.is_asked_at_rest() {
                probing.stop_reading();
                continue;
            }
            if !probing.is_under_way && probing.schedule.wake(now) == Wake::Now {
                probing.is_under_way = true;
                let turn = Turn::Nth(probing.taken);
                probing.taken = probing.taken.wrapping_add(1);
                let last = self.windows.get(n).and_then(Window::last);
                if last.is_some_and(|last| last.result.has_failed()) {
                    // It may fail again: the control's answer shall be at hand then.
                    self.shell.controls.borrow().hint(now);
                }
                let (shell, config, peer) =
                    (Arc::clone(&self.shell), Arc::clone(&self.config), Arc::clone(&self.peer));
                // At rest nobody is asked, and what fails accuses nobody.
                let witness = is_judged.then(|| PlatformWitness {
                    platform: Arc::clone(&self.account.platform),
                    app: config.id.clone(),
                    peers: shell.peers.clone(),
                    clock: Arc::clone(&shell.clock),
                });
                let figure =
                    Figure::of(&shell, &self.account, (&config, n), self.state.as_ref(), &probing.told);
                let (is_figure, live) = (figure.is_some(), figure.as_ref().map(Figure::live));
                let (past, slow_from) = (Arc::clone(&self.around.past), slow_from.get(n).copied().flatten());
                let sampled = self.sampling.spawn(async move {
                    let probe = &config.probes[n];
                    let (sample, version) = match &figure {
                        Some(figure) => (Box::pin(figure.sample(probe)).await, None),
                        None => in_time(&shell, probe, turn, is_judged).await,
                    };
                    let controls = Arc::clone(&shell.controls.borrow());
                    let witness = witness.as_ref().map(|witness| witness as &dyn Witness);
                    let asks = shell.probe.as_ref();
                    let needs = Needs {
                        probe: asks,
                        app: &config,
                        past: &past,
                        is_judged,
                        since,
                        was_well,
                        slow_from,
                    };
                    let needs = (!config.depends_on.contains(&n)).then_some(needs);
                    let sample = believed(&probe.ask, sample, &controls, &peer, witness, needs).await;
                    (n, live, (sample, version))
                });
                probing.reading = is_figure.then_some(sampled);
            }
        }
        if attention == Attention::Rest {
            self.history = Reading::never();
        }
        if self.looking.is_none() && self.performing.is_none() && now >= self.next_look {
            self.look(now);
        }
        self.ask_readiness(now);
        self.ask_records(now);
    }

    async fn wait(&mut self) -> Woken {
        let now = self.shell.clock.now();
        let soonest = self.soonest().max(now);
        let nap = soonest.since(now).min(LONGEST_NAP);
        tokio::select! {
            biased;
            () = self.stop.cancelled() => Woken::Stop,
            // Before commands: who reads the API asks for as many as they like, and the call is made in here.
            performed = finished(&mut self.performing) => Woken::Performed(performed),
            looked = finished(&mut self.looking) => Woken::Looked(looked),
            Some(Ok((n, live, sample))) = self.sampling.join_next() => Woken::Sampled(n, live, sample),
            command = self.commands.recv() => Woken::Command(command),
            readiness = finished(&mut self.asking) => Woken::Ready(readiness),
            answered = finished(&mut self.records.under_way) => Woken::Recorded(answered),
            Ok(()) = self.slice.changed() => Woken::Slice,
            () = tokio::time::sleep(nap) => Woken::Time,
        }
    }

    fn soonest(&self) -> Moment {
        let mut soonest = self.last_round + LONGEST_NAP;
        let mut consider = |moment: Moment| soonest = soonest.min(moment);
        for (probe, probing) in self.config.probes.iter().zip(&self.probes) {
            if !probing.is_under_way && self.asks(probe) {
                consider(probing.schedule.due());
            }
        }
        if let Some(wake_at) = self.wake_at {
            consider(wake_at);
        }
        if self.state.is_none() {
            consider(self.journal_retry);
        }
        if self.may_ask() {
            consider(self.next_question);
        }
        // Only for a look that would be made: one that is due and not made would wake the loop for ever.
        if self.looking.is_none() && self.performing.is_none() && self.wanted().is_some() {
            consider(self.next_look);
        }
        soonest
    }

    fn handle(&mut self, woken: Woken) -> ControlFlow<()> {
        match woken {
            Woken::Stop | Woken::Command(None) => return ControlFlow::Break(()),
            Woken::Command(Some(command)) => self.obey(command),
            Woken::Sampled(n, live, sample) => self.take_sample(n, live.as_ref(), sample),
            Woken::Looked(looked) => self.take_look(looked),
            Woken::Performed(performed) => self.take_answer(performed),
            Woken::Ready(readiness) => self.take_readiness(readiness),
            Woken::Recorded(answered) => self.take_recorded(answered),
            Woken::Slice => {
                let slice = self.slice.borrow_and_update().clone();
                self.take_view(slice);
            }
            Woken::Time => {}
        }
        ControlFlow::Continue(())
    }
}

/// A sample. Where a release is judged by it and it is late, the controls are asked meanwhile: what they answer is of the
/// moment at which it may have been lost, and not of the one at which that is noticed.
async fn in_time(shell: &Shell, probe: &ProbeConfig, turn: Turn, is_judged: bool) -> Versioned {
    let sent = shell.clock.now();
    let mut sampled = shell.probe.versioned(probe, turn);
    if is_judged {
        match tokio::time::timeout(LATE.min(probe.timeout / 2), &mut sampled).await {
            Ok(sampled) => return sampled,
            Err(_) => shell.controls.borrow().hint(sent),
        }
    }
    sampled.await
}

/// The result of a future that may not be there; waits for ever when it is not.
async fn finished<T>(slot: &mut Option<BoxFuture<'static, T>>) -> T {
    match slot {
        Some(future) => future.await,
        None => std::future::pending().await,
    }
}
