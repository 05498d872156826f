//! The shell in miniature around the core, with a clock, samples and a transcript.

mod calls;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use super::platform::Platform;
use crate::clock::Moment;
use crate::decision::capability::Pushes;
use crate::decision::effect::{Answer, DECISIONS, Effect, Guard, Reason, Rejection};
use crate::decision::incident::fits;
use crate::decision::measuring::{Measuring, Shown};
use crate::decision::observation::{
    AppView, Cause, Deployment, Observation, Operator, Phase, ReadFault, Reading, RecordedObservation,
    Request,
};
use crate::decision::policy::{
    Asked, Condition, Limits, Mode, OnHealthy, OnMigrations, OnUnhealthy, OnWarnings, Policy, ProbePolicy,
    RollbackPolicy, Rule, SoakPolicy,
};
use crate::decision::sample::{BlindCause, Failure, Sample, SampleResult, Window};
use crate::decision::state::{Outcome, Situation, State};
use crate::decision::story::Event;
use crate::decision::{Change, Closed, Decision, decide};
use crate::detection::counters::Step;
use crate::ids::{DeploymentId, IncidentId};

/// The clock's grain, and the pace of samples.
pub(super) const TICK: Duration = Duration::from_secs(2);
/// Reads of the platform come this far apart.
const POLL: Duration = Duration::from_secs(4);
/// More rounds than this without a rest are a loop.
const MOST_ROUNDS: usize = 16;

/// How the platform answers one call.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Reply {
    /// Does it and says so.
    Normal,
    /// No conclusive answer; it is applied this much later, or never.
    Lost { applied_after: Option<Duration> },
    /// Does it and says so, on a release that has gone live since the read before it.
    Overtaken,
    /// Surely not applied.
    Not(Rejection, Option<Duration>),
    /// A client error, after applying it or not.
    Refused { status: u16, applied: bool },
    /// A guard stops it.
    Guarded(Guard),
}

/// What is seen of the app.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sight {
    Clear,
    /// Control probes fail as well.
    Blind,
    /// No samples at all.
    Silent,
}

/// What the platform showed at a moment.
pub(super) type Past = (Moment, AppView, Vec<Deployment>);

#[derive(Clone)]
pub(in crate::decision) struct World {
    pub(super) policy: Policy,
    pub(in crate::decision) state: State,
    pub(super) start: Moment,
    pub(super) at: Moment,
    pub(in crate::decision) platform: Platform,
    pub(super) app: Reading<AppView>,
    /// When the last read was sent that showed another live deployment.
    pub(super) other_was_live_at: Option<Moment>,
    pub(super) history: Reading<Vec<Deployment>>,
    pub(super) windows: Vec<Window>,
    pub(super) measuring: Measuring,
    pub(super) operator: Operator,
    /// Deployments that fail their probes.
    pub(in crate::decision) bad: BTreeSet<DeploymentId>,
    /// Microseconds that deployments take to answer, where it is not one millisecond.
    pub(super) takes: BTreeMap<DeploymentId, u32>,
    /// The share of requests that deployments fail, where that is what is measured.
    pub(super) errs: BTreeMap<DeploymentId, f64>,
    /// Everything fails, whatever is live.
    pub(super) outage: bool,
    /// Commits and reverts are answered by somebody else, and not done.
    pub(super) is_lied_to: bool,
    /// Reverts do not say what they made.
    pub(super) is_terse: bool,
    pub(super) sight: Sight,
    /// Why reads fail, when they do.
    pub(super) fault: Option<ReadFault>,
    /// The list of deployments is not read.
    pub(super) is_listless: bool,
    /// Reads show the platform as it was this long ago.
    pub(super) lag: Duration,
    /// Replies to the next calls, by the call's word; then normal ones.
    pub(super) script: BTreeMap<&'static str, VecDeque<Reply>>,
    /// How long an answer takes.
    pub(in crate::decision) latency: Duration,
    /// A rollback that is under way goes live after this long, if ever.
    pub(super) roll_out: Option<Duration>,
    /// What happened, line by line, unless nobody reads it.
    pub(super) lines: Vec<String>,
    pub(super) is_told: bool,
    pub(super) closed: Vec<Closed>,
    pub(super) effects: Vec<(Moment, Effect)>,
    pub(super) waiting: Option<Reason>,
    pub(super) wake_at: Option<Moment>,
    /// Every rollback that was applied: the accused deployment, when it was sent, when it was applied.
    pub(super) created: Vec<(DeploymentId, Moment, Moment)>,
    /// When those of them were sent that the platform refused, and applied.
    pub(super) refused: Vec<Moment>,
    /// The longest that reads lagged behind.
    pub(super) worst_lag: Duration,
    /// How many failed samples in a row each release has given, under the first id that it was seen under.
    pub(super) failures: BTreeMap<DeploymentId, usize>,
    /// What people said to each incident, where that fitted and was heard.
    pub(super) said: Vec<(IncidentId, Request)>,
    /// When a pause of pushes was asked for that got no answer, or a no.
    pub(super) lost_pins: Vec<Moment>,
    /// When it was told that pushes are paused, perhaps by such a request.
    pub(super) doubts: Vec<Moment>,
    /// The last read that showed that pushes are deployed.
    pub(super) shown_deploying: Option<Moment>,
    /// Keep every decision that changed something, with what it was given.
    pub(super) records: bool,
    pub(super) recorded: Vec<(Policy, State, RecordedObservation, Decision)>,
    /// What reads that lag behind will show.
    pub(super) past: VecDeque<Past>,
    pub(super) outstanding: Option<(Moment, Answer)>,
    pub(super) late: Vec<(Moment, Moment, Effect)>,
    pub(super) polled_at: Moment,
}

pub(super) fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub(super) fn minutes(minutes: u64) -> Duration {
    Duration::from_secs(minutes * 60)
}

/// A rule with one test, on the first probe.
pub(in crate::decision) fn rule(name: &str, condition: Condition) -> Rule {
    Rule::of(name, 0, condition)
}

pub(in crate::decision) fn policy() -> Policy {
    Policy {
        app: "shop".into(),
        mode: Mode::Enforce,
        watch: minutes(30),
        probes: vec![ProbePolicy {
            name: "home".into(),
            period: secs(5),
            watch_period: TICK,
            timeout: secs(2),
            settle: secs(0),
            lag: Duration::ZERO,
            asked: Asked::Always,
        }],
        rules: vec![rule("down", Condition::ConsecutiveFailures { count: 3 })],
        rollback: RollbackPolicy { warnings: OnWarnings::Refuse, migrations: OnMigrations::Hold },
        soak: SoakPolicy {
            period: minutes(10),
            min_samples: 30,
            on_healthy: OnHealthy::Commit,
            on_unhealthy: OnUnhealthy::Revert,
        },
        limits: Limits { cooldown: minutes(30), max_rollbacks: 2, per: minutes(24 * 60) },
        reconcile: secs(30),
        restart_first: None,
        approve_within: minutes(30),
        accept_platform_choice: false,
    }
}

impl World {
    /// Two releases, the second live for two hours; nothing read yet.
    pub(super) fn new(policy: Policy) -> Self {
        let start = Moment::from_millis(1_000_000_000);
        let windows = policy.probes.iter().map(|_| Window::new(600)).collect();
        Self {
            policy,
            state: State::default(),
            start,
            at: start,
            platform: Platform::new(start),
            app: Reading::never(),
            other_was_live_at: None,
            history: Reading::never(),
            windows,
            measuring: Measuring::default(),
            operator: Operator::default(),
            bad: BTreeSet::new(),
            takes: BTreeMap::new(),
            errs: BTreeMap::new(),
            outage: false,
            is_lied_to: false,
            is_terse: false,
            sight: Sight::Clear,
            fault: None,
            is_listless: false,
            lag: Duration::ZERO,
            script: BTreeMap::new(),
            latency: Duration::ZERO,
            roll_out: Some(secs(60)),
            lines: Vec::new(),
            is_told: true,
            closed: Vec::new(),
            effects: Vec::new(),
            waiting: None,
            wake_at: None,
            created: Vec::new(),
            refused: Vec::new(),
            worst_lag: Duration::ZERO,
            failures: BTreeMap::new(),
            said: Vec::new(),
            lost_pins: Vec::new(),
            doubts: Vec::new(),
            shown_deploying: None,
            records: false,
            recorded: Vec::new(),
            past: VecDeque::new(),
            outstanding: None,
            late: Vec::new(),
            polled_at: Moment::default(),
        }
    }

    /// As [`World::new`], after the live deployment was seen to be good.
    pub(in crate::decision) fn steady(policy: Policy) -> Self {
        let samples = policy.soak.min_samples;
        let mut world = Self::new(policy);
        world.run(secs(20) + TICK * samples);
        assert!(matches!(world.state.situation, Situation::Steady { .. }), "{}", world.transcript());
        world
    }

    /// A steady app whose new release `d3` is bad and live since this moment.
    pub(in crate::decision) fn with_bad_release(policy: Policy) -> Self {
        let mut world = Self::steady(policy);
        world.release_bad();
        world
    }

    pub(super) fn release(&mut self) -> DeploymentId {
        let id = self.platform.make(Cause::Release, None, self.at);
        self.platform.finish(&id, Phase::Active, self.at);
        id
    }

    pub(in crate::decision) fn release_bad(&mut self) -> DeploymentId {
        let id = self.release();
        self.bad.insert(id.clone());
        id
    }

    pub(super) fn reply(&mut self, call: &'static str, reply: Reply) {
        self.script.entry(call).or_default().push_back(reply);
    }

    /// A person's word, which the shell refuses where it does not fit.
    pub(super) fn ask(&mut self, request: Request) {
        let fits = fits(&self.policy, &self.state, &self.app, self.operator.paused, &request);
        // While a call is owed nothing else is decided, and the daemon keeps what was said.
        let heard = self.state.incident().filter(|_| fits.is_ok() && self.state.owed().is_none());
        let heard = heard.map(|incident| (incident.id.clone(), request.clone()));
        self.said.extend(heard);
        self.operator.request = fits.is_ok().then_some(request);
        if let Err(misfit) = fits {
            self.lines.push(format!("         {misfit}"));
        }
        self.step();
        self.operator.request = None;
    }

    pub(super) fn run(&mut self, span: Duration) {
        let end = self.at + span;
        while self.at < end {
            self.tick();
        }
    }

    /// Runs until `done` or for an hour.
    pub(in crate::decision) fn run_until(&mut self, done: impl Fn(&Self) -> bool) {
        for _ in 0..1_800 {
            if done(self) {
                return;
            }
            self.tick();
        }
        panic!("not within an hour:\n{}", self.transcript());
    }

    pub(in crate::decision) fn run_to_stage(&mut self, stage: &str) {
        self.run_until(|world| world.stage() == stage);
    }

    pub(in crate::decision) fn run_to_close(&mut self) -> (Outcome, Reason) {
        let before = self.closed.len();
        self.run_until(|world| world.closed.len() > before);
        self.ended()
    }

    pub(in crate::decision) fn stage(&self) -> &'static str {
        self.state.incident().map_or("", |incident| incident.stage.word())
    }

    /// How the last incident ended.
    pub(super) fn ended(&self) -> (Outcome, Reason) {
        let closed = self.closed.last().unwrap_or_else(|| panic!("no end:\n{}", self.transcript()));
        (closed.outcome, closed.reason)
    }

    /// How often `call` was sent, or at least tried.
    pub(super) fn count(&self, call: &str) -> usize {
        self.effects.iter().filter(|(_, effect)| effect.word() == call).count()
    }

    pub(super) fn tick(&mut self) {
        self.at = self.at + TICK;
        self.apply_late();
        if let Some(after) = self.roll_out
            && let Some(id) = self.platform.in_progress.clone()
            && let Some(entry) = self.platform.get(&id)
            && self.platform.is_asked_for(entry)
            && self.at.as_millis() + 3_600_000 - entry.created_ms
                >= i64::try_from(after.as_millis()).expect("a short time")
        {
            self.platform.finish(&id, Phase::Active, self.at);
        }
        self.sample();
        self.remember();
        if self.at.since(self.polled_at) >= POLL {
            self.read();
        }
        self.step();
    }

    /// Keeps what the platform shows now, for reads that lag behind.
    pub(super) fn remember(&mut self) {
        if !self.is_told && self.lag.is_zero() {
            return;
        }
        self.past.push_back((self.at, self.platform.view(self.at), self.platform.list()));
        // Where somebody reads along the lag may still grow.
        let kept = if self.is_told { self.lag.max(secs(120)) } else { self.lag };
        while self.past.len() > 1 && self.past[1].0 + kept <= self.at {
            self.past.pop_front();
        }
    }

    /// What reads show now.
    fn shown(&self) -> (AppView, Vec<Deployment>) {
        if self.lag.is_zero() {
            return (self.platform.view(self.at), self.platform.list());
        }
        let then = self.at - self.lag;
        let (_, view, list) = self.past.iter().rev().find(|(at, _, _)| *at <= then).unwrap_or(&self.past[0]);
        let older = u64::try_from(self.lag.as_millis()).expect("a short time");
        let age = view.active_age_ms.map(|age| age + older);
        (AppView { active_age_ms: age, ..view.clone() }, list.clone())
    }

    /// One read of the app and its deployments.
    pub(super) fn read(&mut self) {
        self.look();
        self.history.fault = self.fault.or(self.is_listless.then_some(ReadFault::Unreachable));
        if self.history.fault.is_none() {
            self.history = Reading::known(self.at, self.shown().1);
        }
    }

    /// One read of the app alone.
    fn look(&mut self) {
        self.polled_at = self.at;
        if let Some(fault) = self.fault {
            self.app.fail(self.at, fault);
            return;
        }
        let (view, _) = self.shown();
        let live = |view: &AppView| view.active.as_ref().map(|active| active.id.clone());
        if let Some((at, before)) = &self.app.last
            && live(before) != live(&view)
        {
            self.other_was_live_at = Some(*at);
        }
        if view.pushes == Some(Pushes::Deploy) {
            self.shown_deploying = Some(self.at);
        }
        self.app = Reading::known(self.at, view);
    }

    fn sample(&mut self) {
        let result = match self.sight {
            Sight::Silent => return,
            Sight::Blind => SampleResult::Unknown(BlindCause::Control),
            Sight::Clear if self.outage || self.bad.contains(&self.platform.active) => {
                SampleResult::Bad(Failure::Status(503))
            }
            Sight::Clear => match self.errs.get(&self.platform.active) {
                Some(share) => SampleResult::Share(Step::of(*share)),
                None => SampleResult::Good,
            },
        };
        // Sent a little before now, so that the tick sees it.
        let at = self.at - Duration::from_millis(1);
        let micros = self.takes.get(&self.platform.active).copied().unwrap_or(1_000);
        self.take(Sample { at, micros, result });
    }

    /// Takes a sample of what is live.
    pub(super) fn take(&mut self, sample: Sample) {
        let live = self.platform.first_of_the_same(&self.platform.active);
        match sample.result {
            SampleResult::Bad(_) => *self.failures.entry(live).or_default() += 1,
            SampleResult::Good => drop(self.failures.remove(&live)),
            _ => {}
        }
        for n in 0..self.windows.len() {
            self.windows[n].push(sample);
            self.measuring.take(&self.policy, &self.state, &self.windows, n, &sample);
        }
    }

    /// Decides, journals and performs until there is nothing more to do at this moment.
    pub(super) fn step(&mut self) {
        let mut answer = match &self.outstanding {
            Some((due, _)) if *due <= self.at => self.outstanding.take().map(|(_, answer)| answer),
            _ => None,
        };
        let mut looked = false;
        for _ in 0..MOST_ROUNDS {
            let outstanding = self.outstanding.is_some();
            let shown = Shown { app: &self.app, other_was_live_at: self.other_was_live_at };
            self.measuring.weigh(&self.policy, &self.state, shown, &mut self.windows);
            let seen = Observation {
                at: self.at,
                app: &self.app,
                other_was_live_at: self.other_was_live_at,
                history: &self.history,
                windows: &self.windows,
                answer: answer.as_ref(),
                operator: &self.operator,
            };
            let decision = decide(&self.policy, &self.state, &seen);
            if self.records && decision.change.is_some() {
                let recorded = RecordedObservation::from(&seen);
                self.recorded.push((self.policy.clone(), self.state.clone(), recorded, decision.clone()));
            }
            let had_answer = answer.take().is_some();
            let Some(change) = decision.change else {
                assert!(!had_answer, "an answer was not taken:\n{}", self.transcript());
                if let Some(wake_at) = decision.wake_at {
                    assert!(wake_at > self.at, "woken in the past:\n{}", self.transcript());
                }
                if self.waiting != decision.waiting {
                    self.waiting = decision.waiting;
                    if let Some(reason) = decision.waiting {
                        self.line(&format!("waits: {}", reason.word()));
                    }
                }
                self.wake_at = decision.wake_at;
                if decision.look && !looked {
                    // As the shell does: a look at the app, with its deployments in an incident, and once more round.
                    looked = true;
                    if self.state.incident().is_some() {
                        self.read()
                    } else {
                        self.look()
                    }
                    continue;
                }
                return;
            };
            assert!(!outstanding, "a change while an answer is outstanding:\n{}", self.transcript());
            self.journal(&change);
            // A person's word is for one decision.
            self.operator.request = None;
            if let Some(effect) = change.effect {
                answer = self.perform(&effect);
            }
        }
        panic!("does not come to rest:\n{}", self.transcript());
    }

    fn journal(&mut self, change: &Change) {
        assert!(
            self.state != change.state || change.closed.is_some(),
            "a change that changes nothing:\n{}",
            self.transcript()
        );
        assert_eq!(change.state.owed(), change.effect, "owed is not what was issued:\n{}", self.transcript());
        if let Some(ruling) = &change.ruling {
            let is_counted = DECISIONS.contains(&(ruling.verb, ruling.reason));
            assert!(is_counted, "a decision that no series counts: {ruling:?}\n{}", self.transcript());
        }
        let text = serde_json::to_string(&change.state).expect("a state is JSON");
        let back: State = serde_json::from_str(&text).expect("a state comes back");
        assert_eq!(back, change.state, "the journal changes the state");
        self.measuring.moved(&self.state, &back);
        self.state = back;
        self.waiting = None;
        if let Some(closed) = &change.closed {
            self.closed.push(closed.clone());
        }
        if change.story.contains(&Event::PausedPerhapsByUs) {
            self.doubts.push(self.at);
        }
        if !self.is_told {
            return;
        }
        let ruling = change.ruling.as_ref();
        let ruling = ruling.map_or(String::new(), |r| format!(" [{} {}]", r.verb.word(), r.reason.word()));
        let stage = self.stage();
        let slash = if stage.is_empty() { "" } else { "/" };
        self.line(&format!("{}{slash}{stage}{ruling}", self.state.word()));
        for event in &change.story {
            self.lines.push(format!("         {}", event.text()));
        }
    }

    fn line(&mut self, text: &str) {
        if !self.is_told {
            return;
        }
        let seconds = self.at.since(self.start).as_secs();
        self.lines.push(format!("{:>3}:{:02}  {text}", seconds / 60, seconds % 60));
    }

    pub(super) fn transcript(&self) -> String {
        self.lines.join("\n")
    }

    /// The process dies and comes back: what was owed is Unresolved, samples and reads are gone.
    pub(super) fn restart(&mut self) {
        let text = serde_json::to_string(&self.state).expect("a state is JSON");
        self.state = serde_json::from_str(&text).expect("a state comes back");
        self.app = Reading::never();
        self.history = Reading::never();
        self.windows = self.policy.probes.iter().map(|_| Window::new(600)).collect();
        // What the journal has of it is recalled, and what was weighed is gone.
        self.measuring = Measuring::recalled(self.measuring.pasts().clone());
        let owed = self.state.owed();
        if matches!(owed, Some(Effect::Pin { .. })) {
            self.lost_pins.push(self.at);
        }
        self.outstanding = owed.map(|_| (self.at, Answer::Unresolved));
        self.line("restart");
    }
}
