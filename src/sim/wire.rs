//! The way to the platform and to the sites: the lab's own answers, without sockets, behind the machine's network.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use axum::body::Bytes;
use axum::http::header::AUTHORIZATION;
use axum::http::response::Parts;
use axum::http::{Response, StatusCode};
use reqwest::ResponseBuilderExt as _;
use serde::de::IgnoredAny;

use super::disk::Intents;
use super::machine::{EPOCH_MS, Machine, Point, ProcessClock, lock};
use crate::clock::Clock;
use crate::config::{Ask, HttpAsk, ProbeConfig};
use crate::decision::effect::Effect;
use crate::decision::sample::{Failure, Sample, SampleResult};
use crate::lab::{Lab, Request};
use crate::platform::http::{Broken, InProcess};
use crate::platform::leave;
use crate::probe::{Probe, Turn};

/// The answers of the sites, by the deployment that gave them: when, on the machine's clock, and whether it was a good one.
pub(super) type Answers = Arc<Mutex<BTreeMap<String, Vec<(i64, bool)>>>>;

/// See the module.
#[derive(Clone)]
pub(super) struct Wire {
    pub(super) machine: Arc<Machine>,
    pub(super) lab: Lab,
    /// What every site truly answered, whatever became of the answer on its way.
    pub(super) answers: Answers,
    pub(super) intents: Intents,
    /// Writes that were sent without standing in the journal.
    pub(super) unannounced: Arc<Mutex<Vec<String>>>,
    /// Writes without a conclusive answer since which the platform was not read: the app and the call, and since when.
    pub(super) unread: Arc<Mutex<BTreeMap<(String, &'static str), i64>>>,
    /// Such writes that were sent again all the same.
    pub(super) repeated: Arc<Mutex<Vec<String>>>,
    /// When a rollback of an app was asked for: from then on nothing that comes to light can call it back.
    pub(super) asked: Arc<Mutex<Vec<(String, i64)>>>,
    /// When a read that came back said of an app that its pushes are deployed.
    pub(super) pushes_shown: Arc<Mutex<Vec<(String, i64)>>>,
    /// The reads of an app that failed, and when they were sent: what came back of others that were sent with them is no picture.
    pub(super) failed: Arc<Mutex<BTreeSet<(String, i64)>>>,
    /// How often the platform was asked for one app.
    pub(super) looks: Arc<AtomicUsize>,
}

/// The app and the call that a request is for; no app for a list that shows all of them.
fn call_of(request: &reqwest::Request) -> (String, &'static str) {
    let path = request.url().path();
    let is_read = request.method() == reqwest::Method::GET;
    let body = request.body().and_then(reqwest::Body::as_bytes).unwrap_or_default();
    let says = |word: &str| String::from_utf8_lossy(body).contains(word);
    if let Some(rest) = path.strip_prefix("/v2/apps") {
        let (app, call) = split(rest);
        let word = match call {
            "rollback/validate" => "validate",
            "rollback" => "create_rollback",
            "rollback/commit" => "commit",
            "rollback/revert" => "revert",
            "restart" => "restart",
            _ => "read",
        };
        return (app, word);
    }
    let rest = path.strip_prefix("/v3/applications").or_else(|| path.strip_prefix("/v3/static-sites"));
    let (app, call) = split(rest.unwrap_or_default());
    let word = match call {
        _ if is_read => "read",
        "" if says("false") => "pin",
        "" => "unpin",
        "deployments" if says("is_restart") => "restart",
        _ => "create_rollback",
    };
    // Which apps there are says nothing of what became of a call.
    (if app.is_empty() { "(a list)".to_owned() } else { app }, word)
}

/// Whether a request names that target, by its id or by what it runs, or none where the platform picks.
fn is_to(body: &[u8], target: &str, code: &[(String, String)]) -> bool {
    let body: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    let [id, image] =
        ["deployment_id", "docker_image"].map(|key| body.get(key).and_then(|named| named.as_str()));
    id.is_none_or(|id| id == target) && image.is_none_or(|image| code.iter().any(|(_, run)| run == image))
}

/// Whether an answer to a write says what became of it. What was made has to be named; of the rest a word of the platform's own is
/// enough, which may be empty.
fn is_conclusive(word: &str, status: StatusCode, body: &[u8]) -> bool {
    let makes = matches!(word, "create_rollback" | "restart");
    match status {
        StatusCode::REQUEST_TIMEOUT => false,
        status if status.is_client_error() => true,
        status if status.is_success() && makes => {
            std::str::from_utf8(body).is_ok_and(|body| body.contains(r#""id":""#)) && is_object(body)
        }
        status => status.is_success() && (body.is_empty() || is_object(body)),
    }
}

fn is_object(body: &[u8]) -> bool {
    let text = std::str::from_utf8(body).unwrap_or_default().trim_start();
    text.starts_with('{') && serde_json::from_str::<IgnoredAny>(text).is_ok()
}

/// The first segment of a path, and the rest.
fn split(path: &str) -> (String, &str) {
    let (first, rest) =
        path.trim_start_matches('/').split_once('/').unwrap_or((path.trim_start_matches('/'), ""));
    (first.to_owned(), rest)
}

impl Wire {
    /// How the adapter gets to the platform.
    pub(super) fn platform(&self) -> InProcess {
        let wire = self.clone();
        Arc::new(move |request| {
            let wire = wire.clone();
            Box::pin(async move { wire.send(request).await })
        })
    }

    async fn send(&self, request: reqwest::Request) -> Result<reqwest::Response, Broken> {
        let (app, began) = (call_of(&request).0, EPOCH_MS + self.machine.uptime_ms());
        let is_read = request.method() == reqwest::Method::GET;
        let answered = self.carry(request).await;
        if is_read && !answered.as_ref().is_ok_and(|answer| answer.status().is_success()) {
            lock(&self.pushes_shown).retain(|shown| *shown != (app.clone(), began));
            lock(&self.failed).insert((app, began));
        }
        answered
    }

    async fn carry(&self, request: reqwest::Request) -> Result<reqwest::Response, Broken> {
        let call = call_of(&request);
        // A dry run that no incident owes is asked in quiet times, and writes nothing; nor does what asks in a body.
        let is_dry_run = call.1 == "validate" && !self.is_owed(&call);
        let is_question = is_dry_run || request.url().path().starts_with("/v2/apps/metrics/");
        let is_write = request.method() != reqwest::Method::GET && !is_question;
        let began = self.machine.uptime_ms();
        if call.1 == "create_rollback" {
            lock(&self.asked).push((call.0.clone(), began));
        }
        if is_write {
            self.is_announced(&call, &request);
            self.machine.pass(Point::BeforeSending).await;
            self.is_read_first(&call);
        }
        if !is_write && !call.0.is_empty() {
            self.looks.fetch_add(1, Ordering::Relaxed);
        }
        self.machine.takes(1..40).await;
        // There is a connection, or none; one for a write asks whether it may be used.
        if self.is_cut_off() || (is_write && !leave::ask()) {
            lock(&self.unread).remove(&call);
            return Err(Broken::NotConnected);
        }
        let text = |name| request.headers().get(name).and_then(|value| value.to_str().ok());
        let asked = Request {
            method: request.method().as_str(),
            path: request.url().path(),
            query: request.url().query().unwrap_or(""),
            host: "localhost",
            token: text(AUTHORIZATION).and_then(|value| value.strip_prefix("Bearer ")),
            body: request.body().and_then(reqwest::Body::as_bytes).unwrap_or_default(),
        };
        let (mut parts, body) = self.lab.answer(&asked).await.into_parts();
        let body: Bytes = axum::body::to_bytes(body, 64 << 20).await.map_err(|_| Broken::Lost)?;
        if !is_question {
            self.machine.pass(if is_write { Point::AfterSending } else { Point::AfterReading }).await;
        }
        self.machine.takes(1..40).await;
        if self.is_cut_off() {
            return Err(Broken::Lost);
        }
        let mut unread = lock(&self.unread);
        if is_write && is_conclusive(call.1, parts.status, &body) {
            unread.remove(&call);
        } else if !is_write && parts.status.is_success() && is_object(&body) {
            unread.retain(|(app, _), since| *since > began || !(call.0.is_empty() || call.0 == *app));
            let shown = (call.0.clone(), EPOCH_MS + began);
            let says_so = std::str::from_utf8(&body).is_ok_and(|body| body.contains(r#""auto_deploy":true"#));
            if says_so && !lock(&self.failed).contains(&shown) {
                lock(&self.pushes_shown).push(shown);
            }
        }
        drop(unread);
        // Without an address of its own an answer is given one, read anew each time.
        let addressed = Response::builder().url(request.url().clone()).body(body).expect("an answer");
        let (Parts { extensions, .. }, body) = addressed.into_parts();
        parts.extensions.extend(extensions);
        Ok(reqwest::Response::from(Response::from_parts(parts, body)))
    }

    /// Whether a call meets a network that is not there.
    fn is_cut_off(&self) -> bool {
        let is_cut_off = self.machine.is_cut_off();
        if is_cut_off {
            self.machine.strikes("CutOff");
        }
        is_cut_off
    }

    /// The same of a visit.
    fn are_sites_cut_off(&self) -> bool {
        let are_cut_off = self.machine.are_sites_cut_off();
        if are_cut_off {
            self.machine.strikes("SitesCutOff");
        }
        are_cut_off
    }

    /// Notes a write that the journal does not have, or has with another target.
    fn is_announced(&self, call: &(String, &'static str), request: &reqwest::Request) {
        let body = request.body().and_then(reqwest::Body::as_bytes).unwrap_or_default();
        let is_meant = match lock(&self.intents).get(&call.0) {
            Some(Effect::CreateRollback { target, code, .. }) => is_to(body, target.as_str(), code),
            _ => true,
        };
        if !self.is_owed(call) || !is_meant {
            lock(&self.unannounced).push(format!("{} of {}", call.1, call.0));
        }
    }

    /// Whether the call stands in the journal, unanswered.
    fn is_owed(&self, (app, word): &(String, &'static str)) -> bool {
        lock(&self.intents).get(app).map(Effect::word) == Some(word)
    }

    /// Notes a write that is sent again although nobody has looked what became of it.
    fn is_read_first(&self, call: &(String, &'static str)) {
        if call.1 == "validate" {
            return;
        }
        if lock(&self.unread).insert(call.clone(), self.machine.uptime_ms()).is_some() {
            lock(&self.repeated).push(format!("{} of {}", call.1, call.0));
        }
    }

    /// How the probes of one process get to the sites.
    pub(super) fn probe(&self, clock: Arc<ProcessClock>) -> Arc<dyn Probe> {
        Arc::new(Visitor { wire: self.clone(), clock })
    }

    /// One visit: what came of it, and which deployment answered.
    async fn visit(&self, path: &str) -> SampleResult {
        self.machine.takes(1..20).await;
        if self.are_sites_cut_off() {
            return SampleResult::Bad(Failure::Connect);
        }
        let app = path.strip_prefix("/sites/").and_then(|rest| rest.split('/').next());
        let live = app.and_then(|app| self.lab.live(app));
        // An answer that does not come is a bad one, until it has come.
        let place = live.as_ref().map(|live| {
            let mut answers = lock(&self.answers);
            let of_it = answers.entry(live.clone()).or_default();
            of_it.push((self.machine.uptime_ms(), false));
            of_it.len() - 1
        });
        let asked = Request { method: "GET", path, query: "", host: "localhost", token: None, body: &[] };
        let (parts, body) = self.lab.answer(&asked).await.into_parts();
        let result = match axum::body::to_bytes(body, 1 << 20).await {
            Err(_) => SampleResult::Bad(Failure::Protocol),
            Ok(_) if parts.status.is_success() => SampleResult::Good,
            Ok(_) => SampleResult::Bad(Failure::Status(parts.status.as_u16())),
        };
        if let (SampleResult::Good, Some(live), Some(place)) = (result, &live, place) {
            lock(&self.answers).entry(live.clone()).or_default()[place].1 = true;
        }
        self.machine.takes(1..20).await;
        if self.are_sites_cut_off() { SampleResult::Bad(Failure::Protocol) } else { result }
    }
}

struct Visitor {
    wire: Wire,
    clock: Arc<ProcessClock>,
}

impl Probe for Visitor {
    fn sample<'a>(
        &'a self,
        probe: &'a ProbeConfig,
        _: Turn,
    ) -> Pin<Box<dyn Future<Output = Sample> + Send + 'a>> {
        Box::pin(async move {
            let at = self.clock.now();
            let began = tokio::time::Instant::now();
            let Ask::Http(HttpAsk { url, .. }) = &probe.ask else { unreachable!("nothing else is drawn") };
            let visited = tokio::time::timeout(probe.timeout, self.wire.visit(url.path())).await;
            let result = visited.unwrap_or(SampleResult::Bad(Failure::Timeout));
            Sample { at, micros: u32::try_from(began.elapsed().as_micros()).unwrap_or(u32::MAX), result }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_says_what_became_of_a_write_where_it_names_what_was_made() {
        let conclusive = |word, status: u16, body: &str| {
            is_conclusive(word, StatusCode::from_u16(status).expect("a status"), body.as_bytes())
        };
        assert!(conclusive("create_rollback", 200, r#"{"deployment":{"id":"a"}}"#));
        assert!(
            conclusive("commit", 200, "") && conclusive("commit", 204, "") && conclusive("pin", 200, "{}")
        );
        assert!(conclusive("create_rollback", 409, "<html>") && conclusive("commit", 429, ""));
        for body in ["", "{}", "<html>", r#"{"deployment":{"id":7}}"#, r#"{"deployment":{"id":"a"#] {
            assert!(!conclusive("create_rollback", 200, body), "{body}");
        }
        assert!(!conclusive("commit", 200, "<html>") && !conclusive("commit", 302, ""));
        assert!(!conclusive("commit", 408, "") && !conclusive("commit", 503, "{}"));
    }
}
