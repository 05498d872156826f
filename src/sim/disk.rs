//! The way to the journal: the real store on a real file, and a disk that fails before or after the write.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;

use super::machine::{EPOCH_MS, Machine, Point, lock};
use crate::clock::Moment;
use crate::decision::effect::{Answer, Effect};
use crate::decision::state::{Incident, State};
use crate::decision::story::Event;
use crate::ids::{Caller, ChannelName, IncidentId, PlatformAppId};
use crate::journal::{
    Call, DecisionRecord, Entry, IncidentQuery, IncidentRecord, Journal, JournalError, Notice, OpenEffect,
    Outbox, Restored, Settled, SqliteJournal, TimelineEntry,
};
use crate::journal::{Pause, PauseWord};

/// No course has as many decisions as that: an app that makes more makes them without end.
const WITHOUT_END: usize = 2_000;

/// What is wrong with the disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Trouble {
    #[default]
    None,
    /// Full: nothing is written, and that is said.
    Full,
    /// Some of what is written is said not to be.
    Lies,
    /// Somebody holds the file for seconds now and then.
    Locked,
    /// Nothing is read and nothing is written.
    Dead,
}

/// The disk of a machine. Outlives its processes.
#[derive(Clone)]
pub(super) struct Disk {
    pub(super) machine: Arc<Machine>,
    pub(super) trouble: Arc<Mutex<Trouble>>,
    pub(super) file: std::path::PathBuf,
    /// The call of each app that stands in the journal, unanswered.
    pub(super) intents: Intents,
    /// Each rollback that ever stood there, whether it was sent or not.
    pub(super) requests: Arc<Mutex<Vec<Request>>>,
    /// By the platform's id of the app, when pushes were to be paused, as far as it is not known what became of that.
    pub(super) pauses: Arc<Mutex<Vec<(String, i64)>>>,
    /// By the platform's id of the app, when it was written down that pushes are deployed again, as we asked for.
    pub(super) let_go: Arc<Mutex<Vec<(String, i64)>>>,
    /// By the platform's id of the app, when it was told that pushes are paused, perhaps by what was asked for.
    pub(super) doubts: Arc<Mutex<Vec<(String, i64)>>>,
    /// How many decisions it has kept.
    pub(super) decisions: Arc<AtomicUsize>,
    /// How often anything was read, or tried to be.
    pub(super) reads: Arc<AtomicUsize>,
}

/// A request for a rollback, as the journal has it.
#[derive(Clone, Debug)]
pub(super) struct Request {
    /// The platform's id of it.
    pub(super) app: String,
    pub(super) accused: String,
    pub(super) target: String,
    /// The incident that it is of.
    pub(super) incident: Option<IncidentId>,
    /// A person ordered it, perhaps to this deployment and no other.
    pub(super) ordered: Option<Option<String>>,
    pub(super) at_ms: i64,
    /// What it made, where the answer was written down.
    pub(super) made: Option<String>,
    /// Nobody knows what became of it.
    pub(super) is_unclear: bool,
}

/// By the platform's id of the app.
pub(super) type Intents = Arc<Mutex<BTreeMap<String, Effect>>>;

impl Disk {
    /// Notes what an entry says of calls: the one that it answers, and the one that it owes.
    fn note(
        &self,
        app: String,
        effect: Option<Effect>,
        answer: Option<&Answer>,
        incident: Option<&Incident>,
    ) {
        let (mut intents, mut requests) = (lock(&self.intents), lock(&self.requests));
        let answered = answer.and_then(|answer| Some((intents.remove(&app)?, answer)));
        if let Some((Effect::CreateRollback { .. }, answer)) = &answered
            && let Some(request) = requests.iter_mut().rfind(|request| request.app == app)
        {
            request.is_unclear = **answer == Answer::Unresolved;
            request.made = match answer {
                Answer::Created(made) => Some(made.id.to_string()),
                _ => None,
            };
        }
        // Of what was not sent it is known that nothing can come of it, and of what was done that it has.
        if let Some((Effect::Pin { .. }, Answer::NotSent(_) | Answer::Pinned)) = &answered {
            let mut pauses = lock(&self.pauses);
            let last = pauses.iter().rposition(|(id, _)| *id == app);
            if let Some(last) = last {
                pauses.remove(last);
            }
        }
        if let Some((Effect::Unpin, Answer::Unpinned)) = &answered {
            lock(&self.let_go).push((app.clone(), EPOCH_MS + self.machine.uptime_ms()));
        }
        let Some(effect) = effect else { return };
        if matches!(effect, Effect::Pin { .. }) {
            lock(&self.pauses).push((app.clone(), EPOCH_MS + self.machine.uptime_ms()));
        }
        if let Effect::CreateRollback { accused, target, .. } = &effect {
            let (accused, target) = (accused.to_string(), target.to_string());
            let at_ms = EPOCH_MS + self.machine.uptime_ms();
            let ordered = incident.filter(|incident| incident.asked.is_some() && !incident.is_settlement());
            requests.push(Request {
                app: app.clone(),
                accused,
                target,
                incident: incident.map(|incident| incident.id.clone()),
                ordered: ordered.map(|incident| incident.named().map(ToString::to_string)),
                at_ms,
                made: None,
                is_unclear: true,
            });
        }
        assert_eq!(
            intents.insert(app, effect),
            None,
            "a second call is written down before the first has its answer"
        );
    }

    /// As one process sees it.
    pub(super) fn open(&self) -> Arc<dyn Journal> {
        Arc::new(OpenDisk { disk: self.clone(), store: SqliteJournal::inline(&self.file) })
    }
}

struct OpenDisk {
    disk: Disk,
    store: SqliteJournal,
}

impl OpenDisk {
    /// It fails with `word`.
    fn error(&self, word: &'static str, detail: &str) -> JournalError {
        self.disk.machine.strikes(word);
        JournalError::Unavailable { path: "the simulated disk".to_owned(), detail: detail.to_owned() }
    }

    fn trouble(&self) -> Trouble {
        *lock(&self.disk.trouble)
    }

    fn read<'a, T: Send + 'static>(&'a self, call: impl FnOnce() -> Call<'a, T> + Send + 'a) -> Call<'a, T> {
        self.disk.reads.fetch_add(1, Ordering::Relaxed);
        Box::pin(async move {
            self.wait().await?;
            call().await
        })
    }

    async fn wait(&self) -> Result<(), JournalError> {
        if self.trouble() == Trouble::Locked && self.disk.machine.once_in(3) {
            tokio::time::sleep(Duration::from_secs(5)).await;
            return Err(self.error("Locked", "locked"));
        }
        if self.trouble() == Trouble::Dead {
            return Err(self.error("Dead", "input or output error"));
        }
        self.disk.machine.takes(0..3).await;
        Ok(())
    }

    fn write<'a, T: Send + 'static>(&'a self, call: impl FnOnce() -> Call<'a, T> + Send + 'a) -> Call<'a, T> {
        Box::pin(async move {
            self.disk.machine.pass(Point::BeforeWriting).await;
            self.wait().await?;
            if self.trouble() == Trouble::Full {
                return Err(self.error("Full", "full"));
            }
            let done = call().await;
            self.disk.machine.pass(Point::AfterWriting).await;
            if self.trouble() == Trouble::Lies && self.disk.machine.once_in(3) {
                return Err(self.error("Lies", "input or output error"));
            }
            done
        })
    }
}

impl Journal for OpenDisk {
    fn restore(&self) -> Call<'_, Restored> {
        self.read(|| self.store.restore())
    }

    fn load<'a>(&'a self, app: &'a PlatformAppId) -> Call<'a, (Option<State>, Option<OpenEffect>)> {
        self.read(move || self.store.load(app))
    }

    fn past<'a>(&'a self, app: &'a PlatformAppId) -> Call<'a, Option<String>> {
        self.read(move || self.store.past(app))
    }

    fn keep_past<'a>(&'a self, app: &'a PlatformAppId, past: String) -> Call<'a, ()> {
        self.write(move || self.store.keep_past(app, past))
    }

    fn apps(&self) -> Call<'_, Vec<PlatformAppId>> {
        self.read(|| self.store.apps())
    }

    fn record(&self, entry: Entry) -> Call<'_, ()> {
        let name = entry.app.to_string();
        let (app, effect) = (entry.id.to_string(), entry.effect.clone());
        let (disk, answer) = (self.disk.clone(), entry.answered.clone());
        let incident = entry.state.incident().cloned();
        let doubts = entry.timeline.iter().any(|told| told.event == Event::PausedPerhapsByUs.word());
        self.write(move || {
            Box::pin(async move {
                self.store.record(entry).await?;
                // What a full disk does not take is tried again and again.
                let decisions = disk.decisions.fetch_add(1, Ordering::Relaxed);
                assert!(decisions < WITHOUT_END, "{name} decides without end");
                if doubts {
                    lock(&disk.doubts).push((app.clone(), disk.machine.uptime_ms()));
                }
                disk.note(app, effect, answer.as_ref(), incident.as_ref());
                Ok(())
            })
        })
    }

    fn set_storm(&self, since: Option<Moment>) -> Call<'_, ()> {
        self.write(move || self.store.set_storm(since))
    }

    fn pause<'a>(&'a self, app: &'a str, pause: Pause) -> Call<'a, ()> {
        self.write(move || self.store.pause(app, pause))
    }

    fn end_pause<'a>(&'a self, app: &'a str, by: Option<Caller>, at: Timestamp) -> Call<'a, ()> {
        self.write(move || self.store.end_pause(app, by, at))
    }

    fn pause_words<'a>(&'a self, app: &'a PlatformAppId, limit: usize) -> Call<'a, Vec<PauseWord>> {
        self.read(move || self.store.pause_words(app, limit))
    }

    fn incidents(&self, query: IncidentQuery) -> Call<'_, Vec<IncidentRecord>> {
        self.read(|| self.store.incidents(query))
    }

    fn incident<'a>(&'a self, id: &'a IncidentId) -> Call<'a, Option<(IncidentRecord, Vec<TimelineEntry>)>> {
        self.read(move || self.store.incident(id))
    }

    fn decisions<'a>(&'a self, id: &'a IncidentId) -> Call<'a, Vec<DecisionRecord>> {
        self.read(move || self.store.decisions(id))
    }

    fn tell(&self, notices: Vec<Notice>) -> Call<'_, ()> {
        self.write(|| self.store.tell(notices))
    }

    fn outbox<'a>(&'a self, channel: &'a ChannelName, limit: usize) -> Call<'a, Outbox> {
        self.read(move || self.store.outbox(channel, limit))
    }

    fn settle(&self, delivery: i64, at: Timestamp, settled: Settled) -> Call<'_, ()> {
        self.write(move || self.store.settle(delivery, at, settled))
    }

    fn marks<'a>(&'a self, channel: &'a ChannelName) -> Call<'a, Vec<(String, String)>> {
        self.read(move || self.store.marks(channel))
    }

    fn forget_mark<'a>(&'a self, channel: &'a ChannelName, thread: &'a str) -> Call<'a, ()> {
        self.write(move || self.store.forget_mark(channel, thread))
    }

    fn keep_channels(&self, kept: Vec<ChannelName>) -> Call<'_, u64> {
        self.write(|| self.store.keep_channels(kept))
    }

    fn prune(&self, horizon: Timestamp) -> Call<'_, u64> {
        self.write(move || self.store.prune(horizon))
    }

    fn check(&self) -> Call<'_, ()> {
        self.write(|| self.store.check())
    }
}
