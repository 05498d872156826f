//! `rearguard lab`: the built-in platform alone, for trying a configuration without an account.
#![expect(clippy::print_stdout, reason = "where to reach it is this command's output")]

use super::{Error, LabArgs};
use crate::lab::{AppKind, GUARD_TOKEN, Lab, LabConfig, LabError, Release, Source};
use crate::telemetry::Chain;

/// Serves until a signal ends it.
pub(super) async fn run(args: &LabArgs) -> Result<String, Error> {
    let failed = |error: LabError| Error::Failed(Chain(&error).to_string());
    let lab = Lab::start(LabConfig { listen: args.listen, ..LabConfig::default() }).await.map_err(failed)?;
    let app = lab.create_app("shop", Release::good("v1")).map_err(failed)?;
    let git = AppKind::sevalla(Source::PrivateGit);
    let other = lab.create_app_of("blog", git, Release::good("v1")).map_err(failed)?;
    print(lab.base_url.as_str().trim_end_matches('/'), &app.id, &other.id);
    let ended = tokio::signal::ctrl_c().await;
    lab.stop().await;
    ended.map_err(|error| Error::Failed(format!("wait for a signal: {error}")))?;
    Ok(String::new())
}

/// Where everything is, and what can be done with it.
fn print(base: &str, shop: &str, blog: &str) {
    println!("A platform that speaks DigitalOcean's and Sevalla's API, for trying a configuration:\n");
    println!("  kind: digitalocean");
    println!("    api      {base}");
    println!("    app      shop, id {shop}");
    println!("  kind: sevalla");
    println!("    api      {base}/v3");
    println!("    app      blog, id {blog}");
    println!("  token      {GUARD_TOKEN}");
    println!("  sites      {base}/sites/shop/ and {base}/sites/blog/");
    println!("  control    {base}/up, a place that is up whenever the network is\n");
    println!("Push a release:  curl -X POST {base}/lab/apps/shop/releases \\");
    println!("                   -H 'content-type: application/json' \\");
    println!("                   -d '{{\"version\": \"v2\", \"health\": {{\"bad\": {{\"status\": 500}}}}}}'");
    println!("Make an app:     curl -X POST {base}/lab/apps \\");
    println!("                   -H 'content-type: application/json' \\");
    println!(
        "                   -d '{{\"name\": \"wiki\", \"kind\": {{\"sevalla\": {{\"source\": \"docker_image\"}}}}}}'"
    );
    println!("                 Sources: private_git, public_git, docker_image, static_site.");
    println!("                 Without a kind it is an app on DigitalOcean.");
    println!("See the ledger:  curl {base}/lab/ledger");
    println!("Stop with Ctrl-C.");
}
