//! The adapter against a server on the loopback that answers byte for byte what a test says.

mod answers;
mod faults;
mod figures;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use secrecy::SecretString;
use url::Url;

use super::*;
use crate::config::{PlatformKind, TokenSource};
use crate::ids::PlatformName;
use crate::platform::scripted::Server;

const TOKEN: &str = "dop_v1_planted_0123456789abcdef";
const SHORT: Duration = Duration::from_millis(400);
const AMPLE: Duration = Duration::from_secs(20);

type Codes = Arc<Mutex<Vec<(&'static str, String)>>>;

fn config(api: &str, timeout: Duration) -> PlatformConfig {
    PlatformConfig {
        name: PlatformName::from("do"),
        kind: PlatformKind::DigitalOcean,
        token: TokenSource::Env("UNUSED".into()),
        api: Url::parse(api).unwrap(),
        poll: Duration::from_secs(30),
        timeout,
        reconcile: Duration::from_secs(60),
        readiness: Duration::ZERO,
        bandwidth: Duration::ZERO,
        balance: Duration::ZERO,
    }
}

fn account(api: &str, timeout: Duration) -> (DigitalOcean, Codes) {
    let codes = Codes::default();
    let told = Arc::clone(&codes);
    let observer: Observer =
        Arc::new(move |operation, code| told.lock().unwrap().push((operation, code.to_owned())));
    let tokens: TokenReader = Box::new(|| Ok(SecretString::from(TOKEN)));
    (DigitalOcean::new(&config(api, timeout), tokens, observer).unwrap(), codes)
}

fn at(server: &Server, timeout: Duration) -> (DigitalOcean, Codes) {
    account(&format!("http://{}", server.address), timeout)
}

fn app() -> PlatformAppId {
    PlatformAppId::from("app-1")
}

fn target() -> DeploymentId {
    DeploymentId::from("dep-1")
}

/// What a rollback to `target` goes to.
fn to(target: &DeploymentId) -> Goal<'_> {
    Goal { accused: target, target, code: &[] }
}

/// The calls that App Platform has: its pin comes with the rollback.
fn operations() -> impl Iterator<Item = &'static str> {
    operation::ALL.into_iter().filter(|name| ![operation::PIN, operation::UNPIN].contains(name))
}

/// Makes one call of the trait by its operation, and gives how it failed, if it did.
async fn call(platform: &DigitalOcean, name: &str) -> Result<(), PlatformError> {
    let (app, target) = (app(), target());
    match name {
        operation::LIST_APPS => platform.list_apps(&[]).await.map(drop),
        operation::GET_APP => platform.app(&app).await.map(drop),
        operation::LIST_DEPLOYMENTS => platform.deployments(&app).await.map(drop),
        operation::VALIDATE_ROLLBACK => platform.validate_rollback(&app, to(&target)).await.map(drop),
        operation::CREATE_ROLLBACK => platform.create_rollback(&app, to(&target)).await.map(drop),
        operation::RESTART => platform.restart(&app, &[]).await.map(drop),
        operation::COMMIT_ROLLBACK => platform.commit_rollback(&app).await.map(drop),
        operation::REVERT_ROLLBACK => platform.revert_rollback(&app).await.map(drop),
        operation::SERIES => platform.series(&app, Signal::Cpu, 0..60_000).await.map(drop),
        operation::BANDWIDTH => platform.bandwidth(&[app]).await.map(drop),
        operation::BALANCE => platform.balance().await.map(drop),
        other => panic!("no such operation: {other}"),
    }
}

/// Runs a check for every operation at the same time, so that what waits for a timeout waits once.
async fn each_operation(check: impl AsyncFn(&'static str)) {
    futures_util::future::join_all(operations().map(|name| check(name))).await;
}

fn is_ambiguous(result: &Result<(), PlatformError>) -> bool {
    matches!(result, Err(PlatformError::Ambiguous(_)))
}

#[test]
fn an_account_that_cannot_work_is_refused_at_the_start_without_showing_the_token() {
    let start = |api: &str, token: Result<&'static str, &'static str>| {
        let tokens: TokenReader = Box::new(move || token.map(SecretString::from).map_err(str::to_owned));
        match DigitalOcean::new(&config(api, AMPLE), tokens, Arc::new(|_, _| {})) {
            Ok(platform) => format!("{platform:?}"),
            Err(error) => error.to_string(),
        }
    };
    let api = "http://127.0.0.1:1";
    assert_eq!(start(api, Err("no such file")), "read the token: no such file");
    assert!(start(api, Ok("")).starts_with("use the token"));
    assert!(start(api, Ok("secret\n")).starts_with("use the token"));
    assert_eq!(start("ftp://h", Ok("t")), "use the API's URL: it is not an http or https URL");
    assert_eq!(start("http://u:secret@h", Ok("t")), "use the API's URL: it carries a user name or password");
    let shown = start(api, Ok("secret"));
    assert!(!shown.contains("secret"), "{shown}");
}
