//! How a course is drawn from its seed.

mod added;
mod close;
mod elsewhere;
mod ordered;

use std::time::Duration;

use super::super::disk::Trouble;
use super::super::machine::{Passage, Point};
use super::{Course, Event, FLAKY, RULES};
use crate::decision::observation::Request;
use crate::lab::{
    Action, Allowed, AppKind, Busy, ClonedFrom, Durations, Fate, Fault, Health, Image, Kind, Operation, Pin,
    Release, Replaced, RevertCause, RevertTo, Shown, Target, Unknowns, When, WhilePinned, Zeros,
};

/// How many rollbacks an app has in an hour, in most courses.
const BUDGET: usize = 12;

/// From here on a seed draws what [`Course::more`] adds. Those before it are kept as they were drawn when they found
/// something.
const MORE: u64 = 10_000;

/// From here on, and from as far behind [`CLOSE`] on, a seed draws what [`Course::newest`] adds.
pub(in crate::sim) const NEWEST: u64 = 200_000;

/// From here on, and from as far behind [`CLOSE`] and [`OTHER`] on, a seed draws what [`Course::ordered`] adds.
pub(in crate::sim) const ORDERED: u64 = 5_000_000;

/// From here on a course is a close one, see [`Course::close`].
pub(in crate::sim) const CLOSE: u64 = 10_000_000;

/// From here on the platform is another one, see [`Course::elsewhere`].
pub(in crate::sim) const OTHER: u64 = 20_000_000;

/// From so far into each million on, but for the first one behind [`OTHER`], a seed draws what [`Course::latest`] adds.
pub(in crate::sim) const LATEST: u64 = 600_000;

/// From so far into each million on, but for the first one behind [`OTHER`], a seed draws what [`Course::withdrawn`] adds.
const WITHDRAWN: u64 = 800_000;

/// From so far into each million on, but for the first one behind [`OTHER`], a seed draws what [`Course::healing`] adds.
const HEALING: u64 = 900_000;

/// From so far into each million on, but for the first one behind [`OTHER`], a seed draws what [`Course::connecting`] adds, and
/// with it all there is.
pub(in crate::sim) const ALL: u64 = 940_000;

/// From here on, and until [`ORDERED`] behind [`OTHER`], a course on another platform is a close one as well.
pub(in crate::sim) const CLOSE_OTHER: u64 = OTHER + 3_000_000;

/// A way to draw.
struct Dice(fastrand::Rng);

impl Dice {
    fn flip(&mut self) -> bool {
        self.0.bool()
    }

    fn once_in(&mut self, times: u32) -> bool {
        self.0.u32(0..times) == 0
    }

    fn of<T: Clone>(&mut self, list: &[T]) -> T {
        list[self.0.usize(0..list.len())].clone()
    }

    fn allowed(&mut self) -> Allowed {
        self.of(&[Allowed::Accepts, Allowed::Refuses])
    }

    fn shown(&mut self) -> Shown {
        self.of(&[Shown::Shown, Shown::Shown, Shown::Omitted])
    }
}

impl Course {
    pub(in crate::sim) fn draw(seed: u64) -> Self {
        let mut dice = Dice(fastrand::Rng::with_seed(seed));
        let apps = dice.of(&[1, 1, 2, 3]);
        let length_ms = 60_000 * dice.of(&[10, 15, 20, 30]);
        let mode =
            |dice: &mut Dice| dice.of(&["enforce", "enforce", "enforce", "enforce", "approve", "observe"]);
        let mut course = Self {
            kind: AppKind::DigitalOcean,
            apps,
            modes: (0..apps).map(|_| mode(&mut dice)).collect(),
            rules: dice.of(&RULES),
            on_unhealthy: dice.of(&["revert", "hold"]),
            migrations: dice.of(&["hold", "allow"]),
            budget: BUDGET,
            has_controls: !dice.once_in(5),
            pace: dice.of(&[("2s", "1s"), ("2s", "1s"), ("2s", "1s"), ("500ms", "150ms")]),
            unknowns: unknowns(&mut dice),
            durations: Durations {
                pending_ms: dice.of(&[100, 1_000]),
                build_ms: dice.of(&[2_000, 10_000]),
                deploy_ms: dice.of(&[1_000, 8_000]),
                rollback_ms: dice.of(&[2_000, 10_000, 40_000]),
            },
            revision_limit: 10,
            poll: "10s",
            events: Vec::new(),
            length_ms,
            is_liveness: dice.flip(),
            restart_first: false,
            other_probe: None,
            is_endless: false,
            frozen: None,
            setting: None,
        };
        // How wild it is: some courses have hardly a fault, so that what needs quiet is reached, too.
        let wildness = dice.of(&[0_u32, 1, 2, 4, 8]);
        let mut version = 1_u32;
        let mut at = dice.0.i64(1_000..90_000);
        while at < length_ms {
            version += 1;
            let app = dice.0.usize(0..apps);
            course.events.push((at, Event::Push(app, Box::new(release(&mut dice, version)))));
            for _ in 0..dice.0.u32(0..=wildness) {
                let event = event(&mut dice, apps);
                let when = at + dice.0.i64(0..60_000);
                course.accompany(when, event, &mut dice);
            }
            at += dice.0.i64(20_000..200_000);
        }
        if seed >= MORE {
            course.more(&mut Dice(fastrand::Rng::with_seed(!seed)), wildness);
        }
        if (CLOSE..OTHER).contains(&seed) || (CLOSE_OTHER..OTHER + ORDERED).contains(&seed) {
            course.close(&mut Dice(fastrand::Rng::with_seed(seed.rotate_left(32))));
        }
        if seed % CLOSE >= NEWEST {
            course.newest(&mut Dice(fastrand::Rng::with_seed(!seed.rotate_left(32))));
        }
        if seed >= OTHER {
            course.elsewhere(&mut Dice(fastrand::Rng::with_seed(!seed.rotate_left(16))));
        }
        if seed % 1_000_000 >= LATEST && seed / 1_000_000 != OTHER / 1_000_000 {
            course.latest(&mut Dice(fastrand::Rng::with_seed(!seed.rotate_left(8))));
        }
        if seed % 1_000_000 >= WITHDRAWN && seed / 1_000_000 != OTHER / 1_000_000 {
            course.withdrawn(&mut Dice(fastrand::Rng::with_seed(!seed.rotate_left(24))));
        }
        if seed % 1_000_000 >= HEALING && seed / 1_000_000 != OTHER / 1_000_000 {
            course.healing(&mut Dice(fastrand::Rng::with_seed(!seed.rotate_left(40))));
        }
        if seed % CLOSE >= ORDERED {
            course.ordered(&mut Dice(fastrand::Rng::with_seed(seed.rotate_left(16))));
        }
        if seed % 1_000_000 >= ALL && seed / 1_000_000 != OTHER / 1_000_000 {
            course.connecting(&mut Dice(fastrand::Rng::with_seed(seed.rotate_left(48))));
        }
        course.events.sort_by_key(|(at, _)| *at);
        course
    }

    /// What the first courses did not know.
    fn more(&mut self, dice: &mut Dice, wildness: u32) {
        self.poll = dice.of(&["10s", "20s", "30s"]);
        self.revision_limit = dice.of(&[10, 10, 10, 10, 10, 10, 4, 3]);
        if dice.once_in(16) {
            self.unknowns.reads_lag_ms = 60_000;
        }
        for (_, event) in &mut self.events {
            if let Event::Push(_, release) = event {
                release.database = dice
                    .of(&["postgres 16", "postgres 16", "postgres 16", "postgres 16", "postgres 17"])
                    .to_owned();
                release.static_site = dice.once_in(8);
                let digest = dice.flip().then(|| format!("sha256:{}", release.commit_hash()));
                release.image = dice.once_in(8).then(|| Image { tag: "latest".to_owned(), digest });
            }
        }
        let busy = i64::from(wildness) * self.length_ms / 600_000;
        for _ in 0..busy {
            let (app, when) = (dice.0.usize(0..self.apps), dice.0.i64(1_000..self.length_ms));
            let event = match dice.0.u32(0..24) {
                0..3 => Event::RollbackFate(app, dice.of(&[Fate::Fails, Fate::Sticks])),
                3..5 => Event::Region(app, "fra"),
                5 => Event::Deleted(app),
                6..9 if self.has_controls => Event::SitesCutOff(true),
                9 => Event::StateLost,
                10..13 => Event::Policy {
                    rules: dice.of(&RULES),
                    on_unhealthy: dice.of(&["revert", "hold"]),
                    migrations: dice.of(&["hold", "allow"]),
                },
                13 => Event::Fault(Box::new(Fault::on(
                    Target::Api,
                    Kind::TooManyRequests { retry_after: Some("Thu, 01 Jan 2026 00:00:00 GMT".to_owned()) },
                ))),
                14 => Event::Fault(Box::new(Fault::on(Target::Up, Kind::Reset { applied: false }))),
                15..18 => {
                    // A team in a hurry.
                    for n in 0..5 {
                        let release = Box::new(release(dice, 900 + n));
                        self.events.push((when + i64::from(n) * 9_000, Event::Push(app, release)));
                    }
                    continue;
                }
                18..22 => self.meeting(dice, app, when, 8),
                _ => event(dice, self.apps),
            };
            self.accompany(when, event, dice);
        }
    }

    /// Rollbacks that pause pushes by themselves, or let them go, and rules that are taken away, in an incident too.
    fn latest(&mut self, dice: &mut Dice) {
        self.unknowns.rollback_sets_auto_deploy = dice.of(&[None, Some(false), Some(true)]);
        if dice.once_in(3) {
            for _ in 0..dice.0.u32(1..5) {
                let policy = Event::Policy {
                    rules: dice.of(&[RULES[0], FLAKY, FLAKY]),
                    on_unhealthy: self.on_unhealthy,
                    migrations: self.migrations,
                };
                self.events.push((dice.0.i64(1_000..self.length_ms), policy));
            }
        }
    }

    /// What only the newest courses know.
    fn newest(&mut self, dice: &mut Dice) {
        if self.unknowns.cloned_from == ClonedFrom::Target && dice.once_in(3) {
            self.unknowns.cloned_from = ClonedFrom::Built;
        }
        self.restart_first = dice.once_in(6);
    }

    /// Adds an event, and for what does not last for ever, its end.
    fn accompany(&mut self, at: i64, event: Event, dice: &mut Dice) {
        let end = match &event {
            Event::Fault(_) => Some(Event::NoFaults),
            Event::CutOff(true) => Some(Event::CutOff(false)),
            Event::Disk(_) => Some(Event::Disk(Trouble::None)),
            Event::Token(false) => Some(Event::Token(true)),
            Event::Pause(app, true) => Some(Event::Pause(*app, false)),
            Event::RollbackFate(app, _) => Some(Event::RollbackFate(*app, Fate::Works)),
            Event::Region(app, _) => Some(Event::Region(*app, "ams")),
            Event::SitesCutOff(true) => Some(Event::SitesCutOff(false)),
            Event::Leaves(app, true) => Some(Event::Leaves(*app, false)),
            Event::Mode(app, "observe") => Some(Event::Mode(*app, "enforce")),
            _ => None,
        };
        if let Some(end) = end {
            self.events.push((at + dice.0.i64(500..90_000), end));
        }
        self.events.push((at, event));
    }
}

fn unknowns(dice: &mut Dice) -> Unknowns {
    Unknowns {
        create_when_pinned: dice.allowed(),
        create_when_invalid: dice.allowed(),
        create_when_busy: dice.of(&[Busy::Queues, Busy::Cancels, Busy::Refuses]),
        commit_when_unpinned: dice.allowed(),
        revert_when_unpinned: dice.allowed(),
        settle_before_terminal: dice.allowed(),
        push_while_pinned: dice.of(&[WhilePinned::Refused, WhilePinned::Queued, WhilePinned::Dropped]),
        restart_while_pinned: dice.allowed(),
        platform_while_pinned: dice.allowed(),
        pin_after_failure: dice.of(&[Pin::Kept, Pin::Released]),
        revert_to: dice.of(&[RevertTo::SameBuild, RevertTo::BranchHead]),
        revert_cause: dice.of(&[RevertCause::Manual, RevertCause::ManualRollback]),
        jobs_run_again: dice.flip(),
        pending_replaced: dice.of(&[Replaced::Superseded, Replaced::Canceled]),
        cloned_from: match dice.shown() {
            Shown::Shown => ClonedFrom::Target,
            Shown::Omitted => ClonedFrom::Omitted,
        },
        cause_details: dice.shown(),
        previous_deployment: dice.shown(),
        zeros: dice.of(&[Zeros::Omitted, Zeros::Written]),
        reads_lag_ms: dice.of(&[0, 0, 0, 2_000, 15_000]),
        reads_jump: false,
        late_apply_ms: dice.of(&[None, None, None, None, None, None, Some(10_000), Some(90_000)]),
        refusal_status: dice.of(&[409, 412, 422, 400]),
        ..Unknowns::default()
    }
}

fn release(dice: &mut Dice, version: u32) -> Release {
    let health = match dice.0.u32(0..12) {
        0..5 => Health::Bad { status: dice.of(&[500, 502, 503, 404]) },
        5 => Health::Failing { ratio: 0.6 },
        6 => Health::BadAfter { after_ms: 20_000, status: 500 },
        7 => Health::GoodAfter { after_ms: 15_000, status: 503 },
        _ => Health::Good,
    };
    let fate = |dice: &mut Dice| match dice.0.u32(0..20) {
        0 => Fate::Fails,
        1 => Fate::Sticks,
        _ => Fate::Works,
    };
    Release {
        health,
        when_rolled_back: dice.once_in(6).then_some(Health::Bad { status: 500 }),
        build: fate(dice),
        rollout: fate(dice),
        migrations: if dice.once_in(8) { vec![format!("migrate {version}")] } else { Vec::new() },
        ..Release::good(&format!("v{version}"))
    }
}

fn event(dice: &mut Dice, apps: usize) -> Event {
    let app = dice.0.usize(0..apps);
    match dice.0.u32(0..34) {
        0..8 => Event::Fault(Box::new(fault(dice))),
        8 => Event::CutOff(true),
        9 | 10 => Event::Disk(dice.of(&[Trouble::Full, Trouble::Lies, Trouble::Locked])),
        11 => Event::Token(false),
        12 | 13 => Event::Pause(if dice.once_in(4) { None } else { Some(app) }, true),
        14 | 15 => Event::Ask(app, dice.of(&[Request::Approve, Request::Approve, Request::Reject])),
        16 => Event::Ask(app, Request::Resume),
        17 => Event::Mode(app, dice.of(&["observe", "approve", "enforce"])),
        18 => Event::Leaves(app, true),
        19 => Event::Renamed(app),
        20..24 => {
            let points =
                [Point::BeforeWriting, Point::AfterWriting, Point::BeforeSending, Point::AfterSending];
            Event::Dies(Passage { point: dice.of(&points), nth: dice.0.u32(1..8), then: None })
        }
        24 => Event::Killed,
        25 => Event::Stopped,
        26 => Event::Sleeps(Duration::from_secs(dice.0.u64(1..1_200))),
        27 => Event::Wall(dice.of(&[-86_400_000, -3_600_000, 3_600_000, 86_400_000, 0])),
        28 => Event::Health(app, dice.of(&[Health::Good, Health::Bad { status: 500 }])),
        _ => Event::Person(app, action(dice)),
    }
}

fn action(dice: &mut Dice) -> Action {
    match dice.0.u32(0..10) {
        0 | 1 => Action::Commit,
        2 | 3 => Action::Revert,
        4 | 5 => Action::Rollback { to: None, skip_pin: dice.once_in(3) },
        6 => Action::Restart,
        7 => Action::Cancel { deployment: None },
        8 => dice.of(&[Action::Maintenance, Action::Autoscale]),
        _ => Action::Deploy,
    }
}

fn fault(dice: &mut Dice) -> Fault {
    let writes = [
        Operation::ValidateRollback,
        Operation::CreateRollback,
        Operation::CreateRollback,
        Operation::CommitRollback,
        Operation::RevertRollback,
    ];
    let on = match dice.0.u32(0..10) {
        0..5 => Target::Call(dice.of(&writes)),
        5 => Target::Writes,
        6 => Target::Reads,
        7 => Target::Api,
        8 => Target::Site,
        _ => Target::Call(dice.of(&[Operation::GetApp, Operation::ListDeployments, Operation::ListApps])),
    };
    let applied = dice.flip();
    let kind = match dice.0.u32(0..18) {
        0..3 => Kind::Status { code: dice.of(&[500, 502, 503, 504, 408]), applied },
        3 => Kind::Status { code: dice.of(&[400, 404, 409, 422]), applied: false },
        4 => Kind::Status { code: dice.of(&[401, 403]), applied: false },
        5 => Kind::TooManyRequests {
            retry_after: dice
                .of(&[None, Some("0"), Some("3"), Some("1000000000"), Some("soon")])
                .map(str::to_owned),
        },
        6 => Kind::Html { code: dice.of(&[200, 502]) },
        7..9 => Kind::Hang { applied },
        9..11 => Kind::Reset { applied },
        11 => Kind::AppliedLate { after_ms: dice.of(&[3_000, 20_000, 60_000, 120_000]) },
        12 => Kind::Delay { ms: dice.of(&[500, 4_000, 20_000]) },
        13 => Kind::Truncated,
        14 => dice.of(&[Kind::Empty, Kind::NoContent, Kind::InvalidUtf8, Kind::WrongTypes]),
        15 => dice.of(&[Kind::UnknownFields, Kind::Reordered, Kind::Duplicated, Kind::WrongTotal]),
        16 => Kind::MissingIds,
        _ => Kind::RedirectLoop,
    };
    let when = dice.of(&[
        When::Always,
        When::First(1),
        When::First(1),
        When::First(3),
        When::Every(2),
        When::Nth(2),
    ]);
    Fault::on(on, kind).when(when)
}
