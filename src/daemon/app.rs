//! One app: observe, decide, record, perform. The only owner of the app's state.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use super::Shell;
use super::look::{self, Looked};
use super::perform::{Order, Performed, perform};
use super::poll::Account;
use super::record::Recorder;
use crate::clock::Moment;
use crate::config::AppConfig;
use crate::decision::decide;
use crate::decision::effect::{Answer, Effect, Reason, Verb};
use crate::decision::observation::{AppView, Deployment, Observation, Operator, Reading, Request};
use crate::decision::rule;
use crate::decision::sample::{BlindCause, Sample, SampleResult, Window};
use crate::decision::state::{Attention, Situation, Stage, State};
use crate::ids::IncidentId;
use crate::metrics::{AppMetrics, Heartbeat};
use crate::probe::believed;
use crate::probe::peers::Peer;
use crate::probe::schedule::{Attention as Pacing, Pace, Schedule, Wake};
use crate::server::{ActionError, AppStatus};

/// The loop comes round at least this often.
const LONGEST_NAP: Duration = Duration::from_secs(10);
/// The app itself is read this often in an incident, or as often as the account is polled if that is faster.
const CLOSE_LOOK: Duration = Duration::from_secs(3);
/// A look that was wanted and failed is repeated after this time.
const LOOK_AGAIN: Duration = Duration::from_millis(500);
/// How long the journal is left alone after it failed.
const JOURNAL_RETRY: Duration = Duration::from_secs(1);
/// A decision leads to another one at most this often in a row; the rest waits for the next round.
const MOST_IN_A_ROW: usize = 8;
/// How long a drain waits for the answer to a call that was sent.
const DRAIN: Duration = Duration::from_secs(4);

/// What others may ask of an app's task. Small, since every app keeps room for a few.
pub(super) enum Command {
    /// How the app is.
    Status(oneshot::Sender<Box<AppStatus>>),
    /// The configuration changed.
    Reconfigure(Box<(Arc<AppConfig>, Account)>),
    /// The app left the configuration: end once no incident is open.
    Retire,
    /// A person's word on the incident, or `None` for whatever is held.
    Request(Box<Asked>),
}

/// A person's word, and where the answer goes.
pub(super) struct Asked {
    pub(super) incident: Option<IncidentId>,
    pub(super) request: Request,
    pub(super) reply: oneshot::Sender<Result<(), ActionError>>,
}

/// An app's task.
pub(super) struct App {
    pub(super) shell: Arc<Shell>,
    pub(super) config: Arc<AppConfig>,
    pub(super) account: Account,
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
    probes: Vec<Probing>,
    pub(super) view: Reading<AppView>,
    /// When the last read was sent that showed another live deployment than `view`.
    other_was_live_at: Option<Moment>,
    history: Reading<Vec<Deployment>>,
    request: Option<Request>,
    answer: Option<Answer>,
    pub(super) waiting: Option<Reason>,
    wake_at: Option<Moment>,
    sampling: FuturesUnordered<BoxFuture<'static, (usize, Sample)>>,
    looking: Option<BoxFuture<'static, Looked>>,
    performing: Option<BoxFuture<'static, Performed>>,
    next_look: Moment,
    /// One look is wanted, whatever the attention: a rule is Bad and the candidate must be seen to be live still, or
    /// an incident is over and its pin should be seen to be settled.
    wants_look: bool,
    looked_at: Moment,
    journal_retry: Moment,
    last_round: Moment,
    is_retiring: bool,
}

struct Probing {
    schedule: Schedule,
    is_under_way: bool,
}

enum Woken {
    Stop,
    Command(Option<Command>),
    Sampled(usize, Sample),
    Looked(Looked),
    Performed(Performed),
    Slice,
    Time,
}

impl App {
    /// A task for `config`, not yet running.
    pub(super) fn new(
        shell: Arc<Shell>,
        config: Arc<AppConfig>,
        account: Account,
        commands: mpsc::Receiver<Command>,
        stop: CancellationToken,
    ) -> Self {
        let now = shell.clock.now();
        let metrics = Arc::new(AppMetrics::new(&config.policy));
        shell.metrics.show_app(Arc::clone(&metrics));
        let heartbeat = Arc::new(Heartbeat::default());
        heartbeat.beat(now);
        let longest = config.probes.iter().map(|probe| probe.period).max().unwrap_or_default();
        let peer = Arc::new(shell.peers.join(longest));
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
            probes: Vec::new(),
            view: Reading::never(),
            other_was_live_at: None,
            history: Reading::never(),
            request: None,
            answer: None,
            waiting: None,
            wake_at: None,
            sampling: FuturesUnordered::new(),
            looking: None,
            performing: None,
            next_look: now,
            wants_look: false,
            looked_at: now - LOOK_AGAIN,
            journal_retry: now,
            last_round: now,
            is_retiring: false,
            shell,
            config,
            account,
            metrics,
        };
        app.plan_probes(now);
        app
    }

    /// Runs until stopped or retired.
    ///
    /// What is rarely awaited is boxed: a future is as large as its largest await, ten thousand apps have one each,
    /// and nearly all of them wait for the next sample nearly all of the time.
    pub(super) async fn run(mut self) {
        loop {
            let now = self.shell.clock.now();
            self.heartbeat.beat(now);
            self.count_blindness(now);
            Box::pin(self.round()).await;
            if self.is_retiring && self.is_idle() {
                return;
            }
            self.start_work();
            self.show();
            match self.wait().await {
                Woken::Stop => return Box::pin(self.drain()).await,
                woken => {
                    if self.handle(woken).is_break() {
                        return;
                    }
                }
            }
        }
    }

    /// Decides until nothing changes any more.
    async fn round(&mut self) {
        if self.state.is_none() && !self.restore().await {
            return;
        }
        for _ in 0..MOST_IN_A_ROW {
            let Some(state) = self.state.take() else { return };
            let operator =
                Operator { paused: self.shell.paused.is_paused(&self.config.name), request: self.request };
            let answer = self.answer.take();
            let seen = Observation {
                at: self.shell.clock.now(),
                app: &self.view,
                other_was_live_at: self.other_was_live_at,
                history: &self.history,
                windows: &self.windows,
                answer: answer.as_ref(),
                operator,
            };
            let decision = decide(&self.config.policy, &state, &seen);
            self.wake_at = decision.wake_at;
            note_waiting(&self.metrics, &mut self.waiting, decision.waiting);
            if decision.look && self.looking.is_none() {
                self.wants_look = true;
                self.next_look = self.next_look.min((self.looked_at + LOOK_AGAIN).max(seen.at));
            }
            let Some(change) = decision.change else {
                self.state = Some(state);
                // A word that changes nothing now is not kept for later.
                self.request = None;
                return;
            };
            let recorded = self.recorder.record(&self.shell, &self.config, &state, &seen, &change).await;
            if let Err(error) = recorded {
                self.journal_failed(&error.to_string());
                // What the platform answered is not lost: it is decided on again once the journal is back.
                self.answer = answer;
                return;
            }
            self.request = None;
            if change.closed.as_ref().is_some_and(|closed| closed.reason == Reason::ObserveMode) {
                // What observe mode wanted counts for the storm breaker, too.
                let _ = self.shell.fleet.want(&self.config.name).await;
            }
            self.recorder.announce(&self.shell, &self.config, &self.metrics, &state, &change);
            if change.closed.is_some() || change.effect.is_none() {
                // Something is over, or waits for what only the platform can show.
                self.wants_look = change.closed.is_some();
                self.next_look = self.shell.clock.now();
            }
            self.begin(change.effect);
            self.state = Some(change.state);
        }
        self.wake_at = Some(self.shell.clock.now());
    }

    /// Reads the state from the journal. An effect that is open there may have been sent: its answer is unresolved.
    async fn restore(&mut self) -> bool {
        let now = self.shell.clock.now();
        if now < self.journal_retry {
            return false;
        }
        match self.recorder.restore(&self.shell, &self.config.name).await {
            Ok(state) => {
                if state.owed().is_some() && self.answer.is_none() && self.performing.is_none() {
                    self.answer = Some(Answer::Unresolved);
                    self.next_look = now;
                }
                self.shell.journal_works(true);
                self.state = Some(state);
                true
            }
            Err(error) => {
                self.journal_failed(&error.to_string());
                false
            }
        }
    }

    fn journal_failed(&mut self, error: &str) {
        if self.shell.journal_works(false) {
            tracing::error!(app = %self.config.name, error, "the journal fails: nothing is done until it works again");
        }
        self.state = None;
        self.journal_retry = self.shell.clock.now() + JOURNAL_RETRY;
    }

    fn begin(&mut self, effect: Option<Effect>) {
        let Some(effect) = effect else { return };
        let order = Order {
            app: self.config.name.clone(),
            id: self.config.id.clone(),
            effect,
            platform: Arc::clone(&self.account.platform),
            fleet: self.shell.fleet.clone(),
            paused: self.shell.paused.clone(),
            clock: Arc::clone(&self.shell.clock),
            limit: self.account.config.timeout * 3,
        };
        self.performing = Some(Box::pin(perform(order)));
    }

    fn is_idle(&self) -> bool {
        self.performing.is_none() && self.state.as_ref().is_some_and(|state| state.incident().is_none())
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
        for (n, probing) in self.probes.iter_mut().enumerate() {
            probing.schedule.attend(pacing, now);
            if !probing.is_under_way && probing.schedule.wake(now) == Wake::Now {
                probing.is_under_way = true;
                let (shell, config, peer) =
                    (Arc::clone(&self.shell), Arc::clone(&self.config), Arc::clone(&self.peer));
                self.sampling.push(Box::pin(async move {
                    let sample = shell.probe.sample(&config.probes[n]).await;
                    let controls = Arc::clone(&shell.controls.borrow());
                    (n, believed(sample, &controls, &peer).await)
                }));
            }
        }
        if attention == Attention::Rest {
            self.history = Reading::never();
        }
        if self.looking.is_none() && self.performing.is_none() && now >= self.next_look {
            self.look(attention, now);
        }
    }

    fn look(&mut self, attention: Attention, now: Moment) {
        let pace = self.account.config.poll.min(CLOSE_LOOK);
        let hold = self.account.platform.budget().hold_reads.unwrap_or_default();
        let wants = match (attention, self.state.as_ref().map(|state| &state.situation)) {
            (Attention::Close, _) => Some(look::Wants::AppAndHistory),
            _ if std::mem::take(&mut self.wants_look) => Some(look::Wants::AppAndHistory),
            // A candidate's predecessors are read once, so that they are at hand when a rule fires.
            (Attention::Watch, Some(Situation::Watching(watch)))
                if self.history.read_at().is_none_or(|read| read < watch.live.since) =>
            {
                Some(look::Wants::History)
            }
            _ => None,
        };
        let Some(wants) = wants else { return };
        let wait = match wants {
            look::Wants::AppAndHistory => pace,
            look::Wants::History => self.account.config.poll,
        };
        self.next_look = now + wait.max(hold);
        if hold > Duration::ZERO {
            return;
        }
        self.looked_at = now;
        let (platform, id) = (Arc::clone(&self.account.platform), self.config.id.clone());
        let (clock, turns) = (Arc::clone(&self.shell.clock), Arc::clone(&self.account.turns));
        self.looking = Some(Box::pin(look::look(platform, id, clock, wants, turns)));
    }

    async fn wait(&mut self) -> Woken {
        let now = self.shell.clock.now();
        let soonest = self.soonest().max(now);
        let nap = soonest.since(now).min(LONGEST_NAP);
        tokio::select! {
            biased;
            () = self.stop.cancelled() => Woken::Stop,
            command = self.commands.recv() => Woken::Command(command),
            Some((n, sample)) = self.sampling.next() => Woken::Sampled(n, sample),
            performed = finished(&mut self.performing) => Woken::Performed(performed),
            looked = finished(&mut self.looking) => Woken::Looked(looked),
            Ok(()) = self.slice.changed() => Woken::Slice,
            () = tokio::time::sleep(nap) => Woken::Time,
        }
    }

    fn soonest(&self) -> Moment {
        let mut soonest = self.last_round + LONGEST_NAP;
        let mut consider = |moment: Moment| soonest = soonest.min(moment);
        for probing in self.probes.iter().filter(|probing| !probing.is_under_way) {
            consider(probing.schedule.due());
        }
        if let Some(wake_at) = self.wake_at {
            consider(wake_at);
        }
        let state = self.state.as_ref();
        if state.is_none() {
            consider(self.journal_retry);
        }
        let looks = self.wants_look || state.is_some_and(|state| state.attention() != Attention::Rest);
        if looks && self.looking.is_none() && self.performing.is_none() {
            consider(self.next_look);
        }
        soonest
    }

    fn handle(&mut self, woken: Woken) -> ControlFlow<()> {
        match woken {
            Woken::Stop | Woken::Command(None) => return ControlFlow::Break(()),
            Woken::Command(Some(command)) => self.obey(command),
            Woken::Sampled(n, sample) => self.take_sample(n, sample),
            Woken::Looked(looked) => self.take_look(looked),
            Woken::Performed(performed) => self.take_answer(performed),
            Woken::Slice => {
                let slice = self.slice.borrow_and_update().clone();
                self.take_view(slice);
            }
            Woken::Time => {}
        }
        ControlFlow::Continue(())
    }

    fn take_sample(&mut self, n: usize, sample: Sample) {
        let now = self.shell.clock.now();
        let (Some(probing), Some(window)) = (self.probes.get_mut(n), self.windows.get_mut(n)) else { return };
        probing.is_under_way = false;
        probing.schedule.finished(&sample, now);
        window.push(sample);
        self.metrics.sample(n, &sample);
        if matches!(sample.result, SampleResult::Bad(_)) {
            // The next failure's control sample shall be at hand when it is needed.
            self.shell.controls.borrow().hint();
        }
    }

    fn take_look(&mut self, looked: Looked) {
        self.looking = None;
        if looked.is_denied() {
            self.account.platform.reload_token();
        }
        if let Some(view) = looked.view {
            self.take_view(view);
        }
        if let Some(history) = looked.history {
            look::merge(&mut self.history, history);
        }
    }

    fn take_view(&mut self, view: Reading<AppView>) {
        let live = |view: &AppView| view.active.as_ref().map(|active| active.id.clone());
        let before = self.view.last.as_ref().map(|(at, view)| (*at, live(view)));
        look::merge(&mut self.view, view);
        if let Some((at, before)) = before
            && before != self.view.value().and_then(live)
        {
            self.other_was_live_at = Some(at);
        }
    }

    fn take_answer(&mut self, performed: Performed) {
        self.performing = None;
        // Whatever came of it, the next look at the platform is worth having soon.
        self.next_look = self.shell.clock.now();
        if let Some((sent, view)) = performed.view {
            self.take_view(Reading::known(sent, view));
        }
        self.recorder.calls = performed.calls;
        self.answer = Some(performed.answer);
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Status(reply) => drop(reply.send(Box::new(super::status::of(self)))),
            Command::Retire => self.is_retiring = true,
            Command::Reconfigure(new) => self.reconfigure(new.0, new.1),
            Command::Request(asked) => {
                let Asked { incident, request, reply } = *asked;
                let taken = self.takes(incident.as_ref(), request);
                if taken.is_ok() {
                    self.request = Some(request);
                }
                drop(reply.send(taken));
            }
        }
    }

    /// Whether a person's word fits where the app stands.
    fn takes(&self, incident: Option<&IncidentId>, request: Request) -> Result<(), ActionError> {
        let Some(state) = &self.state else { return Err(ActionError::Unavailable) };
        let Some(incident) = incident else { return Ok(()) };
        let open = state.incident().filter(|open| open.id == *incident);
        let Some(open) = open else {
            return Err(ActionError::Conflict(format!("incident {incident} is closed")));
        };
        let fits = match request {
            Request::Approve => matches!(open.stage, Stage::AwaitingApproval { .. }),
            Request::Reject => {
                matches!(open.stage, Stage::AwaitingApproval { .. } | Stage::Validating { .. })
            }
            Request::Resume => true,
        };
        if fits {
            return Ok(());
        }
        Err(ActionError::Conflict(format!("incident {incident} is {}", open.stage.word())))
    }

    fn reconfigure(&mut self, config: Arc<AppConfig>, account: Account) {
        let now = self.shell.clock.now();
        let is_same_app = self.config.id == config.id && self.config.platform == config.platform;
        self.slice = account.slices.of(&config.id);
        self.account = account;
        let old = std::mem::replace(&mut self.config, config);
        if old.policy.rules != self.config.policy.rules || old.probes != self.config.probes {
            self.metrics = Arc::new(AppMetrics::new(&self.config.policy));
            self.shell.metrics.show_app(Arc::clone(&self.metrics));
        }
        if old.probes != self.config.probes || !is_same_app {
            self.sampling = FuturesUnordered::new();
            self.plan_probes(now);
        }
        self.is_retiring = false;
    }

    fn plan_probes(&mut self, now: Moment) {
        self.windows = self.config.probes.iter().map(|probe| Window::new(probe.window)).collect();
        let probes = self.config.probes.iter().map(|probe| Probing {
            schedule: Schedule::new(&self.config.name, &probe.name, Pace::from(probe), Pacing::Rest, now),
            is_under_way: false,
        });
        self.probes = probes.collect();
    }

    /// Lets a call that was sent come to its answer, and records it; what does not answer in time is found open
    /// by the next process.
    async fn drain(&mut self) {
        let Some(performing) = self.performing.take() else { return };
        if let Ok(performed) = tokio::time::timeout(DRAIN, performing).await {
            self.take_answer(performed);
            self.round().await;
        }
    }

    fn count_blindness(&mut self, now: Moment) {
        let span = now.since(self.last_round);
        self.last_round = now;
        if let Some(cause) = self.blindness() {
            self.metrics.blind(cause, span);
        }
    }

    /// Why nobody can tell how the app is.
    pub(super) fn blindness(&self) -> Option<BlindCause> {
        if self.state.is_none() {
            return Some(BlindCause::Journal);
        }
        if self.view.fault.is_some() {
            return Some(BlindCause::Platform);
        }
        self.windows.iter().find_map(|window| match window.last()?.result {
            SampleResult::Unknown(cause) => Some(cause),
            _ => None,
        })
    }

    fn show(&self) {
        let Some(state) = &self.state else { return };
        let now = self.shell.clock.now();
        let since = state.live().map_or(now, |live| live.since);
        let readings = rule::read_all(&self.config.policy, &self.windows, since, now);
        let soak_until = match state.incident().map(|incident| &incident.stage) {
            Some(Stage::Soaking { until, .. }) => Some(*until),
            _ => None,
        };
        let pinned = self.view.value().is_some_and(|view| view.pinned.is_some());
        let paused = self.shell.paused.is_paused(&self.config.name);
        self.metrics.show(state, &readings, pinned, paused, soak_until);
    }
}

/// The result of a future that may not be there; waits for ever when it is not.
async fn finished<T>(slot: &mut Option<BoxFuture<'static, T>>) -> T {
    match slot {
        Some(future) => future.await,
        None => std::future::pending().await,
    }
}

/// Counts a wait when what is waited for changes.
fn note_waiting(metrics: &AppMetrics, before: &mut Option<Reason>, now: Option<Reason>) {
    if *before == now {
        return;
    }
    *before = now;
    if let Some(reason) = now
        && super::record::is_counted_wait(reason)
    {
        metrics.decision(Verb::Wait, reason);
    }
}
