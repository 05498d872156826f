//! `rearguard lab`: the built-in platform alone, for trying a configuration without an account.

use super::printed::Printed;
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
    let out = Printed::default();
    print(&out, lab.base_url.as_str().trim_end_matches('/'), &app.id, &other.id);
    // Whoever read where it is may go; it is served all the same.
    if let Some(failure) = out.failure() {
        return Err(Error::Failed(failure));
    }
    let ended = tokio::signal::ctrl_c().await;
    lab.stop().await;
    ended.map_err(|error| Error::Failed(format!("wait for a signal: {error}")))?;
    Ok(String::new())
}

/// Where everything is, and what can be done with it.
fn print(out: &Printed, base: &str, shop: &str, blog: &str) {
    out.line(format_args!(
        "A platform that speaks DigitalOcean's and Sevalla's API, for trying a configuration:\n"
    ));
    out.line(format_args!("  kind: digitalocean"));
    out.line(format_args!("    api      {base}"));
    out.line(format_args!("    app      shop, id {shop}"));
    out.line(format_args!("  kind: sevalla"));
    out.line(format_args!("    api      {base}/v3"));
    out.line(format_args!("    app      blog, id {blog}"));
    out.line(format_args!("  token      {GUARD_TOKEN}"));
    out.line(format_args!("  sites      {base}/sites/shop/ and {base}/sites/blog/"));
    out.line(format_args!("  control    {base}/up, a place that is up whenever the network is\n"));
    out.line(format_args!("Push a release:  curl -X POST {base}/lab/apps/shop/releases \\"));
    out.line(format_args!("                   -H 'content-type: application/json' \\"));
    out.line(format_args!(
        "                   -d '{{\"version\": \"v2\", \"health\": {{\"bad\": {{\"status\": 500}}}}}}'"
    ));
    out.line(format_args!("Deploy by hand:  curl -X POST {base}/lab/apps/shop/person \\"));
    out.line(format_args!(
        "                   -H 'content-type: application/json' -d '{{\"action\": \"deploy\"}}'"
    ));
    out.line(format_args!(
        "                 Of an image or a public repository nobody hears a push, so this deploys it."
    ));
    out.line(format_args!("Make an app:     curl -X POST {base}/lab/apps \\"));
    out.line(format_args!("                   -H 'content-type: application/json' \\"));
    out.line(format_args!(
        "                   -d '{{\"name\": \"wiki\", \"kind\": {{\"sevalla\": {{\"source\": \"docker_image\"}}}}}}'"
    ));
    out.line(format_args!("                 Sources: private_git, public_git, docker_image, static_site."));
    out.line(format_args!("                 Without a kind it is an app on DigitalOcean."));
    out.line(format_args!("See the ledger:  curl {base}/lab/ledger"));
    out.line(format_args!("Stop with Ctrl-C."));
}
