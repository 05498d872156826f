//! `rearguard lab`: the built-in platform alone, for trying a configuration without an account.
#![expect(clippy::print_stdout, reason = "where to reach it is this command's output")]

use std::net::SocketAddr;

use super::ExitCode;
use crate::lab::{GUARD_TOKEN, Lab, LabConfig, Release};
use crate::telemetry::Chain;

/// Serves until a signal ends it.
pub async fn run(listen: SocketAddr) -> ExitCode {
    let lab = match Lab::start(LabConfig { listen, ..LabConfig::default() }).await {
        Ok(lab) => lab,
        Err(error) => {
            super::complain(&format!("failed to {}", Chain(&error)));
            return ExitCode::Failure;
        }
    };
    let app = match lab.create_app("shop", Release::good("v1")) {
        Ok(app) => app,
        Err(error) => {
            super::complain(&format!("failed to {}", Chain(&error)));
            return ExitCode::Failure;
        }
    };
    let base = lab.base_url.as_str().trim_end_matches('/');
    println!("A platform that speaks DigitalOcean's API, for trying a configuration:\n");
    println!("  api        {base}");
    println!("  token      {GUARD_TOKEN}");
    println!("  app        shop, id {}", app.id);
    println!("  its site   {base}/sites/shop/");
    println!("  control    {base}/up, a place that is up whenever the network is\n");
    println!("Push a release:  curl -X POST {base}/lab/apps/shop/releases \\");
    println!("                   -H 'content-type: application/json' \\");
    println!("                   -d '{{\"version\": \"v2\", \"health\": {{\"bad\": {{\"status\": 500}}}}}}'");
    println!("See the ledger:  curl {base}/lab/ledger");
    println!("Stop with Ctrl-C.");
    if let Err(error) = tokio::signal::ctrl_c().await {
        super::complain(&format!("failed to wait for a signal: {error}"));
        return ExitCode::Failure;
    }
    lab.stop().await;
    ExitCode::Success
}
