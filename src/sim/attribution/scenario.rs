//! What a scenario is: a name that says it in plain words, whose fault its trouble is, a configuration, what happens at
//! which moments, and what has to be said of it.

use std::fmt::Write as _;

use crate::lab::{Action, AppKind, Fault, Health, Kind, Release, Source, Target};
use crate::sim::course::Event;
use crate::sim::run::Run;

/// The app that is judged.
pub(super) const APP: usize = 0;
/// Something that it needs, which nobody guards.
pub(super) const NEED: usize = 1;
/// The page on which the platform says how it is.
pub(super) const STATUS: usize = 2;
/// The first of the other apps of the account.
pub(super) const SIBLING: usize = 3;

/// Whose fault the trouble is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Label {
    /// The release did it.
    Release,
    /// It is us: our network, our machine, our clock.
    Us,
    /// It is everyone: the platform, or all of its apps.
    Everyone,
    /// Something that the app needs.
    Need,
    /// It was so before.
    Before,
    /// Another version has answered.
    Version,
    /// A person did it, or has it in hand.
    Person,
    /// Nobody: a glitch, traffic, a cold start, or less than is worth a word.
    Nobody,
}

impl Label {
    pub(super) const ALL: [Self; 8] = [
        Self::Release,
        Self::Us,
        Self::Everyone,
        Self::Need,
        Self::Before,
        Self::Version,
        Self::Person,
        Self::Nobody,
    ];

    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Release => "release",
            Self::Us => "us",
            Self::Everyone => "everyone",
            Self::Need => "dependency",
            Self::Before => "before",
            Self::Version => "version",
            Self::Person => "person",
            Self::Nobody => "nobody",
        }
    }
}

/// What has to have been said of it, besides who is accused: a rule that is to be seen to have spoken.
#[derive(Clone, Copy, Debug)]
pub(super) enum Says {
    /// So long nobody could tell, for this cause: `rearguard_blind_seconds_total`.
    Blind(&'static str),
    /// Some line of an incident's timeline, which is what `explain` shows.
    Tells(&'static str),
    /// A figure of the app that is not zero, without its prefix: `decisions_total{decision="refuse"`.
    Counts(&'static str),
    /// In what `status` says of the app's rules at the end.
    Reads(&'static str),
    /// In what it says then of why nobody can tell.
    Because(&'static str),
}

/// What becomes of a question to a site while our network carries none.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::sim) enum Lost {
    #[default]
    Refused,
    NoName,
    Swallowed,
}

/// What the configuration says, beside what the product ships.
#[derive(Clone, Debug)]
pub(in crate::sim) struct Setting {
    /// What is live at first.
    pub(in crate::sim) first: Release,
    pub(super) has_controls: bool,
    /// The page that is asked for, with more keys of its probe.
    pub(super) page: (&'static str, &'static str),
    /// Probes beside it.
    pub(super) probes: &'static [&'static str],
    pub(super) rules: &'static str,
    /// More keys of the app.
    pub(super) keys: &'static str,
    /// How many other apps of the account are guarded.
    pub(super) siblings: usize,
    pub(super) lost: Lost,
}

/// As long as the shipped defaults have it, and what counts three failures beside it: the hastiest that is recommended.
pub(super) const BOTH: &str =
    "[{ name: down, probe: home, consecutive_failures: 3 }, { name: worse, probe: home, regression: {} }]";
/// The one rule that promises something.
pub(super) const WORSE: &str = "[{ name: worse, probe: home, regression: {} }]";
/// The same, and of how long answers take.
pub(super) const SLOWER: &str = "[{ name: worse, probe: home, regression: {} }, { name: slower, probe: home, regression: { of: latency } }]";

impl Setting {
    /// The configuration file.
    pub(in crate::sim) fn text(&self, run: &Run) -> String {
        let kind = match run.course.kind {
            AppKind::DigitalOcean => "kind: digitalocean, api: 'https://lab.test'",
            AppKind::Sevalla { .. } => "kind: sevalla, api: 'https://lab.test/v3'",
        };
        let mut text = format!(
            "listen: 127.0.0.1:0\nstate: {}\nplatforms:\n  - {{ name: cloud, {kind}, token_file: /the/token }}\n",
            run.disk.file.display()
        );
        if self.has_controls {
            text.push_str("control_probes:\n  - { url: 'https://lab.test/up' }\n");
        }
        text.push_str("apps:\n");
        let guarded = run.shapes.iter().filter(|shape| shape.is_there).enumerate();
        for (n, shape) in guarded {
            let ((page, more), rules, keys) = match n {
                APP => (self.page, self.rules, self.keys),
                _ => (("", ""), BOTH, ""),
            };
            let probes = if n == APP { self.probes } else { &[] };
            write!(
                text,
                "  - name: {}\n    platform: cloud\n    id: {}\n    mode: {}\n    accept_platform_choice: true\n    \
                 rules: {rules}\n    {keys}\n    probes:\n      \
                 - {{ name: home, url: 'https://lab.test/sites/{}/{page}'{more} }}\n",
                shape.name, shape.id, shape.mode, shape.site
            )
            .expect("text");
            for probe in probes {
                writeln!(text, "      - {probe}").expect("text");
            }
        }
        text
    }
}

/// See the module.
pub(super) struct Scenario {
    pub(super) name: &'static str,
    pub(super) label: Label,
    pub(super) setting: Setting,
    pub(super) kinds: &'static [AppKind],
    /// What happens, in seconds since the release went live; before that, below zero.
    pub(super) happens: Vec<(f64, Event)>,
    pub(super) says: Vec<Says>,
    /// For how many seconds after it went live it is looked at.
    pub(super) length: f64,
    /// Why the product does not tell it today. Such a scenario is run and shown, counts for nothing, and has to go wrong:
    /// once it does not, it belongs among the others.
    pub(super) gap: Option<&'static str>,
}

const OCEAN: &[AppKind] = &[AppKind::DigitalOcean];
const EVERY: &[AppKind] = &[AppKind::DigitalOcean, AppKind::sevalla(Source::PrivateGit)];

/// From a push to its going live, in seconds: what the lab's durations come to.
pub(super) const LEAD: f64 = 16.0;

/// A scenario in which the release `v2` goes live, which is good unless [`Scenario::of`] says otherwise.
pub(super) fn scenario(label: Label, name: &'static str) -> Scenario {
    let setting = Setting {
        first: Release::good("v1"),
        has_controls: true,
        page: ("healthz", ""),
        probes: &[],
        rules: BOTH,
        keys: "",
        siblings: 0,
        lost: Lost::default(),
    };
    let happens = vec![push(APP, Release::good("v2"))];
    Scenario { name, label, setting, kinds: OCEAN, happens, says: Vec::new(), length: 600.0, gap: None }
}

impl Scenario {
    /// The release that goes live.
    pub(super) fn of(mut self, release: Release) -> Self {
        self.happens[0] = push(APP, release);
        self
    }

    /// What goes live instead of a new release.
    pub(super) fn by(mut self, action: Action) -> Self {
        self.happens[0] = (-LEAD, Event::Person(APP, action));
        self
    }

    pub(super) fn at(mut self, seconds: f64, event: Event) -> Self {
        self.happens.push((seconds, event));
        self
    }

    /// Something that begins and ends.
    pub(super) fn between(self, from: f64, to: f64, [begins, ends]: [Event; 2]) -> Self {
        self.at(from, begins).at(to, ends)
    }

    /// The same again and again: so long each time, so often.
    pub(super) fn every(
        mut self,
        times: u32,
        (from, pause): (f64, f64),
        long: f64,
        both: [Event; 2],
    ) -> Self {
        for nth in 0..times {
            let from = from + f64::from(nth) * pause;
            self = self.between(from, from + long, both.clone());
        }
        self
    }

    pub(super) fn set(mut self, change: impl FnOnce(&mut Setting)) -> Self {
        change(&mut self.setting);
        self
    }

    pub(super) fn rules(self, rules: &'static str) -> Self {
        self.set(|setting| setting.rules = rules)
    }

    /// The app says that it needs a database.
    pub(super) fn needs_database(self) -> Self {
        self.set(|setting| {
            setting.probes = &["{ name: database, tcp: 'app-1:5432' }"];
            setting.keys = "depends_on: [database]";
        })
    }

    /// The app says that it needs the platform, which has a page that says how it is.
    pub(super) fn needs_platform(self) -> Self {
        self.set(|setting| {
            setting.probes = &["{ name: status, url: 'https://lab.test/sites/app-2/status', expect: { json: { pointer: /status, equals: ok } } }"];
            setting.keys = "depends_on: [status]";
        })
    }

    pub(super) fn says(mut self, says: Says) -> Self {
        self.says.push(says);
        self
    }

    /// It is tried on the other platform, too.
    pub(super) fn everywhere(mut self) -> Self {
        self.kinds = EVERY;
        self
    }

    pub(super) fn for_seconds(mut self, length: f64) -> Self {
        self.length = length;
        self
    }

    pub(super) fn gap(mut self, why: &'static str) -> Self {
        self.gap = Some(why);
        self
    }
}

/// A release that will be live at zero.
pub(super) fn push(app: usize, release: Release) -> (f64, Event) {
    (-LEAD, Event::Push(app, Box::new(release)))
}

/// What a site answers from now on, whatever is live, and that it is well again.
pub(super) fn health(site: usize, health: Health) -> [Event; 2] {
    [Event::Health(site, health), Event::Health(site, Health::Good)]
}

pub(super) fn down(site: usize) -> [Event; 2] {
    health(site, Health::Bad { status: 503 })
}

/// A fault on the way to what it meets.
pub(super) fn fault(on: Target, kind: Kind) -> [Event; 2] {
    [Event::Fault(Box::new(Fault::on(on, kind))), Event::NoFaults]
}

/// An answer with this status, from whatever stands before it.
pub(super) fn answers(on: Target, code: u16) -> [Event; 2] {
    fault(on, Kind::Status { code, applied: false })
}

/// Our network is gone.
pub(super) fn cut_off() -> [Event; 2] {
    [Event::CutOff(true), Event::CutOff(false)]
}

/// Only the platform's API can be reached.
pub(super) fn sites_cut_off() -> [Event; 2] {
    [Event::SitesCutOff(true), Event::SitesCutOff(false)]
}
