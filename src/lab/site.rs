//! The HTTP side: the apps' own sites, the page for control probes, and the way to the other rooms.

use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Method, Response, Uri, header};
use serde_json::json;

use super::deliver::{Answer, closed, deliver};
use super::digitalocean;
use super::fault::{Kind, Met};
use super::request::Request;
use super::sevalla;
use super::world::{Network, World};
use super::{Lab, control};

pub(super) fn router(lab: &Lab) -> Router {
    Router::new().nest("/lab", control::router()).fallback(serve).with_state(lab.clone())
}

async fn serve(
    State(lab): State<Lab>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response<Body> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let request = Request {
        method: method.as_str(),
        path: uri.path(),
        query: uri.query().unwrap_or(""),
        host: text(header::HOST).unwrap_or("localhost"),
        token: text(header::AUTHORIZATION).and_then(|value| value.strip_prefix("Bearer ")),
        body: &body,
    };
    lab.answer(&request).await
}

impl Lab {
    /// Answers what is asked of the API, the sites and `/up`: of everything but the control API.
    pub(crate) async fn answer(&self, request: &Request<'_>) -> Response<Body> {
        let served = self.world(|world| {
            let is_up = world.network == Network::Up;
            is_up.then(|| match (request.path, site(request.path)) {
                ("/up" | "/control", _) => up(world),
                (_, Some((app, page))) => visit(world, app, page),
                (_, None) => api(world, &self.shared.base, request),
            })
        });
        send(self, served).await
    }
}

/// The app and the page that a path is for, if it is for a site.
fn site(path: &str) -> Option<(&str, &str)> {
    let rest = path.strip_prefix("/sites/")?;
    let (app, page) = rest.split_once('/').unwrap_or((rest, ""));
    (!app.is_empty()).then_some((app, page))
}

/// What is sent, and how late and how broken; nothing at all when the network is down.
struct Served {
    answer: Answer,
    fault: Option<Kind>,
    latency_ms: u64,
}

async fn send(lab: &Lab, served: Option<Served>) -> Response<Body> {
    let Some(Served { answer, fault, latency_ms }) = served else { return closed() };
    if latency_ms > 0 {
        tokio::select! {
            () = lab.shared.stop.cancelled() => return closed(),
            () = tokio::time::sleep(Duration::from_millis(latency_ms)) => {}
        }
    }
    deliver(answer, fault, &lab.shared.stop).await
}

fn api(world: &mut World, base: &str, request: &Request<'_>) -> Served {
    let (answer, fault) = if request.path.starts_with("/v3/") {
        sevalla::answer(world, request)
    } else {
        digitalocean::answer(world, base, request)
    };
    Served { answer: answer.quoting(request.token, fault.as_ref()), fault, latency_ms: 0 }
}

/// Always 200: what a control probe asks to learn whether its own network works.
fn up(world: &mut World) -> Served {
    Served {
        answer: Answer::text(200, "text/plain", "up\n".to_owned()),
        fault: world.faults.strike(Met::Up, None),
        latency_ms: 0,
    }
}

fn visit(world: &mut World, app: &str, page: &str) -> Served {
    let fault = world.faults.strike(Met::Site, Some(app));
    let (answer, latency_ms) = page_of(world, app, page);
    Served { answer, fault, latency_ms }
}

/// What the live deployment answers, whatever the page; `/status` answers it in JSON.
fn page_of(world: &mut World, app: &str, page: &str) -> (Answer, u64) {
    let now = world.now();
    let Ok(place) = world.place(app) else {
        return (Answer::text(404, "text/plain", "no such app\n".to_owned()), 0);
    };
    let Some((reply, release)) = world.model.apps[place].serve(now) else {
        return (Answer::text(503, "text/plain", "nothing is deployed\n".to_owned()), 0);
    };
    let word = if reply.status < 400 { "ok" } else { "failing" };
    let version = &release.version;
    let mut answer = if page == "status" {
        Answer::json(
            reply.status,
            &json!({ "status": word, "version": version, "commit": release.commit_hash() }),
        )
    } else {
        Answer::text(reply.status, "text/plain", format!("{word} {version}\n"))
    };
    answer.headers.push(("x-version", release.commit_hash()));
    (answer, reply.latency_ms)
}
