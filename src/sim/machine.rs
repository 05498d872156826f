//! The host: a clock that goes on between two processes, a network, and the moments at which the process dies.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

use crate::clock::{Clock, Mark, Moment, anchor};

/// Where the platform's clock, and ours at first, begins: somewhere in 2027.
pub(super) const EPOCH_MS: i64 = 1_800_000_000_000;

/// Where a process may die.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Point {
    BeforeWriting,
    AfterWriting,
    BeforeSending,
    AfterSending,
    AfterReading,
}

/// A passage of a point that is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Passage {
    pub(super) point: Point,
    /// The so-many-th from now.
    pub(super) nth: u32,
    /// After that, the next one of this point.
    pub(super) then: Option<Point>,
}

impl Passage {
    /// Whether it is the one that is waited for.
    fn is_reached(&mut self, point: Point) -> bool {
        if self.point != point {
            return false;
        }
        self.nth = self.nth.saturating_sub(1);
        if self.nth > 0 {
            return false;
        }
        let Some(then) = self.then.take() else { return true };
        (self.point, self.nth) = (then, 1);
        false
    }
}

/// See the module.
pub(super) struct Machine {
    /// Milliseconds since its start up to the present process.
    past_ms: AtomicI64,
    /// When the present process began.
    life: Mutex<Option<Instant>>,
    /// When it slept, and for how long.
    slept: Mutex<Vec<(i64, i64)>>,
    /// How often it was started anew, and when.
    boots: Mutex<(u32, i64)>,
    /// How far the wall clock is off.
    wall_off_ms: AtomicI64,
    /// Nothing gets out.
    is_cut_off: AtomicBool,
    /// Nothing gets to the sites and the control probes.
    are_sites_cut_off: AtomicBool,
    /// Where the process dies.
    crash: Mutex<Option<Passage>>,
    pub(super) crashed: Notify,
    /// Where something else happens before the process goes on.
    meeting: Mutex<Option<Passage>>,
    pub(super) met: Notify,
    /// Whether anybody looks out for it.
    is_looked_out: AtomicBool,
    /// Whoever waits there, until this is dropped.
    waiting: Mutex<Option<oneshot::Sender<()>>>,
    dice: Mutex<fastrand::Rng>,
    /// How often a fault of its own struck, by its word.
    pub(super) struck: Mutex<BTreeMap<&'static str, usize>>,
}

impl Machine {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            past_ms: AtomicI64::new(0),
            life: Mutex::new(None),
            slept: Mutex::new(Vec::new()),
            boots: Mutex::new((1, 0)),
            wall_off_ms: AtomicI64::new(0),
            is_cut_off: AtomicBool::new(false),
            are_sites_cut_off: AtomicBool::new(false),
            crash: Mutex::new(None),
            crashed: Notify::new(),
            meeting: Mutex::new(None),
            met: Notify::new(),
            is_looked_out: AtomicBool::new(false),
            waiting: Mutex::new(None),
            dice: Mutex::new(fastrand::Rng::with_seed(seed ^ 0x5bd1_e995)),
            struck: Mutex::default(),
        }
    }

    /// Milliseconds since its start.
    pub(super) fn uptime_ms(&self) -> i64 {
        let lived = lock(&self.life).map_or(0, |began| began.elapsed().as_millis());
        self.past_ms.load(Ordering::Relaxed) + i64::try_from(lived).unwrap_or(i64::MAX)
    }

    pub(super) fn begin_life(&self) {
        *lock(&self.life) = Some(Instant::now());
    }

    pub(super) fn end_life(&self) {
        let now = self.uptime_ms();
        *lock(&self.life) = None;
        self.past_ms.store(now, Ordering::Relaxed);
        self.nothing_awaits();
    }

    /// It sleeps: its timers stand still, its boot-time clock does not.
    pub(super) fn sleeps(&self, span: Duration) {
        let span_ms = i64::try_from(span.as_millis()).unwrap_or(0);
        lock(&self.slept).push((self.uptime_ms(), span_ms));
        self.past_ms.fetch_add(span_ms, Ordering::Relaxed);
    }

    /// For how long it slept between the two.
    pub(super) fn slept_ms(&self, between: std::ops::RangeInclusive<i64>) -> i64 {
        lock(&self.slept).iter().filter(|(at, _)| between.contains(at)).map(|(_, span)| span).sum()
    }

    pub(super) fn set_wall(&self, off_ms: i64) {
        self.wall_off_ms.store(off_ms, Ordering::Relaxed);
    }

    /// It is started anew: its boot-time clock begins again, and its wall clock is put right.
    pub(super) fn reboots(&self) {
        let now = self.uptime_ms();
        let mut boots = lock(&self.boots);
        *boots = (boots.0 + 1, now);
        self.set_wall(0);
    }

    /// How long ago it was started.
    fn boottime_ms(&self) -> i64 {
        self.uptime_ms() - lock(&self.boots).1
    }

    fn boot_id(&self) -> String {
        format!("boot {}", lock(&self.boots).0)
    }

    pub(super) fn cut_off(&self, is_cut_off: bool) {
        self.is_cut_off.store(is_cut_off, Ordering::Relaxed);
    }

    pub(super) fn is_cut_off(&self) -> bool {
        self.is_cut_off.load(Ordering::Relaxed)
    }

    pub(super) fn cut_off_sites(&self, are_cut_off: bool) {
        self.are_sites_cut_off.store(are_cut_off, Ordering::Relaxed);
    }

    pub(super) fn are_sites_cut_off(&self) -> bool {
        self.is_cut_off() || self.are_sites_cut_off.load(Ordering::Relaxed)
    }

    pub(super) fn dies_at(&self, passage: Passage) {
        *lock(&self.crash) = Some(passage);
    }

    pub(super) fn meets_at(&self, passage: Passage) {
        *lock(&self.meeting) = Some(passage);
    }

    /// Nothing waits for a passage any more.
    pub(super) fn nothing_awaits(&self) {
        (*lock(&self.crash), *lock(&self.meeting)) = (None, None);
        self.goes_on();
    }

    /// What is to happen at a passage does so only while this is said: who makes it happen passes points, too.
    pub(super) fn looks_out(&self, is_looked_out: bool) {
        self.is_looked_out.store(is_looked_out, Ordering::Relaxed);
    }

    /// A fault has met something.
    pub(super) fn strikes(&self, word: &'static str) {
        *lock(&self.struck).entry(word).or_default() += 1;
    }

    /// Whether somebody waits for what happens at this moment.
    pub(super) fn has_met(&self) -> bool {
        lock(&self.waiting).is_some()
    }

    pub(super) fn goes_on(&self) {
        drop(lock(&self.waiting).take());
    }

    /// Whoever passes a point at which the process dies never comes back; where something is to happen, it does first.
    pub(super) async fn pass(&self, point: Point) {
        let here = |awaited: &Mutex<Option<Passage>>| {
            lock(awaited).take_if(|passage| passage.is_reached(point)).is_some()
        };
        if self.is_looked_out.load(Ordering::Relaxed) && here(&self.meeting) {
            let (goes_on, waits) = oneshot::channel();
            *lock(&self.waiting) = Some(goes_on);
            self.met.notify_one();
            let _dropped = waits.await;
        }
        if here(&self.crash) {
            self.strikes("Dies");
            self.crashed.notify_one();
            std::future::pending::<()>().await;
        }
    }

    /// Some time between the two.
    pub(super) async fn takes(&self, range: std::ops::Range<u64>) {
        let millis = lock(&self.dice).u64(range);
        tokio::time::sleep(Duration::from_millis(millis)).await;
    }

    /// True once in so many times.
    pub(super) fn once_in(&self, times: u32) -> bool {
        times > 0 && lock(&self.dice).u32(0..times) == 0
    }
}

/// The clock of one process on it.
pub(super) struct ProcessClock {
    machine: Arc<Machine>,
    offset_ms: i64,
}

impl ProcessClock {
    pub(super) fn resume(machine: Arc<Machine>, last: Option<&Mark>) -> Self {
        let wall_ms = EPOCH_MS + machine.uptime_ms() + machine.wall_off_ms.load(Ordering::Relaxed);
        let offset_ms = anchor(last, &machine.boot_id(), machine.boottime_ms(), wall_ms);
        Self { machine, offset_ms }
    }
}

impl Clock for ProcessClock {
    fn now(&self) -> Moment {
        Moment::from_millis(self.machine.boottime_ms() + self.offset_ms)
    }

    fn wall(&self) -> jiff::Timestamp {
        let off = self.machine.wall_off_ms.load(Ordering::Relaxed);
        let millis = EPOCH_MS + self.machine.uptime_ms() + off;
        jiff::Timestamp::from_millisecond(millis).expect("a time of this century")
    }

    fn mark(&self) -> Mark {
        let boottime_ms = self.machine.boottime_ms();
        Mark { at: self.now(), boottime_ms, boot_id: self.machine.boot_id() }
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
