//! The HTTP side: the apps' own sites, the page for control probes, and the way to the other rooms.

use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, Method, Response, Uri, header};
use axum::routing::any;
use serde_json::json;

use super::deliver::{Answer, closed, deliver};
use super::digitalocean;
use super::fault::{Kind, Met};
use super::request::Request;
use super::sevalla;
use super::world::{Network, World};
use super::{Lab, control};

pub(super) fn router(lab: &Lab) -> Router {
    Router::new()
        .route("/up", any(up))
        .route("/control", any(up))
        .route("/sites/{app}", any(site_root))
        .route("/sites/{app}/", any(site_root))
        .route("/sites/{app}/{*page}", any(site))
        .nest("/lab", control::router())
        .fallback(api)
        .with_state(lab.clone())
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

fn unless_down(lab: &Lab, serve: impl FnOnce(&mut World) -> Served) -> Option<Served> {
    lab.world(|world| (world.network == Network::Up).then(|| serve(world)))
}

async fn api(
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
    let served = unless_down(&lab, |world| {
        let (answer, fault) = if request.path.starts_with("/v3/") {
            sevalla::answer(world, &request)
        } else {
            digitalocean::answer(world, &lab.shared.base, &request)
        };
        Served { answer: answer.quoting(request.token, fault.as_ref()), fault, latency_ms: 0 }
    });
    send(&lab, served).await
}

/// Always 200: what a control probe asks to learn whether its own network works.
async fn up(State(lab): State<Lab>) -> Response<Body> {
    let served = unless_down(&lab, |world| Served {
        answer: Answer::text(200, "text/plain", "up\n".to_owned()),
        fault: world.faults.strike(Met::Up, None),
        latency_ms: 0,
    });
    send(&lab, served).await
}

async fn site_root(State(lab): State<Lab>, Path(app): Path<String>) -> Response<Body> {
    visit(&lab, &app, "").await
}

async fn site(State(lab): State<Lab>, Path((app, page)): Path<(String, String)>) -> Response<Body> {
    visit(&lab, &app, &page).await
}

async fn visit(lab: &Lab, app: &str, page: &str) -> Response<Body> {
    let served = unless_down(lab, |world| {
        let fault = world.faults.strike(Met::Site, Some(app));
        let (answer, latency_ms) = page_of(world, app, page);
        Served { answer, fault, latency_ms }
    });
    send(lab, served).await
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
        Answer::json(reply.status, &json!({ "status": word, "version": version }))
    } else {
        Answer::text(reply.status, "text/plain", format!("{word} {version}\n"))
    };
    answer.headers.push(("x-version", release.commit_hash()));
    (answer, reply.latency_ms)
}
