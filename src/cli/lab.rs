//! `rearguard lab`: the built-in platform alone, for trying a configuration without an account.
#![expect(clippy::print_stdout, reason = "where to reach it is this command's output")]

use super::{Error, LabArgs};
use crate::lab::{GUARD_TOKEN, Lab, LabConfig, LabError, Release};
use crate::telemetry::Chain;

/// Serves until a signal ends it.
pub(super) async fn run(args: &LabArgs) -> Result<String, Error> {
    let failed = |error: LabError| Error::Failed(Chain(&error).to_string());
    let lab = Lab::start(LabConfig { listen: args.listen, ..LabConfig::default() }).await.map_err(failed)?;
    let app = lab.create_app("shop", Release::good("v1")).map_err(failed)?;
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
    let ended = tokio::signal::ctrl_c().await;
    lab.stop().await;
    ended.map_err(|error| Error::Failed(format!("wait for a signal: {error}")))?;
    Ok(String::new())
}
