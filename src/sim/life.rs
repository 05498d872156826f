//! One process, from its start to its end.

use std::sync::{Arc, Mutex};

use super::machine::{ProcessClock, lock};
use super::run::Run;
use super::wire::Wire;
use crate::clock::Clock;
use crate::config::{self, PlatformConfig, PlatformKind};
use crate::daemon::{Engine, Ground};
use crate::metrics::Metrics;
use crate::platform::Platform;
use crate::platform::digitalocean::DigitalOcean;
use crate::platform::http::StartError;
use crate::platform::sevalla::Sevalla;
use crate::probe::Probe;
use crate::server::Backend;

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// It was killed, or asked for another one.
    Died,
    /// It was asked to stop, and did.
    Stopped,
    /// The course is over.
    Over,
}

/// Lives until it dies, is stopped, or the course is over.
pub(super) async fn live(run: &mut Run) -> End {
    run.machine.begin_life();
    let machine = Arc::clone(&run.machine);
    let end = tokio::select! {
        biased;
        () = machine.crashed.notified() => End::Died,
        end = guard(run) => end,
    };
    // Time is the runtime's, so what it says is taken along before that ends.
    machine.end_life();
    end
}

async fn guard(run: &mut Run) -> End {
    let mut engine = start(run, Wire::probe).await;
    let must_restart = engine.must_restart();
    let end = tokio::select! {
        biased;
        () = must_restart => End::Died,
        end = run.goes_on(&mut engine) => end,
    };
    if end == End::Stopped {
        engine.stop(std::time::Duration::from_millis(4_100)).await;
    }
    end
}

/// Begins a process that gets to the sites by `probe`.
pub(super) async fn start(
    run: &mut Run,
    probe: impl FnOnce(&Wire, Arc<ProcessClock>) -> Arc<dyn Probe>,
) -> Engine {
    let metrics = Metrics::new(&[]).expect("metrics");
    run.metrics = Some(metrics.clone());
    let journal = run.disk.open();
    let journal_works = journal.check().await.is_ok();
    let restored = journal.restore().await.ok();
    let mark = restored.as_ref().and_then(|restored| restored.mark.as_ref());
    let clock = Arc::new(ProcessClock::resume(Arc::clone(&run.machine), mark));
    let (wire, token) = (run.wire.clone(), Arc::clone(&run.token));
    let ground = Ground {
        probe: probe(&wire, Arc::clone(&clock)),
        clock: clock as Arc<dyn Clock>,
        journal,
        journal_works,
        restored,
        open: Box::new(move |config, _| account(&wire, &token, config)),
        metrics,
        pause_file: None,
    };
    Engine::start(ground, run.config()).expect("started")
}

/// The account as one process opens it.
pub(super) fn account(
    wire: &Wire,
    token: &Arc<Mutex<String>>,
    config: &PlatformConfig,
) -> Result<Arc<dyn Platform>, StartError> {
    let token = Arc::clone(token);
    let read = Box::new(move || Ok(lock(&token).clone().into()));
    Ok(match config.kind {
        PlatformKind::DigitalOcean => Arc::new(DigitalOcean::in_process(wire.platform(), config, read)?),
        PlatformKind::Sevalla => Arc::new(Sevalla::in_process(wire.platform(), config, read)?),
    })
}

/// The configuration as a file would have it.
pub(super) fn parsed(text: &str) -> config::Config {
    config::parse("rearguard.yaml", text).unwrap_or_else(|problems| panic!("{problems}\n{text}"))
}

/// Everything there is to be asked of a running process.
pub(super) fn asked(engine: &Engine) -> impl Backend + use<> {
    engine.backend()
}
