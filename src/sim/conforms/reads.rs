//! Quiet times: the account is polled, readiness is asked for, figures are read, and nothing is changed.

use tokio::runtime::Builder;

use super::story;
use super::trial::{Tale, Trial};
use crate::decision::capability::Signal;
use crate::ids::PlatformAppId;
use crate::lab::{AppKind, Operation, Release, Source};
use crate::platform::{Answered, PlatformError};
use crate::sim::course::Event;
use crate::sim::life::account;
use crate::sim::machine::EPOCH_MS;
use crate::sim::told::PUSHED;

/// A second good release, so that there is something to go back to, which the platform is asked about.
pub(super) fn write_nothing(trial: &mut Trial<'_>) {
    let mut quiet = story(trial.platform, Vec::new());
    quiet.events = vec![(PUSHED, Event::Push(0, Box::new(Release::good("v2"))))];
    quiet.length_ms = 900_000;
    let Some(tale) = trial.tell("quiet", quiet) else { return };
    trial.holds("quiet", tale.incidents.is_empty() && tale.asked.is_empty(), "something is written");
    let (status, app) = tale.last();
    trial.holds("quiet", app.deployments.len() == 2, "there are other deployments");
    trial.holds("quiet", status.state == "steady", "the second release is not seen to be good");
    // Where the platform has no dry run, the app's hook is read for it alone.
    let ledger = tale.run.lab.ledger();
    let is_asked = match trial.platform.kind {
        AppKind::DigitalOcean => ledger.calls(Operation::ValidateRollback) > 0,
        AppKind::Sevalla { source: Source::StaticSite, .. } => true,
        AppKind::Sevalla { .. } => ledger.calls(Operation::GetHook) > 0,
    };
    trial.holds("quiet", is_asked, "nobody asks what a rollback would meet");
    figures_are_read(trial, &tale);
}

/// Every figure of the trait: those that the platform has are read, of the others there are none.
fn figures_are_read(trial: &mut Trial<'_>, tale: &Tale) {
    let Tale { run, .. } = tale;
    let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime");
    let platform = account(&run.wire, &run.token, &run.config().platforms[0]).expect("an account");
    let app = PlatformAppId::from(run.shapes[0].id.as_str());
    let deployments = || format!("{:?}", run.lab.record(&run.shapes[0].site).deployments);
    let before = deployments();
    let entries = run.lab.ledger().entries.len();
    let now = EPOCH_MS + run.machine.uptime_ms();
    runtime.block_on(async {
        let signals = platform.app(&app).await.expect("the app").value.capabilities.signals;
        for signal in Signal::ALL {
            let got = platform.series(&app, signal, now - 600_000..now).await;
            let what = signal.word();
            let is_right = if signals.has(signal) { is_asked(&got) } else { got.is_err() };
            trial.holds(what, is_right, "not as its capabilities say");
        }
        let is_digitalocean = trial.platform.kind == AppKind::DigitalOcean;
        let bandwidth = platform.bandwidth(std::slice::from_ref(&app)).await;
        trial.holds("bandwidth", is_asked(&bandwidth) == is_digitalocean, "not as its platform says");
        let balance = platform.balance().await;
        trial.holds("balance", is_asked(&balance) == is_digitalocean, "not as its platform says");
    });
    trial.holds("figures", run.lab.ledger().entries.len() == entries, "something is written");
    trial.holds("figures", deployments() == before, "something changed");
}

/// Whether the platform was asked for it. The lab's static sites keep no figures, and say so.
fn is_asked<T>(got: &Result<Answered<T>, PlatformError>) -> bool {
    matches!(got, Ok(_) | Err(PlatformError::NotFound))
}
