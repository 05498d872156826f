//! From an account's configuration to the platform it speaks to.

use std::sync::Arc;

use crate::config::{PlatformConfig, PlatformKind};
use crate::metrics::Metrics;
use crate::platform::Platform;
use crate::platform::digitalocean::DigitalOcean;
use crate::platform::http::{Observer, StartError};
use crate::platform::sevalla::Sevalla;
use crate::telemetry::Chain;

/// The account of `config`, with its requests counted.
pub(super) fn open_counted(
    config: &PlatformConfig,
    metrics: &Metrics,
) -> Result<Arc<dyn Platform>, StartError> {
    let (requests, name) = (metrics.platform_requests.clone(), config.name.clone());
    let observer = Arc::new(move |operation: &'static str, code: &str| {
        requests.with_label_values(&[name.as_str(), operation, code]).inc();
    });
    open_account(config, observer)
}

/// The account of `config`, whatever it speaks.
pub fn open_account(config: &PlatformConfig, observer: Observer) -> Result<Arc<dyn Platform>, StartError> {
    let source = config.token.clone();
    let tokens = Box::new(move || source.read().map_err(|error| Chain(&error).to_string()));
    Ok(match config.kind {
        PlatformKind::DigitalOcean => Arc::new(DigitalOcean::new(config, tokens, observer)?),
        PlatformKind::Sevalla => Arc::new(Sevalla::new(config, tokens, observer)?),
    })
}
