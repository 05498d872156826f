//! What a client sends over one connection: answers that are bounded and say what they are, and nothing changes without
//! the admin token.

use std::cell::RefCell;
use std::future::ready;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, Method, StatusCode, Uri, header, response};
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
use tokio::runtime::Builder;
use tokio::time::timeout;

use super::SECRET;
use super::journal::{Scratch, fill};
use crate::clock::{Clock, SteadyClock};
use crate::decision::observation;
use crate::decision::policy::Mode;
use crate::ids::{AppName, Caller, DeploymentId, IncidentId, PlatformAppId};
use crate::journal::{Journal, SqliteJournal};
use crate::metrics::Metrics;
use crate::server::{ActionError, AppStatus, Backend, Reply, RuleStatus, Surface, converse_over};

/// More than any answer here has, the metrics among them.
const LONGEST_ANSWER: usize = 256 * 1024;
/// Longer than a client can keep a connection without saying anything, on a clock that does not have to be waited for.
const END: Duration = Duration::from_secs(120);

/// A daemon with one app, which does what it is told and writes it down.
#[derive(Default)]
struct Daemon {
    acts: Mutex<Vec<String>>,
}

impl Daemon {
    fn acts(&self) -> usize {
        self.acts.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    fn act(&self, act: String) -> Result<(), ActionError> {
        self.acts.lock().unwrap_or_else(PoisonError::into_inner).push(act);
        Ok(())
    }
}

impl Daemon {
    fn act_on(&self, app: Option<&AppName>, act: String) -> Result<(), ActionError> {
        if app.is_none_or(|app| app.as_str() == "web") {
            self.act(format!("{app:?} {act}"))
        } else {
            Err(ActionError::Unknown("app"))
        }
    }
}

impl Backend for Daemon {
    fn apps(&self) -> Reply<'_, Vec<AppStatus>> {
        Box::pin(ready(vec![status()]))
    }

    fn storm(&self) -> bool {
        false
    }

    fn app<'a>(&'a self, name: &'a AppName) -> Reply<'a, Option<AppStatus>> {
        Box::pin(ready((name.as_str() == "web").then(status)))
    }

    fn foresee<'a>(&'a self, _: &'a mut [AppStatus]) -> Reply<'a, ()> {
        Box::pin(ready(()))
    }

    fn app_id(&self, name: &AppName) -> Option<PlatformAppId> {
        (name.as_str() == "web").then(|| "id-of-web".into())
    }

    fn live(&self) -> Result<(), String> {
        Ok(())
    }

    fn ready(&self) -> Result<(), String> {
        Ok(())
    }

    fn pause<'a>(
        &'a self,
        app: Option<&'a AppName>,
        lasts: Option<Duration>,
        by: Caller,
    ) -> Reply<'a, Result<(), ActionError>> {
        Box::pin(ready(self.act_on(app, format!("paused {lasts:?} {by}"))))
    }

    fn resume<'a>(&'a self, app: Option<&'a AppName>, by: Caller) -> Reply<'a, Result<(), ActionError>> {
        Box::pin(ready(self.act_on(app, format!("resumed {by}"))))
    }

    fn request<'a>(
        &'a self,
        incident: &'a IncidentId,
        request: observation::Request,
        meant: Option<DeploymentId>,
        by: Caller,
    ) -> Reply<'a, Result<Option<DeploymentId>, ActionError>> {
        let known = *incident == IncidentId::of(&"web".into(), &"bad".into());
        Box::pin(ready(if known {
            self.act(format!("{incident} {request:?} {by}")).map(|()| meant)
        } else {
            Err(ActionError::Unknown("incident"))
        }))
    }

    fn order<'a>(
        &'a self,
        app: &'a AppName,
        request: observation::Request,
        by: Caller,
    ) -> Reply<'a, Result<IncidentId, ActionError>> {
        let done = self.act_on(Some(app), format!("{request:?} {by}"));
        Box::pin(ready(done.map(|()| IncidentId::of(app, &"bad".into()))))
    }
}

fn status() -> AppStatus {
    AppStatus {
        name: "web".into(),
        platform: "ocean".into(),
        id: "id-of-web".into(),
        mode: Mode::Enforce,
        state: "incident".to_owned(),
        incident: Some(IncidentId::of(&"web".into(), &"bad".into())),
        stage: Some("rolling_back".to_owned()),
        waiting: None,
        approve_by: None,
        target_deployment: None,
        paused: false,
        pause: None,
        pause_words: Vec::new(),
        freeze: None,
        live_deployment: Some("bad".into()),
        in_progress_deployment: None,
        failed_deployment: None,
        pinned_deployment: None,
        pushes_paused: false,
        last_good_deployment: Some("good".into()),
        left_good_deployment: None,
        newer_release: false,
        rollback: None,
        watch_remaining_seconds: None,
        soak_remaining_seconds: Some(f64::INFINITY),
        platform_read_at: None,
        platform_fault: None,
        blind: None,
        blind_because: None,
        rules: vec![RuleStatus {
            name: "errors".into(),
            condition: "bad at 3 failures in a row".to_owned(),
            verdict: "unknown".to_owned(),
            value: Some(f64::NAN),
            threshold: 3.0,
            samples: 0,
            evidence: String::new(),
            only_tells: false,
            told_at: None,
        }],
        probes: Vec::new(),
        detection: None,
    }
}

/// What lives as long as the thread: the metrics, and a journal with an incident in it.
struct Ground {
    journal: Arc<dyn Journal>,
    metrics: Metrics,
    clock: Arc<dyn Clock>,
    _scratch: Scratch,
}

impl Ground {
    fn new() -> Self {
        let scratch = Scratch::new();
        fill(&scratch.path(""));
        Self {
            journal: Arc::new(SqliteJournal::inline(scratch.path(""))),
            metrics: Metrics::new(&["ocean"]).expect("metrics"),
            clock: Arc::new(SteadyClock::resume(None)),
            _scratch: scratch,
        }
    }
}

/// Any bytes on a connection.
pub fn api(data: &[u8]) {
    thread_local! {
        static GROUND: RefCell<Option<Ground>> = const { RefCell::new(None) };
    }
    let daemon = Arc::new(Daemon::default());
    let surface = GROUND.with_borrow_mut(|ground| {
        let ground = ground.get_or_insert_with(Ground::new);
        Surface {
            backend: daemon.clone(),
            journal: ground.journal.clone(),
            metrics: ground.metrics.clone(),
            clock: ground.clock.clone(),
            admin_token: Arc::new(|| Ok(Some(format!("{SECRET}\n").into()))),
            own_name: Arc::new(|| None),
        }
    });
    let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime");
    let heard = runtime.block_on(async { timeout(END, converse(data, surface, daemon)).await });
    let heard = heard.expect("a conversation ends");
    if let Some(status) = heard.strip_prefix(b"HTTP/1.1 ").and_then(|rest| rest.get(..3)) {
        assert!(status < b"500".as_slice(), "{}", String::from_utf8_lossy(&heard));
    } else {
        assert!(heard.is_empty() || heard.starts_with(b"HTTP/1.0 "), "{}", String::from_utf8_lossy(&heard));
    }
}

/// Says `data` and listens to the end.
async fn converse(data: &[u8], surface: Surface, daemon: Arc<Daemon>) -> Vec<u8> {
    let (client, server) = duplex(64 * 1024);
    let look = move |request: Request, next: Next| watched(daemon.clone(), request, next);
    let talk = converse_over(server, surface, |routes| routes.layer(from_fn(look)));
    let (mut reader, mut writer) = tokio::io::split(client);
    // A server that has heard enough does not listen to the end. Nothing is closed here: hyper drops a request whose
    // client has, and what came of it would not be seen. It closes by itself when nothing more comes.
    let say = async { _ = writer.write_all(data).await };
    let mut heard = Vec::new();
    let listen = async { _ = reader.read_to_end(&mut heard).await };
    tokio::join!(talk, say, listen);
    drop(writer);
    heard
}

/// Looks at a request and at its answer.
async fn watched(daemon: Arc<Daemon>, request: Request, next: Next) -> Response {
    let is_admin = is_admin(request.headers());
    let asked = Asked {
        method: request.method().clone(),
        uri: request.uri().clone(),
        is_admin,
        is_only_admin: is_admin && request.headers().get_all(header::AUTHORIZATION).iter().count() == 1,
    };
    let before = daemon.acts();
    let (parts, body) = next.run(request).await.into_parts();
    let body = to_bytes(body, LONGEST_ANSWER).await.expect("an answer within its bounds");
    asked.judge(&parts, &body, daemon.acts() - before);
    Response::from_parts(parts, Body::from(body))
}

fn is_admin(headers: &HeaderMap) -> bool {
    headers.get_all(header::AUTHORIZATION).iter().any(|value| {
        let text = String::from_utf8_lossy(value.as_bytes());
        text.split_once(' ')
            .is_some_and(|(scheme, token)| scheme.eq_ignore_ascii_case("bearer") && token.trim() == SECRET)
    })
}

struct Asked {
    method: Method,
    uri: Uri,
    /// The token is among what authorizes the request.
    is_admin: bool,
    /// And there is nothing else.
    is_only_admin: bool,
}

impl Asked {
    fn judge(&self, answer: &response::Parts, body: &Bytes, acts: usize) {
        let Self { method, uri, is_admin, is_only_admin } = self;
        let status = answer.status;
        assert!(!status.is_server_error(), "{method} {uri}: {status}");
        assert!(acts == 0 || (*method == Method::POST && *is_admin), "{method} {uri} acted");
        assert_eq!(acts == 1, *method == Method::POST && status.is_success(), "{method} {uri}: {status}");
        assert_eq!(answer.headers[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
        assert_eq!(answer.headers[header::CACHE_CONTROL], "no-store");
        let is_json = answer.headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind == "application/json");
        let json = is_json.then(|| serde_json::from_slice::<Value>(body));
        if *method != Method::HEAD {
            let json = json.transpose().expect("JSON where it is said to be");
            if status.is_client_error() {
                let error = &json.expect("an error is JSON")["error"];
                let has = |field: &str| error[field].as_str().is_some_and(|text| !text.is_empty());
                assert!(has("code") && has("message"), "{method} {uri}: {error}");
            }
        }
        if status == StatusCode::UNAUTHORIZED {
            assert!(!is_only_admin, "{method} {uri}: the token is right");
        }
        if !self.says_secret() {
            assert!(!shows_secret(body), "{method} {uri} shows the token");
            assert!(!answer.headers.values().any(|value| shows_secret(value.as_bytes())));
        }
    }

    /// A client that writes the token where it does not belong may be shown what it wrote.
    fn says_secret(&self) -> bool {
        let text = format!("{} {}", self.method, self.uri);
        // Percent signs may hide it.
        text.contains('%') || text.contains(SECRET)
    }
}

fn shows_secret(bytes: &[u8]) -> bool {
    bytes.windows(SECRET.len()).any(|window| window == SECRET.as_bytes())
}
