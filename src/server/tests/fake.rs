//! A daemon and a journal that answer as they are told, and a client that says exactly what it is told.

use std::collections::BTreeMap;
use std::future::{pending, ready};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::clock::{Moment, SteadyClock};
use crate::decision::effect::Reason;
use crate::decision::observation::Request;
use crate::decision::state::{Outcome, State};
use crate::decision::{Tale, told};
use crate::ids::{AppName, Caller, ChannelName, DeploymentId, IncidentId, PlatformAppId};
use crate::journal::{
    Call, DecisionRecord, Entry, IncidentQuery, IncidentRecord, Journal, JournalError, Notice, OpenEffect,
    Outbox, Restored, Settled, TimelineEntry, Whose,
};
use crate::journal::{Pause, PauseWord};
use crate::metrics::Metrics;
use crate::server::limits::Limits;
use crate::server::listen::serve_within;
use crate::server::made::app;
use crate::server::{ActionError, AppStatus, Backend, Reply, Surface};

pub(super) const TOKEN: &str = "letmein-0123456789";

/// What the fakes do differently from a healthy daemon.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(in crate::server) enum Trouble {
    #[default]
    None,
    JournalFails,
    JournalHangs,
    DaemonHangs,
    NotLive,
    Refuses,
    NoToken,
    TokenUnreadable,
    /// The list of apps is larger than any socket buffer.
    Huge,
}

#[derive(Default)]
pub(in crate::server) struct Fake {
    trouble: Trouble,
    /// The state of its app, where it is another one.
    pub(in crate::server) state: Mutex<&'static str>,
    pub(super) acts: Mutex<Vec<String>>,
    /// A read that is never answered has begun.
    pub(super) asked: Notify,
}

impl Fake {
    fn act(&self, act: String) -> Result<(), ActionError> {
        if self.trouble == Trouble::Refuses {
            return Err(ActionError::Conflict("the incident awaits no approval".to_owned()));
        }
        self.acts.lock().unwrap().push(act);
        Ok(())
    }
}

impl Fake {
    fn act_on(&self, app: Option<&AppName>, act: String) -> Result<(), ActionError> {
        let name = app.map_or("*", |app| app.as_str());
        if !["*", "checkout"].contains(&name) {
            return Err(ActionError::Unknown("app"));
        }
        self.act(format!("{name} {act}"))
    }
}

impl Backend for Fake {
    fn apps(&self) -> Reply<'_, Vec<AppStatus>> {
        match self.trouble {
            Trouble::DaemonHangs => Box::pin(pending()),
            Trouble::Huge => Box::pin(ready((0..40_000).map(|n| app(&format!("app-{n}"))).collect())),
            _ => {
                let mut app = app("checkout");
                let state = *self.state.lock().unwrap();
                if !state.is_empty() {
                    state.clone_into(&mut app.state);
                }
                Box::pin(ready(vec![app]))
            }
        }
    }

    fn storm(&self) -> bool {
        false
    }

    fn app<'a>(&'a self, name: &'a AppName) -> Reply<'a, Option<AppStatus>> {
        Box::pin(ready((name.as_str() == "checkout").then(|| app("checkout"))))
    }

    fn foresee<'a>(&'a self, _: &'a mut [AppStatus]) -> Reply<'a, ()> {
        Box::pin(ready(()))
    }

    fn app_id(&self, name: &AppName) -> Option<PlatformAppId> {
        (name.as_str() == "checkout").then(|| "4f6c71e2".into())
    }

    fn live(&self) -> Result<(), String> {
        if self.trouble == Trouble::NotLive {
            Err("the loop of app checkout\nstands".to_owned())
        } else {
            Ok(())
        }
    }

    fn ready(&self) -> Result<(), String> {
        if self.trouble == Trouble::JournalFails { Err("the journal fails".to_owned()) } else { Ok(()) }
    }

    fn pause<'a>(
        &'a self,
        app: Option<&'a AppName>,
        lasts: Option<Duration>,
        by: Caller,
    ) -> Reply<'a, Result<(), ActionError>> {
        let lasts = lasts.map_or(String::new(), |lasts| format!(" for {lasts:?}"));
        Box::pin(ready(self.act_on(app, format!("paused{lasts} by {by}"))))
    }

    fn resume<'a>(&'a self, app: Option<&'a AppName>, by: Caller) -> Reply<'a, Result<(), ActionError>> {
        Box::pin(ready(self.act_on(app, format!("resumed by {by}"))))
    }

    fn request<'a>(
        &'a self,
        id: &'a IncidentId,
        request: Request,
        meant: Option<DeploymentId>,
        by: Caller,
    ) -> Reply<'a, Result<Option<DeploymentId>, ActionError>> {
        if id.as_str() != "checkout-1a2b3c4d" {
            return Box::pin(ready(Err(ActionError::Unknown("incident"))));
        }
        let target = meant.filter(|_| request == Request::Approve).unwrap_or("d1".into());
        Box::pin(ready(self.act(format!("{id} {request:?} by {by}")).map(|()| Some(target))))
    }

    fn order<'a>(
        &'a self,
        app: &'a AppName,
        request: Request,
        by: Caller,
    ) -> Reply<'a, Result<IncidentId, ActionError>> {
        let done = self.act_on(Some(app), format!("{request:?} by {by}"));
        Box::pin(ready(done.map(|()| "checkout-1a2b3c4d".into())))
    }
}

impl Fake {
    fn read<T: Send + 'static>(&self, value: T) -> Call<'_, T> {
        match self.trouble {
            Trouble::JournalHangs => {
                self.asked.notify_one();
                Box::pin(pending())
            }
            Trouble::JournalFails => Box::pin(ready(Err(JournalError::Unavailable {
                path: "rearguard.db".to_owned(),
                detail: "disk full".to_owned(),
            }))),
            _ => Box::pin(ready(Ok(value))),
        }
    }
}

fn incident() -> IncidentRecord {
    IncidentRecord {
        id: "checkout-1a2b3c4d".into(),
        app: "checkout".into(),
        app_id: "4f6c71e2".into(),
        state: "closed".to_owned(),
        outcome: Some(Outcome::Committed),
        reason: Reason::SoakHealthy,
        detail: None,
        rule: Some("down".into()),
        asked_by: None,
        opened_at: Timestamp::UNIX_EPOCH,
        closed_at: None,
        approve_by: None,
        bad_deployment: "d2".into(),
        target_deployment: Some("d1".into()),
        rollback_deployment: Some("d3".into()),
        time_to_detect_seconds: Some(6.0),
        time_to_restore_seconds: Some(f64::NAN),
    }
}

impl Journal for Fake {
    fn restore(&self) -> Call<'_, Restored> {
        self.read(Restored::default())
    }
    fn load<'a>(&'a self, _: &'a PlatformAppId) -> Call<'a, (Option<State>, Option<OpenEffect>)> {
        self.read((None, None))
    }
    fn past<'a>(&'a self, _: &'a PlatformAppId) -> Call<'a, Option<String>> {
        self.read(None)
    }
    fn keep_past<'a>(&'a self, _: &'a PlatformAppId, _: String) -> Call<'a, ()> {
        self.read(())
    }
    fn apps(&self) -> Call<'_, Vec<PlatformAppId>> {
        self.read(Vec::new())
    }
    fn record(&self, _: Entry) -> Call<'_, ()> {
        self.read(())
    }
    fn set_storm(&self, _: Option<Moment>) -> Call<'_, ()> {
        self.read(())
    }
    fn pause<'a>(&'a self, _: &'a str, _: Pause) -> Call<'a, ()> {
        self.read(())
    }

    fn end_pause<'a>(&'a self, _: &'a str, _: Option<Caller>, _: Timestamp) -> Call<'a, ()> {
        self.read(())
    }

    fn pause_words<'a>(&'a self, _: &'a PlatformAppId, _: usize) -> Call<'a, Vec<PauseWord>> {
        self.read(Vec::new())
    }
    fn incidents(&self, query: IncidentQuery) -> Call<'_, Vec<IncidentRecord>> {
        let matches = !matches!(query.whose, Whose::Named(_));
        self.read(if matches { vec![incident(); query.limit.min(2)] } else { Vec::new() })
    }
    fn incident<'a>(&'a self, id: &'a IncidentId) -> Call<'a, Option<(IncidentRecord, Vec<TimelineEntry>)>> {
        let entry = TimelineEntry {
            at: Timestamp::UNIX_EPOCH,
            event: "fired".to_owned(),
            text: "rule down is Bad".to_owned(),
            facts: Value::Null,
        };
        let (record, timeline, _) = told(Tale::Committed);
        if record.id == *id {
            return self.read(Some((record, timeline)));
        }
        self.read((id.as_str() == "checkout-1a2b3c4d").then(|| (incident(), vec![entry])))
    }
    fn decisions<'a>(&'a self, id: &'a IncidentId) -> Call<'a, Vec<DecisionRecord>> {
        let (record, _, decisions) = told(Tale::Committed);
        self.read(if record.id == *id { decisions } else { Vec::new() })
    }
    fn tell(&self, _: Vec<Notice>) -> Call<'_, ()> {
        self.read(())
    }
    fn outbox<'a>(&'a self, _: &'a ChannelName, _: usize) -> Call<'a, Outbox> {
        self.read(Outbox::default())
    }
    fn settle(&self, _: i64, _: Timestamp, _: Settled) -> Call<'_, ()> {
        self.read(())
    }
    fn marks<'a>(&'a self, _: &'a ChannelName) -> Call<'a, Vec<(String, String)>> {
        self.read(Vec::new())
    }
    fn forget_mark<'a>(&'a self, _: &'a ChannelName, _: &'a str) -> Call<'a, ()> {
        self.read(())
    }
    fn keep_channels(&self, _: Vec<ChannelName>) -> Call<'_, u64> {
        self.read(0)
    }
    fn prune(&self, _: Timestamp) -> Call<'_, u64> {
        self.read(0)
    }
    fn check(&self) -> Call<'_, ()> {
        self.read(())
    }
}

/// A server on a port of its own, which stops when this is dropped.
pub(in crate::server) struct Running {
    pub(super) at: SocketAddr,
    pub(in crate::server) fake: Arc<Fake>,
    pub(super) task: JoinHandle<()>,
    pub(in crate::server) shutdown: CancellationToken,
    _stop: DropGuard,
}

pub(in crate::server) async fn start(trouble: Trouble) -> Running {
    start_within(trouble, Limits::default()).await
}

pub(in crate::server) async fn start_within(trouble: Trouble, limits: Limits) -> Running {
    let fake = Arc::new(Fake { trouble, ..Fake::default() });
    let metrics = Metrics::new(&["ocean"]).unwrap();
    let surface = Surface {
        backend: fake.clone(),
        journal: fake.clone(),
        metrics,
        clock: Arc::new(SteadyClock::resume(None)),
        admin_token: Arc::new(move || match trouble {
            Trouble::NoToken => Ok(None),
            Trouble::TokenUnreadable => Err("read the token: permission denied".to_owned()),
            _ => Ok(Some(format!("{TOKEN}\n").into())),
        }),
        own_name: Arc::new(|| Some("guard.example.com".to_owned())),
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let shutdown = CancellationToken::new();
    let task = tokio::spawn(serve_within(listener, surface, limits, shutdown.clone()));
    Running { at, fake, task, _stop: shutdown.clone().drop_guard(), shutdown }
}

/// An answer, taken apart.
#[derive(Debug)]
pub(in crate::server) struct Answer {
    pub(in crate::server) status: u16,
    pub(in crate::server) headers: BTreeMap<String, String>,
    pub(in crate::server) body: String,
}

impl Answer {
    pub(in crate::server) fn json(&self) -> Value {
        assert_eq!(self.headers["content-type"], "application/json", "{self:?}");
        serde_json::from_str(&self.body).unwrap()
    }

    /// The code of an error, whose shape is checked.
    pub(in crate::server) fn code(&self) -> String {
        let json = self.json();
        let error = json["error"].as_object().unwrap();
        assert_eq!(json.as_object().unwrap().len(), 1);
        assert_eq!(error.len(), 2);
        assert!(!error["message"].as_str().unwrap().is_empty());
        error["code"].as_str().unwrap().to_owned()
    }

    fn parse(text: &str) -> Self {
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {text:?}"));
        let mut lines = head.split("\r\n");
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers = lines
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect();
        Self { status, headers, body: body.to_owned() }
    }
}

impl Running {
    pub(in crate::server) async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.at).await.unwrap()
    }

    /// Sends these bytes and reads to the end of the connection.
    pub(in crate::server) async fn say(&self, request: &str) -> Answer {
        let mut stream = self.connect().await;
        // A server that refuses does not read to the end.
        let _ = stream.write_all(request.as_bytes()).await;
        Answer::parse(&listen(&mut stream).await)
    }

    pub(in crate::server) async fn get(&self, path: &str) -> Answer {
        self.say(&format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")).await
    }

    pub(in crate::server) async fn post(&self, path: &str, token: Option<&str>) -> Answer {
        let auth = token.map_or(String::new(), |token| format!("authorization: Bearer {token}\r\n"));
        self.say(&format!("POST {path} HTTP/1.1\r\nhost: localhost\r\n{auth}connection: close\r\n\r\n")).await
    }
}

/// Everything up to the end of the connection, orderly or not.
pub(super) async fn listen(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes).await;
    String::from_utf8(bytes).unwrap()
}
