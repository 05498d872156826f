//! Tells the demo's story: asks the daemon's API like anybody would, and says what is new.

use std::net::SocketAddr;

use serde::Deserialize;
use tokio::time::Instant;

use super::{APP, DemoError, GLANCE};
use crate::cli::printed::Printed;
use crate::journal::{IncidentRecord, TimelineEntry};
use crate::lab::{AppState, Lab, Ledger};
use crate::server::AppStatus;

/// The one who tells.
pub(super) struct Narrator {
    start: Instant,
    lab: Lab,
    out: Printed,
    base: String,
    client: reqwest::Client,
    last_line: String,
    told: usize,
}

/// What the API says of an incident.
#[derive(Deserialize)]
struct Incident {
    #[serde(flatten)]
    record: IncidentRecord,
    timeline: Vec<TimelineEntry>,
}

impl Narrator {
    pub(super) fn new(start: Instant, lab: Lab, daemon: SocketAddr) -> Self {
        let base = format!("http://{daemon}");
        let client = reqwest::Client::new();
        Self { start, lab, out: Printed::default(), base, client, last_line: String::new(), told: 0 }
    }

    /// Whether somebody listens; else why not, where that is a failure.
    pub(super) fn is_heard(&self) -> Result<(), DemoError> {
        if self.out.is_read() { Ok(()) } else { Err(DemoError::NotHeard(self.out.failure())) }
    }

    pub(super) fn opening(&self, configuration: &str) {
        self.out.line(format_args!(
            "rearguard demo: the real daemon, guarding an app on a platform that is built in."
        ));
        self.out.line(format_args!("Everything stays on this machine. It takes half a minute."));
        self.out.line(format_args!(
            "Deployments are written as their version and the first part of their id: v1 [6a0d0472].\n"
        ));
        self.out.line(format_args!("The configuration it runs with:\n"));
        for line in configuration.lines() {
            self.out.line(format_args!("    {line}"));
        }
        self.out.line(format_args!(
            "\nThe daemon serves {}: try {}/metrics while it runs.",
            self.base, self.base
        ));
    }

    pub(super) fn chapter(&self, title: &str) {
        self.out.line(format_args!("\n== {title}"));
    }

    /// Follows the app until `is_there`.
    pub(super) async fn until(
        &mut self,
        what: &'static str,
        is_there: impl Fn(&AppStatus) -> bool,
    ) -> Result<AppStatus, DemoError> {
        let deadline = self.start + super::WITHIN;
        while Instant::now() < deadline {
            let app: AppStatus = self.get(&format!("/api/v1/apps/{APP}")).await?;
            self.glance(&app);
            self.is_heard()?;
            if is_there(&app) {
                return Ok(app);
            }
            tokio::time::sleep(GLANCE).await;
        }
        Err(DemoError::TimedOut(what))
    }

    /// Follows the newest incident to its end, and on until the next push is deployed: where the platform does not do
    /// that by itself, it is asked for when the incident is closed already.
    pub(super) async fn until_settled(&mut self) -> Result<(), DemoError> {
        #[derive(Deserialize)]
        struct List {
            incidents: Vec<IncidentRecord>,
        }
        let list: List = self.get("/api/v1/incidents").await?;
        let Some(newest) = list.incidents.first() else { return Err(DemoError::TimedOut("an incident")) };
        let path = format!("/api/v1/incidents/{}", newest.id);
        loop {
            // Before the timeline: what let it go stands in there by then, though perhaps without its answer.
            let is_free = self.lab.app(APP).is_ok_and(|app| super::is_free(&app));
            let incident: Incident = self.get(&path).await?;
            for entry in incident.timeline.iter().skip(self.told) {
                self.say(&self.with_versions(&entry.text));
            }
            self.is_heard()?;
            self.told = incident.timeline.len();
            let is_answered = incident.timeline.last().is_some_and(|entry| entry.event != "call");
            if incident.record.closed_at.is_some() && is_free && is_answered {
                self.sum_up(&incident.record);
                return Ok(());
            }
            tokio::time::sleep(GLANCE).await;
        }
    }

    /// One line when something about the app changed.
    fn glance(&mut self, app: &AppStatus) {
        let Some(live) = &app.live_deployment else { return };
        let live = self.version(live.as_str());
        let under_way = app.in_progress_deployment.as_ref();
        let under_way = under_way.map(|id| format!("; {} is being deployed", self.version(id.as_str())));
        let line = format!("{live} is live{}{}", stance(&app.state), under_way.unwrap_or_default());
        if line != self.last_line {
            self.say(&line);
            self.last_line = line;
        }
    }

    fn sum_up(&self, record: &IncidentRecord) {
        let seconds = |value: Option<f64>| value.map_or("?".to_owned(), |value| format!("{value:.1} s"));
        let outcome = record.outcome.map_or("open", |outcome| outcome.word());
        self.out.line(format_args!("\n== the incident, {}, ended as {outcome}", record.id));
        self.out.line(format_args!(
            "   first failed request to decision       {}",
            seconds(record.time_to_detect_seconds)
        ));
        self.out.line(format_args!(
            "   first failed request to healthy again  {}",
            seconds(record.time_to_restore_seconds)
        ));
    }

    pub(super) fn closing(&self, app: &AppState, ledger: &Ledger) {
        self.out.line(format_args!("\n== every change the platform was asked for, from its own records"));
        for entry in &ledger.entries {
            let what = serde_json::to_value(entry.operation).unwrap_or_default();
            let what = what.as_str().unwrap_or_default();
            let who = if entry.who == crate::lab::Who::Guard { "rearguard" } else { "somebody" };
            let target = entry.target.as_ref().map(|id| format!(" to {}", self.version(id)));
            let switch = entry.auto_deploy.map(|on| if on { " on" } else { " off" }.to_owned());
            self.out.line(format_args!("   {who:<10} {what}{}", target.or(switch).unwrap_or_default()));
        }
        let version = app.version.as_deref().unwrap_or("nothing");
        let is_free = super::is_free(app);
        let pin = if is_free { "not pinned: the next push deploys as usual" } else { "pinned" };
        self.out.line(format_args!("\n{APP} runs {version} again and is {pin}."));
    }

    fn say(&self, line: &str) {
        self.out.line(format_args!("{:>6.1} s  {line}", self.start.elapsed().as_secs_f64()));
    }

    /// What people call a deployment, with the first part of its id: a rollback deploys a version once more.
    fn version(&self, id: &str) -> String {
        let app = self.lab.app(APP).ok();
        let version = app.and_then(|app| Some(app.deployment(id)?.release.version.clone()));
        let short = id.split('-').next().unwrap_or(id);
        version.map_or(short.to_owned(), |version| format!("{version} [{short}]"))
    }

    /// A line of the timeline, which names deployments by their ids, with versions in their place.
    fn with_versions(&self, text: &str) -> String {
        let Ok(app) = self.lab.app(APP) else { return text.to_owned() };
        app.deployments.iter().fold(text.to_owned(), |text, deployment| {
            text.replace(&deployment.id, &self.version(&deployment.id))
        })
    }

    async fn get<T: for<'de> Deserialize<'de>>(&self, path: &str) -> Result<T, DemoError> {
        let answer = self.client.get(format!("{}{path}", self.base)).send().await.map_err(DemoError::Api)?;
        answer.error_for_status().map_err(DemoError::Api)?.json().await.map_err(DemoError::Api)
    }
}

/// What rearguard makes of the live deployment.
fn stance(state: &str) -> &'static str {
    match state {
        "learning" => "; rearguard gets to know it",
        "watching" => "; rearguard watches it closely",
        "steady" => " and known to be good",
        "incident" => "; rearguard has opened an incident",
        _ => "; rearguard waits for a person",
    }
}
