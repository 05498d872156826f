//! A scenario as it came out: who was accused, and what was said.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Builder;

use super::scenario::{APP, LEAD, Label, NEED, SIBLING, STATUS, Says, Scenario};
use super::visitor::Visitor;
use crate::clock::Moment;
use crate::daemon::Engine;
use crate::decision::effect::Reason;
use crate::journal::{IncidentQuery, IncidentRecord, Journal};
use crate::lab::{AppKind, Durations, Operation, Who};
use crate::metrics::render;
use crate::server::{AppStatus, Backend};
use crate::sim::course::{Course, Event};
use crate::sim::life::{asked, start};
use crate::sim::panics;
use crate::sim::run::{Run, begun};
use crate::sim::told::{course, opened};

/// The app is older than its watch when the guard begins.
const AGE: Duration = Duration::from_secs(3_600);
/// For so long it is seen at rest before anything is deployed.
const REST_MS: i64 = 900_000;
/// How often it is looked whether it was rolled back.
const LOOK_MS: i64 = 5_000;

/// Samples of which nobody could tell anything.
pub(super) const UNSEEN: Says = Says::Counts("probes_total{probe=\"home\",result=\"unknown\"}");

/// See the module.
pub(super) struct Told {
    /// The version that was rolled back from.
    pub(super) accused: Option<String>,
    /// The incidents of the app.
    pub(super) incidents: Vec<IncidentRecord>,
    pub(super) timeline: Vec<String>,
    /// What a scrape shows of the app.
    figures: Vec<String>,
    /// What its rules have to say at the end.
    readings: Vec<String>,
    /// Why nobody can tell at the end.
    because: String,
    pub(super) story: String,
}

/// Tells it on a platform, with its moments and times of answering as `seed` has them.
pub(super) fn tell(scenario: &Scenario, kind: AppKind, seed: u64, is_told: bool) -> Told {
    fastrand::seed(seed);
    panics::none_yet();
    let _log = is_told.then(|| {
        let log = tracing_subscriber::fmt().without_time().with_ansi(false).with_target(false);
        tracing::subscriber::set_default(log.with_test_writer().finish())
    });
    let mut run = begun(course_of(scenario, kind, seed), seed, is_told);
    for unguarded in [NEED, STATUS] {
        run.shapes[unguarded].is_there = false;
    }
    run.machine.sleeps(AGE);
    let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime");
    let (figures, status) = runtime.block_on(lived(&mut run, scenario));
    drop(runtime);
    assert_eq!(panics::count(), 0, "a task panicked\n{}", run.story());
    Told::of(&run, &figures, status)
}

/// What happens when: everything is a little later than the scenario has it, and all of it at another moment of the polls
/// and of the probes' pace.
fn course_of(scenario: &Scenario, kind: AppKind, seed: u64) -> Course {
    let mut dice = fastrand::Rng::with_seed(seed);
    #[expect(clippy::cast_possible_truncation, reason = "hours")]
    let millis = |seconds: f64| (seconds * 1_000.0) as i64;
    let start = i64::try_from(AGE.as_millis()).expect("an hour") + REST_MS;
    let live = start + millis(LEAD) + dice.i64(0..15_000);
    let happens = scenario.happens.iter();
    let mut events: Vec<(i64, Event)> = happens
        .map(|(at, event)| {
            // The release itself is live when it is said to be.
            let late = if *at == -LEAD { 0 } else { dice.i64(0..400) };
            (live + millis(*at) + late, event.clone())
        })
        .collect();
    events.sort_by_key(|(at, _)| *at);
    let apps = SIBLING + scenario.setting.siblings;
    Course {
        kind,
        apps,
        modes: vec!["enforce"; apps],
        durations: Durations { pending_ms: 500, build_ms: 10_000, deploy_ms: 5_000, rollback_ms: 5_000 },
        length_ms: live + millis(scenario.length),
        setting: Some(scenario.setting.clone()),
        ..course(events)
    }
}

/// Lives through all of it, or until the app was rolled back. Gives what a scrape shows then, and how the app is.
async fn lived(run: &mut Run, scenario: &Scenario) -> (String, Option<AppStatus>) {
    run.machine.begin_life();
    let lost = scenario.setting.lost;
    let visitor = move |wire: &_, clock| -> Arc<dyn crate::probe::Probe> {
        Arc::new(Visitor { wire: crate::sim::wire::Wire::clone(wire), clock, lost })
    };
    let mut engine = start(run, visitor).await;
    goes_on(run, &mut engine).await;
    let metrics = run.metrics.as_ref().expect("a process");
    let figures = render(metrics, Moment::default()).expect("rendered");
    let apps = asked(&engine).apps().await;
    run.machine.end_life();
    let of_it = apps.into_iter().find(|status| status.id.as_str() == run.shapes[APP].id);
    (String::from_utf8(figures).expect("text"), of_it)
}

async fn goes_on(run: &mut Run, engine: &mut Engine) {
    let length = run.course.length_ms;
    for (at, event) in std::mem::take(&mut run.course.events) {
        if until(run, at).await {
            return;
        }
        assert!(run.happens(event, engine).await.is_none(), "a process is not to end here");
    }
    until(run, length).await;
}

/// Waits. Whether the app was rolled back meanwhile: then nothing that follows matters.
async fn until(run: &Run, at_ms: i64) -> bool {
    loop {
        let left = at_ms - run.machine.uptime_ms();
        if left <= 0 || is_rolled_back(run) {
            return is_rolled_back(run);
        }
        let step = u64::try_from(left.min(LOOK_MS)).expect("some time");
        tokio::time::sleep(Duration::from_millis(step)).await;
    }
}

fn is_rolled_back(run: &Run) -> bool {
    !rolled_back_from(run).is_empty()
}

/// The deployments that the guard rolled the app back from, by the platform's own ledger.
fn rolled_back_from(run: &Run) -> Vec<String> {
    let entries = run.lab.ledger().entries.into_iter();
    let ours = entries.filter(|entry| entry.who == Who::Guard && entry.app == run.shapes[APP].site);
    let made = ours.filter(|entry| entry.operation == Operation::CreateRollback && entry.applied());
    made.filter_map(|entry| entry.active_before).collect()
}

impl Told {
    fn of(run: &Run, figures: &str, status: Option<AppStatus>) -> Self {
        let app = run.lab.record(&run.shapes[APP].site);
        let accused = rolled_back_from(run).first().and_then(|id| app.deployment(id)).cloned();
        let (journal, runtime) = opened(run);
        let all = runtime.block_on(journal.incidents(IncidentQuery::default())).expect("incidents");
        let incidents: Vec<IncidentRecord> =
            all.into_iter().filter(|record| record.app_id.as_str() == app.id).collect();
        let mut timeline = Vec::new();
        for record in &incidents {
            let found = runtime.block_on(journal.incident(&record.id)).expect("an incident");
            timeline.extend(found.into_iter().flat_map(|(_, lines)| lines).map(|line| line.text));
        }
        let mark = format!("app=\"{}\",", run.shapes[APP].name);
        let figures = figures
            .lines()
            .filter_map(|line| {
                let (name, rest) = line.strip_prefix("rearguard_")?.split_once(mark.as_str())?;
                let is_something = !rest.ends_with(" 0");
                is_something.then(|| format!("{name}{rest}"))
            })
            .collect();
        let because = status.as_ref().and_then(|status| status.blind_because.clone()).unwrap_or_default();
        let rules = status.map(|status| status.rules).unwrap_or_default();
        let readings =
            rules.iter().map(|rule| format!("{} {}: {}", rule.name, rule.verdict, rule.evidence)).collect();
        let accused = accused.map(|accused| accused.release.version.clone());
        Self { accused, incidents, timeline, figures, readings, because, story: run.lines.join("\n") }
    }

    /// So many seconds nobody could tell for this cause.
    fn blind(&self, cause: &str) -> f64 {
        let figure = format!("blind_seconds_total{{cause=\"{cause}\"}} ");
        let found = self.figures.iter().find_map(|line| line.strip_prefix(figure.as_str()));
        found.and_then(|value| value.parse().ok()).unwrap_or(0.0)
    }

    pub(super) fn has_said(&self, says: Says) -> bool {
        match says {
            Says::Blind(cause) => self.blind(cause) > 0.0,
            Says::Tells(words) => self.timeline.iter().any(|line| line.contains(words)),
            Says::Counts(figure) => self.figures.iter().any(|line| line.starts_with(figure)),
            Says::Because(words) => self.because.contains(words),
            Says::Reads(words) => self.readings.iter().any(|line| line.contains(words)),
        }
    }

    /// What was said: by what was done, else by how the incident ended, else by what nobody could tell for longest. None
    /// where nothing was.
    pub(super) fn said(&self) -> Option<Label> {
        if self.accused.is_some() {
            return Some(Label::Release);
        }
        let ended = self.incidents.iter().find_map(|record| match record.reason {
            Reason::BadBeforeDeployment => Some(Label::Before),
            Reason::Storm => Some(Label::Everyone),
            Reason::Superseded | Reason::ForeignPin | Reason::Paused | Reason::Rejected => {
                Some(Label::Person)
            }
            _ => None,
        });
        let is_unseen = self.has_said(UNSEEN);
        let causes = [
            ("dependency", Label::Need),
            ("version", Label::Version),
            ("siblings", Label::Everyone),
            ("before", Label::Before),
            ("control", Label::Us),
            ("peers", Label::Us),
            ("overload", Label::Us),
            // Who sees nothing at all is cut off, and not the platform.
            ("platform", if is_unseen { Label::Us } else { Label::Everyone }),
        ];
        let longest = causes.into_iter().map(|(cause, label)| (self.blind(cause), label));
        let longest = longest.filter(|(seconds, _)| *seconds > 0.0).max_by(|(a, _), (b, _)| a.total_cmp(b));
        ended.or(longest.map(|(_, label)| label))
    }

    /// All of that, for people.
    pub(super) fn in_words(&self) -> String {
        let mut text = format!("{}\n", self.story);
        for line in self.timeline.iter().chain(&self.readings).chain(&self.figures) {
            writeln!(text, "    {line}").expect("text");
        }
        text
    }
}
