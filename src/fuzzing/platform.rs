//! A platform's answers, through the real adapter: what it says is believed as far as it says so, and no further.
//!
//! An input is the name of a call, then the answers to the requests it makes, as HTTP writes them, with `====` between
//! two of them. Instead of an answer stands `refused` or `lost` where there is none. Before the name stands `sevalla`
//! where that is the platform.

mod sevalla;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use axum::http::header::{HeaderName, HeaderValue};
use futures_util::FutureExt;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use tokio::runtime::{Builder, Runtime};

use super::{SECRET, is_one_line, line};
use crate::config::{PlatformConfig, PlatformKind, TokenSource};
use crate::decision::effect::{Condition, Validation};
use crate::decision::observation::{AppView, Deployment, Phase};
use crate::platform::digitalocean::DigitalOcean;
use crate::platform::http::{Broken, InProcess};
use crate::platform::sevalla::Sevalla;
use crate::platform::{Answered, Call, Goal, Listed, Platform, PlatformError, operation, pace};

const APP: &str = "app-1";
const TARGET: &str = "dep-good";
/// Between two answers.
const NEXT: &[u8] = b"\n====\n";
/// The longest text of an error: 200 characters of the platform's, its request id, our own words.
const LONGEST_ERROR: usize = 480;

/// One answer of the script.
struct Scripted {
    status: u16,
    headers: Vec<(HeaderName, HeaderValue)>,
    body: Vec<u8>,
}

impl Scripted {
    fn read(text: &[u8]) -> Result<Self, Broken> {
        let (status, mut rest) = line(text);
        match status {
            b"refused" => return Err(Broken::NotConnected),
            b"lost" => return Err(Broken::Lost),
            _ => {}
        }
        let status = std::str::from_utf8(status).ok().and_then(|status| status.trim().parse().ok());
        let mut headers = Vec::new();
        while !rest.is_empty() {
            let (header, after) = line(rest);
            rest = after;
            let Some(colon) = header.iter().position(|byte| *byte == b':') else { break };
            let (name, value) = (&header[..colon], header[colon + 1..].trim_ascii());
            if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value)) {
                headers.push((name, value));
            }
        }
        let status = status.filter(|status| (100..1000).contains(status)).unwrap_or(200);
        Ok(Self { status, headers, body: rest.to_vec() })
    }

    fn says_done(&self) -> bool {
        (200..300).contains(&self.status) && !self.is_page()
    }

    fn is_page(&self) -> bool {
        let kind = self.headers.iter().find(|(name, _)| name == "content-type");
        kind.is_some_and(|(_, value)| value.as_bytes().to_ascii_lowercase().starts_with(b"text/html"))
    }

    /// The body, for an answer that was understood.
    fn json(&self) -> Value {
        loose(&self.body)
    }

    fn respond(&self) -> reqwest::Response {
        let mut response = axum::http::Response::new(self.body.clone());
        *response.status_mut() = axum::http::StatusCode::from_u16(self.status).expect("three digits");
        for (name, value) in &self.headers {
            response.headers_mut().append(name, value.clone());
        }
        response.into()
    }
}

/// What was sent: method, path, body, authorization.
type Sent = (String, String, Option<Value>, Option<HeaderValue>);

/// The adapter over a script, and what it sent.
struct Stage {
    script: Vec<Result<Scripted, Broken>>,
    sent: Arc<Mutex<Vec<Sent>>>,
    platform: Box<dyn Platform>,
}

impl Stage {
    fn new(kind: PlatformKind, text: &[u8]) -> Self {
        let mut texts = Vec::new();
        let mut rest = text;
        while let Some(end) = rest.windows(NEXT.len()).position(|window| window == NEXT) {
            texts.push(&rest[..end]);
            rest = &rest[end + NEXT.len()..];
        }
        texts.push(rest);
        let read = || texts.iter().map(|text| Scripted::read(text)).collect::<Vec<_>>();
        let sent: Arc<Mutex<Vec<Sent>>> = Arc::default();
        let (answers, log) = (read(), sent.clone());
        let wire: InProcess = Arc::new(move |request| {
            let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
            let answer = match answers.get(log.len()) {
                Some(Ok(answer)) => Ok(answer.respond()),
                Some(Err(Broken::NotConnected)) => Err(Broken::NotConnected),
                Some(Err(Broken::Lost)) | None => Err(Broken::Lost),
            };
            let body = request.body().and_then(reqwest::Body::as_bytes);
            let body = body.map(|body| serde_json::from_slice(body).expect("JSON is sent"));
            let authorization = request.headers().get("authorization").cloned();
            log.push((request.method().to_string(), request.url().path().to_owned(), body, authorization));
            Box::pin(async { answer })
        });
        let config = PlatformConfig {
            name: "ocean".into(),
            kind,
            token: TokenSource::Env("TOKEN".to_owned()),
            api: "https://api.example.com".parse().expect("a URL"),
            poll: Duration::from_secs(15),
            timeout: Duration::from_secs(10),
            reconcile: Duration::from_secs(30),
            readiness: Duration::ZERO,
            bandwidth: Duration::ZERO,
            balance: Duration::ZERO,
        };
        let token = Box::new(|| Ok(SECRET.into()));
        let platform: Box<dyn Platform> = match kind {
            PlatformKind::DigitalOcean => {
                Box::new(DigitalOcean::in_process(wire, &config, token).expect("an adapter"))
            }
            PlatformKind::Sevalla => Box::new(Sevalla::in_process(wire, &config, token).expect("an adapter")),
        };
        Self { script: read(), sent, platform }
    }

    fn sent(&self) -> Vec<Sent> {
        self.sent.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The answers that were asked for.
    fn used(&self) -> &[Result<Scripted, Broken>] {
        &self.script[..self.sent().len().min(self.script.len())]
    }

    /// The last answer that was given, where there was one.
    fn last(&self) -> Option<&Scripted> {
        let number = self.sent().len();
        self.script.get(number.checked_sub(1)?)?.as_ref().ok()
    }

    /// What holds whatever was asked: the answer of a success is one, the error of a failure fits and gives nothing
    /// away. Gives the value, with the answer it came from.
    fn judge<T>(&self, outcome: Result<Answered<T>, PlatformError>) -> Option<(T, &Scripted)> {
        let authorization = format!("Bearer {SECRET}");
        for (_, _, _, sent) in self.sent() {
            assert_eq!(sent.as_ref().map(HeaderValue::as_bytes), Some(authorization.as_bytes()));
        }
        let wait = self.platform.budget().hold_reads;
        assert!(wait.is_none_or(|wait| wait <= pace::LONGEST), "held for {wait:?}");
        match outcome {
            Ok(Answered { value, status, request_id }) => {
                let last = self.last().expect("an answer, since there is a value");
                assert!(last.says_done() && last.status == status, "status {}", last.status);
                if let Some(id) = request_id {
                    assert!(is_one_line(&id) && id.len() <= 128 && !id.contains(SECRET));
                }
                Some((value, last))
            }
            Err(error) => {
                self.judge_error(&error);
                None
            }
        }
    }

    fn judge_error(&self, error: &PlatformError) {
        let shown = error.to_string();
        assert!(is_one_line(&shown) && shown.chars().count() <= LONGEST_ERROR, "{shown}");
        assert!(!shown.contains(SECRET), "the token is shown: {shown}");
        let status = self.last().map(|last| last.status);
        match error {
            PlatformError::NotConnected(_) => {
                assert!(matches!(self.used().last(), Some(Err(Broken::NotConnected))), "it was sent");
            }
            // Where nothing is known, nothing may be claimed: that is what this class is for.
            PlatformError::Ambiguous(_) => {
                assert!(!matches!(status, Some(401 | 403 | 429)), "{status:?} is conclusive");
            }
            PlatformError::RateLimited { retry_after } => {
                assert_eq!(status, Some(429));
                assert!(retry_after.is_none_or(|wait| wait <= pace::LONGEST), "{retry_after:?}");
            }
            PlatformError::Denied { status: said } => {
                assert!(matches!(said, 401 | 403) && status == Some(*said));
            }
            PlatformError::Unsupported(what) => panic!("{what} was not asked for"),
            PlatformError::NotFound => assert_eq!(status, Some(404)),
            PlatformError::Refused { status: said, .. } => {
                assert!((400..500).contains(said) && *said != 408 && status == Some(*said));
            }
        }
    }

    /// A write is one request, of this shape.
    fn judge_write(&self, path: &str, body: Option<Value>) {
        let sent: Vec<_> =
            self.sent().into_iter().map(|(method, path, body, _)| (method, path, body)).collect();
        assert_eq!(sent, [("POST".to_owned(), format!("/v2/apps/{APP}/rollback{path}"), body)]);
    }
}

/// Any answers to any call.
pub fn platform(data: &[u8]) {
    let (name, rest) = line(data);
    let name = String::from_utf8_lossy(name);
    if let Some(name) = name.strip_prefix("sevalla ") {
        return sevalla::sevalla(name.trim(), rest);
    }
    let stage = Stage::new(PlatformKind::DigitalOcean, rest);
    let (app, target) = (APP.into(), TARGET.into());
    let platform = &stage.platform;
    let goal = Goal { accused: &target, target: &target, code: &[] };
    let rollback = json!({ "deployment_id": TARGET, "skip_pin": false });
    match name.trim() {
        operation::LIST_APPS => {
            if let Some((listed, last)) = stage.judge(now(platform.list_apps(&[]))) {
                judge_apps(&stage, &listed, last);
            }
        }
        operation::LIST_DEPLOYMENTS => {
            if let Some((deployments, answer)) = stage.judge(now(platform.deployments(&app))) {
                judge_deployments(&deployments, answer);
            }
        }
        operation::VALIDATE_ROLLBACK => {
            let validation = stage.judge(now(platform.validate_rollback(&app, goal)));
            stage.judge_write("/validate", Some(rollback));
            if let Some((validation, answer)) = validation {
                judge_validation(&validation, answer);
            }
        }
        operation::CREATE_ROLLBACK => {
            let created = stage.judge(now(platform.create_rollback(&app, goal)));
            stage.judge_write("", Some(rollback));
            if let Some((made, answer)) = created {
                judge_deployment(&made, &answer.json()["deployment"]);
            }
        }
        operation::COMMIT_ROLLBACK => {
            stage.judge(now(platform.commit_rollback(&app)));
            stage.judge_write("/commit", None);
        }
        operation::REVERT_ROLLBACK => {
            let reverted = stage.judge(now(platform.revert_rollback(&app)));
            stage.judge_write("/revert", None);
            if let Some((Some(made), answer)) = reverted {
                assert_eq!(answer.json()["deployment"]["id"], made.as_str());
            }
        }
        _ => {
            if let Some((view, answer)) = stage.judge(now(platform.app(&app))) {
                judge_view(&view, &answer.json()["app"]);
            }
        }
    }
}

/// The outcome of a call to a platform that answers at once.
fn now<T>(call: Call<'_, T>) -> Result<Answered<T>, PlatformError> {
    // Nothing waits, but a time limit wants to know whose clock it counts on.
    static TIME: OnceLock<Runtime> = OnceLock::new();
    let time = TIME.get_or_init(|| Builder::new_current_thread().enable_time().build().expect("a runtime"));
    let _entered = time.enter();
    call.now_or_never().expect("the script answers at once")
}

fn judge_apps(stage: &Stage, listed: &Listed, last: &Scripted) {
    let pages: Vec<Value> = stage.used().iter().flatten().map(Scripted::json).collect();
    let entries: Vec<&Value> = pages.iter().filter_map(|page| page["apps"].as_array()).flatten().collect();
    for (number, (id, view)) in listed.apps.iter().enumerate() {
        assert!(!id.as_str().is_empty());
        assert!(listed.apps[..number].iter().all(|(other, _)| other != id), "{id} stands twice");
        let mut said = entries.iter().filter(|entry| entry["id"] == id.as_str());
        // Of what was named twice the first that can be read counts, whichever that is.
        if let (Some(said), None) = (said.next(), said.next()) {
            judge_view(view.as_ref().expect("what is listed was read"), said);
        }
    }
    if listed.is_whole {
        let named = |entry: &&Value| listed.apps.iter().any(|(id, _)| entry["id"] == id.as_str());
        assert!(entries.iter().all(named), "an app is left out of a list that is said to be whole");
        let links = &last.json()["links"];
        let (pages, next) = (&links["pages"], &links["pages"]["next"]);
        assert!(links.is_null() || links.is_object(), "{links}");
        assert!(pages.is_null() || pages.is_object(), "{links}");
        assert!(next.is_null() || next == "", "another page follows: {next}");
    }
}

/// An app as the platform's JSON has it. What a wrong guess would be dangerous for is there as it was said, or the app
/// is not there at all.
fn judge_view(view: &AppView, said: &Value) {
    let id = |field: &str| said[field]["id"].as_str().filter(|id| !id.is_empty());
    let is_none = |field: &str| match &said[field] {
        Value::Null => true,
        Value::Object(fields) => {
            fields.is_empty() || fields.get("id").is_none_or(|id| id.is_null() || id == "")
        }
        _ => false,
    };
    for field in ["active_deployment", "in_progress_deployment", "pending_deployment", "pinned_deployment"] {
        assert!(id(field).is_some() || is_none(field), "{field} cannot be read: {}", said[field]);
    }
    assert_eq!(view.pinned.as_ref().map(|pinned| pinned.as_str()), id("pinned_deployment"));
    match &view.active {
        Some(active) => judge_deployment(active, &said["active_deployment"]),
        None => assert_eq!(id("active_deployment"), None),
    }
    let live = id("active_deployment");
    let is_under_way = |field: &&str| {
        let ended = ["ACTIVE", "SUPERSEDED", "ERROR", "CANCELED"];
        id(field).is_some() && id(field) != live && !ended.iter().any(|phase| said[field]["phase"] == *phase)
    };
    let under_way = ["in_progress_deployment", "pending_deployment"].into_iter().find(is_under_way);
    assert_eq!(view.in_progress.as_ref().map(|id| id.as_str()), under_way.and_then(id));
}

/// JSON as the adapter takes it: a detail that is not, such as a number beyond all bounds, is null.
fn loose(text: &[u8]) -> Value {
    if let Ok(value) = serde_json::from_slice(text) {
        return value;
    }
    if let Ok(fields) = serde_json::from_slice::<BTreeMap<String, Box<RawValue>>>(text) {
        return fields.into_iter().map(|(key, value)| (key, loose(value.get().as_bytes()))).collect();
    }
    let items = serde_json::from_slice::<Vec<Box<RawValue>>>(text).unwrap_or_default();
    if items.is_empty() {
        return Value::Null;
    }
    items.iter().map(|item| loose(item.get().as_bytes())).collect()
}

fn judge_deployments(deployments: &[Deployment], answer: &Scripted) {
    let said = answer.json();
    let entries = said["deployments"].as_array().map(Vec::as_slice).unwrap_or_default();
    for (number, deployment) in deployments.iter().enumerate() {
        assert!(deployments[..number].iter().all(|other| other.id != deployment.id));
        assert!(deployments[..number].iter().all(|other| other.created_ms >= deployment.created_ms));
        let mut said = entries.iter().filter(|entry| entry["id"] == deployment.id.as_str());
        if let (Some(said), None) = (said.next(), said.next()) {
            judge_deployment(deployment, said);
        }
    }
}

fn judge_deployment(seen: &Deployment, said: &Value) {
    assert_eq!(said["id"], seen.id.as_str());
    assert!(!seen.id.as_str().is_empty());
    assert_eq!(
        seen.phase == Phase::Active,
        said["phase"] == "ACTIVE",
        "{:?} of {}",
        seen.phase,
        said["phase"]
    );
    assert!(is_one_line(&seen.title) && seen.title.chars().count() <= 120, "{}", seen.title);
    if seen.complete && seen.phase != Phase::Active {
        let count = |field: &str| {
            let count = &said["progress"][field];
            count.as_i64().or_else(|| count.as_str().and_then(|text| text.parse().ok())).unwrap_or(0)
        };
        let (total, succeeded) = (count("total_steps"), count("success_steps"));
        assert!(total > 0 && total == succeeded && count("error_steps") == 0, "{}", said["progress"]);
    }
}

fn judge_validation(seen: &Validation, answer: &Scripted) {
    let said = answer.json();
    let is_valid = said["valid"] == true && said["error"].is_null();
    assert_eq!(seen.valid, is_valid, "{said}");
    assert_eq!(seen.error.is_some(), !said["error"].is_null());
    assert_eq!(seen.warnings.len(), said["warnings"].as_array().map_or(0, Vec::len));
    for Condition { code, message, .. } in seen.error.iter().chain(&seen.warnings) {
        for text in [code, message] {
            assert!(is_one_line(text) && text.chars().count() <= 200 && !text.contains(SECRET), "{text}");
        }
    }
}
