//! "Is it me?" without control probes: the other apps and the platform's API stand in for them.
//!
//! The question put to them is the one that control probes are asked: *did anything else work over our network, no
//! earlier than this sample?* If nothing did, and nothing speaks against our network either, the
//! answer is unclear: then the platform is asked, where the sample matters. What was believed for want of evidence
//! would stay in the window when our network comes back, and accuse a release of what was ours.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, Weak};
use std::time::Duration;

use tokio::sync::{Mutex, MutexGuard};

use super::control::ALLOWANCE;
use crate::clock::Moment;
use crate::config::{AppConfig, Ask};
use crate::decision::sample::{Sample, SampleResult};

/// So many periods without a sample and an app has no voice: the same patience after which rules call it silent.
const PATIENCE: u32 = 3;

/// So many other apps must have begun to fail together before they are believed over the app's own failure. One
/// may share a release or a database with it; with one the platform decides.
const QUORUM: usize = 2;

/// Whose fault a failing sample is, as far as the peers can tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerVerdict {
    /// Everything fails together.
    Ours,
    /// Something else works.
    Theirs,
    /// Nothing is known of this moment.
    Unclear,
}

/// What is known of one app. Times are when samples were sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PeerRecord {
    /// Its newest good sample.
    pub good: Option<Moment>,
    /// Its newest failed sample.
    pub bad: Option<Moment>,
    /// The first failed sample since the newest good one.
    pub failing_since: Option<Moment>,
    /// Longest time between its samples.
    pub period: Duration,
}

/// What is known of the platforms' APIs, all accounts together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PlatformRecord {
    /// When a call last got an answer, of whatever status: the network carried it.
    pub answered: Option<Moment>,
    /// When a call last failed below HTTP.
    pub unreachable: Option<Moment>,
}

/// Whose fault it is that `failed` failed, where `own` is the record of its app, with that sample in it.
///
/// In this order:
/// 1. the platform answered a call sent no earlier than the sample: our network works, the app is at fault;
/// 2. so it is if another app was good then;
/// 3. the platform cannot be reached: ours;
/// 4. at least two (`QUORUM`) other apps began to fail together with this one: ours. An app that was failing long
///    before says nothing about now;
/// 5. nothing is known of this moment: unclear.
pub fn whose(
    failed: &Sample,
    own: &PeerRecord,
    platform: PlatformRecord,
    others: impl Iterator<Item = PeerRecord>,
) -> PeerVerdict {
    let onset = own.failing_since.unwrap_or(failed.at).min(failed.at);
    let bar = failed.at - ALLOWANCE;
    if platform.answered.is_some_and(|at| at >= bar) {
        return PeerVerdict::Theirs;
    }
    let mut together = 0_usize;
    for other in others {
        if other.good.is_some_and(|good| good >= bar) {
            return PeerVerdict::Theirs;
        }
        let voice = other.period * PATIENCE;
        let speaks = other.bad.is_some_and(|bad| bad >= onset - ALLOWANCE && bad + voice >= failed.at);
        if speaks && other.failing_since.is_some_and(|since| since + voice >= onset) {
            together += 1;
        }
    }
    if platform.unreachable > platform.answered || together >= QUORUM {
        return PeerVerdict::Ours;
    }
    PeerVerdict::Unclear
}

/// The shared record of all apps and platforms. Cheap to clone; every clone is the same record.
///
/// Numbers in it are written and read without a lock. A reader may see a sample half recorded, which is as if it had come
/// a moment earlier or later.
#[derive(Clone, Debug, Default)]
pub struct Peers {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    answered: Slot,
    unreachable: Slot,
    /// Held by whoever asks the platform; the others wait for what it learns.
    asking: Mutex<()>,
    /// Written when an app comes or goes, and only then.
    apps: RwLock<Vec<Weak<AppSlots>>>,
}

#[derive(Debug)]
pub(super) struct AppSlots {
    /// Of all that it answers.
    all: Slots,
    /// Of the probe by which its siblings know it.
    pub(super) page: Slots,
    period: Duration,
    /// How its siblings ask it; none where nobody does.
    pub(super) app: Option<Arc<AppConfig>>,
    pub(super) has_changed: AtomicBool,
    /// Held by whoever asks it for its siblings.
    pub(super) asking: Mutex<()>,
}

/// The newest samples.
#[derive(Debug, Default)]
pub(super) struct Slots {
    good: Slot,
    bad: Slot,
    failing_since: Slot,
}

/// One app's place in the record; it leaves when this is dropped.
#[derive(Debug)]
pub struct Peer {
    pub(super) slots: Arc<AppSlots>,
    shared: Arc<Shared>,
}

impl Peers {
    /// A record of nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an app, the longest of whose probes' periods is `period`, and which others may ask as `app`.
    pub fn join(&self, period: Duration, app: Option<Arc<AppConfig>>) -> Peer {
        let slots = Arc::new(AppSlots {
            all: Slots::default(),
            page: Slots::default(),
            period,
            app,
            // Until its own task says that it has not.
            has_changed: AtomicBool::new(true),
            asking: Mutex::default(),
        });
        let mut apps = self.shared.apps.write().unwrap_or_else(PoisonError::into_inner);
        apps.retain(|app| app.strong_count() > 0);
        apps.push(Arc::downgrade(&slots));
        Peer { slots, shared: Arc::clone(&self.shared) }
    }

    /// A platform answered a call that was sent at `sent`, with whatever status.
    pub fn platform_answered(&self, sent: Moment) {
        self.shared.answered.raise(sent);
    }

    /// A call sent at `sent` failed below HTTP: no connection, no answer, no TLS.
    pub fn platform_unreachable(&self, sent: Moment) {
        self.shared.unreachable.raise(sent);
    }
}

impl Peer {
    /// Takes note of a sample as the probe gave it, before anybody doubted it. Unknown ones say nothing, nor do those of what
    /// the app needs: a database may be next to this machine, and says nothing of the way to the apps.
    pub fn record(&self, ask: &Ask, sample: &Sample) {
        if self.slots.app.as_ref().is_some_and(|app| app.needs(ask)) {
            return;
        }
        self.slots.all.note(sample);
        if self.slots.known_by().is_some_and(|probe| probe.ask == *ask) {
            self.slots.page.note(sample);
        }
    }

    /// Every app but this one.
    pub(super) fn others(&self) -> impl Iterator<Item = Arc<AppSlots>> {
        let apps = self.shared.apps.read().unwrap_or_else(PoisonError::into_inner);
        let others = apps.iter().filter(|app| !std::ptr::eq(app.as_ptr(), Arc::as_ptr(&self.slots)));
        others.filter_map(Weak::upgrade).collect::<Vec<_>>().into_iter()
    }

    /// Waits until nobody else asks the platform.
    pub async fn turn(&self) -> MutexGuard<'_, ()> {
        self.shared.asking.lock().await
    }

    /// Whose fault a failed sample of this app is; see [`whose`]. The sample must have been recorded.
    pub fn verdict(&self, failed: &Sample) -> PeerVerdict {
        let platform = PlatformRecord {
            answered: self.shared.answered.get(),
            unreachable: self.shared.unreachable.get(),
        };
        let of = |slots: &AppSlots| slots.all.record(slots.period);
        whose(failed, &of(&self.slots), platform, self.others().map(|slots| of(&slots)))
    }
}

impl Slots {
    pub(super) fn note(&self, sample: &Sample) {
        match sample.result {
            SampleResult::Good | SampleResult::Share(_) => {
                // Of two that ask it at once the earlier may be heard later.
                if self.bad.get() <= Some(sample.at) {
                    self.failing_since.clear();
                }
                self.good.raise(sample.at);
            }
            SampleResult::Bad(_) | SampleResult::Unvouched(_) => {
                if self.failing_since.get().is_none() {
                    self.failing_since.raise(sample.at);
                }
                self.bad.raise(sample.at);
            }
            SampleResult::Unknown(_) => {}
        }
    }

    /// It was good then, as far as nothing else is known.
    pub(super) fn was_good_once(&self, at: Moment) {
        if self.good.get().is_none() && self.bad.get().is_none() {
            self.good.raise(at);
        }
    }

    /// Of an app with so much time between its samples.
    pub(super) fn record(&self, period: Duration) -> PeerRecord {
        PeerRecord {
            good: self.good.get(),
            bad: self.bad.get(),
            failing_since: self.failing_since.get(),
            period,
        }
    }
}

/// A moment or none, read and written without a lock.
#[derive(Debug)]
struct Slot(AtomicI64);

impl Slot {
    const NONE: i64 = i64::MIN;

    fn get(&self) -> Option<Moment> {
        Some(self.0.load(Ordering::Relaxed)).filter(|at| *at != Self::NONE).map(Moment::from_millis)
    }

    /// Sets it unless it is later already: calls of several accounts may end out of order.
    fn raise(&self, at: Moment) {
        self.0.fetch_max(at.as_millis(), Ordering::Relaxed);
    }

    fn clear(&self) {
        self.0.store(Self::NONE, Ordering::Relaxed);
    }
}

impl Default for Slot {
    fn default() -> Self {
        Self(AtomicI64::new(Self::NONE))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::TcpAsk;
    use crate::decision::sample::{BlindCause, Failure};

    fn page() -> Ask {
        Ask::Tcp(TcpAsk { host: url::Host::Domain("shop.example".to_owned()), port: 80 })
    }

    const PERIOD: Duration = Duration::from_secs(15);

    fn at(seconds: i64) -> Moment {
        Moment::from_millis(seconds * 1_000)
    }

    fn sample(seconds: i64, result: SampleResult) -> Sample {
        Sample { at: at(seconds), micros: 1_000, result }
    }

    fn bad(seconds: i64) -> Sample {
        sample(seconds, SampleResult::Bad(Failure::Timeout))
    }

    /// An app with its newest good and failed samples and the start of its streak; 0 = none.
    fn app(good: i64, newest_bad: i64, since: i64) -> PeerRecord {
        let some = |seconds| (seconds != 0).then(|| at(seconds));
        PeerRecord { good: some(good), bad: some(newest_bad), failing_since: some(since), period: PERIOD }
    }

    #[test]
    fn an_app_is_spared_only_on_evidence_that_others_fail_with_it() {
        use PeerVerdict::{Ours, Theirs, Unclear};
        // The app began to fail at 1000 s and failed again at 1010 s. (answered, unreachable), others, verdict.
        type Case = (&'static str, (i64, i64), Vec<PeerRecord>, PeerVerdict);
        let table: [Case; 15] = [
            ("alone, and nothing is known", (0, 0), vec![], Unclear),
            ("alone, the platform answered before it", (1005, 0), vec![], Unclear),
            ("alone, the platform answered with it", (1010, 0), vec![], Theirs),
            ("alone, the platform cannot be reached", (990, 1005), vec![], Ours),
            ("alone, the platform never could be reached", (0, 900), vec![], Ours),
            ("the platform answered since it began, then failed", (1003, 1008), vec![], Ours),
            ("the platform is down, another app is good with it", (900, 1005), vec![app(1010, 0, 0)], Theirs),
            ("the platform is down, another was good before it", (900, 1005), vec![app(1004, 0, 0)], Ours),
            ("one other fails as well", (990, 0), vec![app(990, 1004, 1004)], Unclear),
            ("two others fail as well", (990, 0), vec![app(990, 1004, 1004), app(991, 1006, 1006)], Ours),
            (
                "two fail, a third is good with it",
                (990, 0),
                vec![app(990, 1004, 1004), app(991, 1006, 1006), app(1010, 0, 0)],
                Theirs,
            ),
            (
                "two fail, the platform answered with it",
                (1010, 0),
                vec![app(990, 1004, 1004), app(991, 1006, 1006)],
                Theirs,
            ),
            (
                "two others have been down for hours",
                (990, 0),
                vec![app(0, 1004, 100), app(0, 1006, 200)],
                Unclear,
            ),
            (
                "two others began to fail shortly before",
                (990, 0),
                vec![app(960, 1004, 975), app(961, 1006, 976)],
                Ours,
            ),
            ("two others were never heard", (990, 0), vec![app(0, 0, 0), app(0, 0, 0)], Unclear),
        ];
        for (what, (answered, unreachable), others, expected) in table {
            let some = |seconds| (seconds != 0).then(|| at(seconds));
            let platform = PlatformRecord { answered: some(answered), unreachable: some(unreachable) };
            let own = app(995, 1010, 1000);
            assert_eq!(whose(&bad(1010), &own, platform, others.into_iter()), expected, "{what}");
        }
    }

    #[test]
    fn a_good_sample_that_was_sent_together_with_the_failed_one_speaks_for_the_network() {
        let own = app(0, 1000, 1000);
        let unreachable = PlatformRecord { answered: None, unreachable: Some(at(999)) };
        for (millis, verdict) in [(999_950, PeerVerdict::Theirs), (999_949, PeerVerdict::Ours)] {
            let other = PeerRecord { good: Some(Moment::from_millis(millis)), ..app(0, 0, 0) };
            assert_eq!(whose(&bad(1000), &own, unreachable, [other].into_iter()), verdict);
        }
    }

    #[test]
    fn a_good_sample_too_old_has_no_voice() {
        // Failing for ten minutes; the other app was good at the start and was not heard since.
        let own = app(0, 1600, 1000);
        let unreachable = PlatformRecord { answered: None, unreachable: Some(at(1500)) };
        let verdict = whose(&bad(1600), &own, unreachable, [app(1001, 0, 0)].into_iter());
        assert_eq!(verdict, PeerVerdict::Ours);
    }

    #[test]
    fn apps_join_speak_and_leave() {
        let peers = Peers::new();
        let (mine, second, third) =
            (peers.join(PERIOD, None), peers.join(PERIOD, None), peers.join(PERIOD, None));
        for peer in [&mine, &second, &third] {
            peer.record(&page(), &sample(90, SampleResult::Good));
        }
        mine.record(&page(), &bad(100));
        assert_eq!(mine.verdict(&bad(100)), PeerVerdict::Unclear, "it fails alone");
        second.record(&page(), &bad(101));
        third.record(&page(), &sample(101, SampleResult::Unknown(BlindCause::Host)));
        assert_eq!(mine.verdict(&bad(102)), PeerVerdict::Unclear, "an unknown sample is no voice");
        third.record(&page(), &bad(102));
        assert_eq!(mine.verdict(&bad(103)), PeerVerdict::Ours, "all fail together");
        peers.platform_answered(at(104));
        assert_eq!(mine.verdict(&bad(104)), PeerVerdict::Theirs, "the network carries the platform's API");
        drop(third);
        let late = peers.join(PERIOD, None);
        late.record(&page(), &sample(106, SampleResult::Good));
        assert_eq!(mine.shared.apps.read().expect("not poisoned").len(), 3, "who left is forgotten");
    }

    #[test]
    fn what_an_app_needs_vouches_for_no_other_app() {
        let text = include_str!("../../config/minimal.yaml").replace(
            "    probes:\n",
            "    depends_on: [database]\n    probes:\n      - { name: database, tcp: '10.0.0.5:5432' }\n",
        );
        let needy = crate::config::parse("f.yaml", &text).expect("a configuration").apps.remove(0);
        let (database, home) = (needy.probes[0].ask.clone(), needy.probes[1].ask.clone());
        let peers = Peers::new();
        let (mine, other) = (peers.join(PERIOD, None), peers.join(PERIOD, Some(Arc::new(needy))));
        mine.record(&page(), &bad(100));
        other.record(&home, &bad(98));
        other.record(&database, &sample(100, SampleResult::Good));
        assert_eq!(mine.verdict(&bad(100)), PeerVerdict::Unclear, "it may be next to us");
        assert_eq!(other.slots.all.record(PERIOD), app(0, 98, 98), "nor does it end the app's own streak");
        other.record(&home, &sample(100, SampleResult::Good));
        assert_eq!(mine.verdict(&bad(100)), PeerVerdict::Theirs);
    }

    #[test]
    fn a_good_sample_ends_the_streak() {
        let peers = Peers::new();
        let mine = peers.join(PERIOD, None);
        peers.platform_answered(at(99));
        mine.record(&page(), &bad(100));
        mine.record(&page(), &sample(110, SampleResult::Good));
        mine.record(&page(), &bad(120));
        peers.platform_unreachable(at(115));
        assert_eq!(mine.verdict(&bad(120)), PeerVerdict::Ours);
    }
}
