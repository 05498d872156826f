//! Which call a request is.

use serde_json::Value;

use crate::lab::kind::Shelf;
use crate::lab::ledger::Operation;
use crate::lab::rate::Tier;
use crate::lab::request::{Request, is_uuid, values};

/// A call of the API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Call {
    pub(super) shelf: Shelf,
    pub(super) operation: Operation,
    pub(super) app: Option<String>,
    pub(super) deployment: Option<String>,
    pub(super) process: Option<String>,
    /// Which figure is asked for.
    pub(super) figure: Option<Figure>,
    pub(super) page: Page,
}

/// Part of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Page {
    pub(super) limit: usize,
    pub(super) offset: usize,
}

/// What the platform counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Figure {
    StatusCodes,
    ResponseTime,
    AverageResponseTime,
    RequestsPerMinute,
    TopStatusCodes,
    CpuUsage,
    CpuLimit,
    MemoryUsage,
    MemoryLimit,
    InstanceCount,
    ExitCodes,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Route {
    Call(Call),
    /// 400 \[inferred\].
    Malformed(&'static str),
    /// No such path, or none for this method \[inferred\].
    NotFound,
}

/// The path of a rollback whose target the platform picks.
pub(super) fn is_picked_rollback(request: &Request<'_>) -> bool {
    request.path.trim_end_matches('/').ends_with("/deployments/rollback")
}

pub(super) fn route(request: &Request<'_>) -> Route {
    let parts: Vec<&str> = request.path.trim_matches('/').split('/').collect();
    let (shelf, rest) = match &parts[..] {
        ["v3", "applications", rest @ ..] => (Shelf::Applications, rest),
        ["v3", "static-sites", rest @ ..] => (Shelf::StaticSites, rest),
        ["v3", "api-keys", "me" | "validate"] if request.method == "GET" => {
            return call(request, Shelf::Applications, Operation::GetKey, &[]);
        }
        _ => return Route::NotFound,
    };
    let operation = match (request.method, rest) {
        ("GET", []) => Operation::ListApps,
        ("GET", [_]) => Operation::GetApp,
        ("PATCH", [_]) => Operation::SetAutoDeploy,
        ("GET", [_, "deployments"]) => Operation::ListDeployments,
        ("POST", [_, "deployments"]) => making(request.body),
        ("GET", [_, "deployments", _]) => Operation::GetDeployment,
        // What follows static sites do not have.
        _ if shelf == Shelf::StaticSites => return Route::NotFound,
        ("POST", [_, "deployments", "rollback"]) => Operation::CreateRollback,
        ("POST", [_, "deployments", _, "cancel"]) => Operation::CancelDeployment,
        ("GET", [_, "deployments", _, "logs"]) => Operation::GetLogs,
        ("GET", [_, "deployment-hook"]) => Operation::GetHook,
        ("GET", [_, "processes"]) => Operation::ListProcesses,
        ("GET", [_, "domains"]) => Operation::ListDomains,
        ("GET", [_, "metrics", _] | [_, "processes", _, "metrics", _]) => Operation::GetMetrics,
        _ => return Route::NotFound,
    };
    call(request, shelf, operation, rest)
}

/// `POST deployments` is several things, by its body.
fn making(body: &[u8]) -> Operation {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    if body["is_restart"] == true {
        Operation::Restart
    } else if body["docker_image"].is_string() || body["deployment_id"].is_string() {
        Operation::CreateRollback
    } else {
        Operation::CreateDeployment
    }
}

fn call(request: &Request<'_>, shelf: Shelf, operation: Operation, rest: &[&str]) -> Route {
    let (app, within) = (rest.first().copied(), rest.get(1).copied());
    let third = rest.get(2).copied().filter(|_| !is_picked_rollback(request));
    let deployment = third.filter(|_| within == Some("deployments"));
    let process = third.filter(|_| within == Some("processes"));
    if [app, deployment, process].into_iter().flatten().any(|id| !is_uuid(id)) {
        return Route::Malformed("id must be a uuid");
    }
    let figure = rest.last().filter(|_| operation == Operation::GetMetrics);
    let figure = figure.map(|word| Figure::named(word, process.is_some()));
    if figure == Some(None) {
        return Route::NotFound;
    }
    let Some(page) = page(request.query) else {
        return Route::Malformed("limit must be from 1 to 100 and offset from 0 to 10000");
    };
    Route::Call(Call {
        shelf,
        operation,
        app: app.map(str::to_owned),
        deployment: deployment.map(str::to_owned),
        process: process.map(str::to_owned),
        figure: figure.flatten(),
        page,
    })
}

/// Defaults 25 and 0 \[OAS\]; what is outside the bounds is refused \[inferred\].
fn page(query: &str) -> Option<Page> {
    let number =
        |key, default: usize| values(query, key).next().map_or(Some(default), |text| text.parse().ok());
    let (limit, offset) = (number("limit", 25)?, number("offset", 0)?);
    ((1..=100).contains(&limit) && offset <= 10_000).then_some(Page { limit, offset })
}

/// The tier a request is counted in; which writes are in which is partly \[inferred\].
pub(super) fn tier(request: &Request<'_>, route: &Route) -> Tier {
    match route {
        Route::Call(call) => match call.operation {
            Operation::GetLogs => Tier::Logs,
            Operation::SetAutoDeploy => Tier::Mutation,
            operation if operation.is_read() => Tier::Read,
            _ => Tier::Deployment,
        },
        Route::Malformed(_) | Route::NotFound if request.method == "GET" => Tier::Read,
        Route::Malformed(_) | Route::NotFound => Tier::Write,
    }
}

impl Figure {
    fn named(word: &str, of_process: bool) -> Option<Self> {
        Some(match (of_process, word) {
            (false, "status-codes") => Self::StatusCodes,
            (false, "response-time") => Self::ResponseTime,
            (false, "response-time-avg") => Self::AverageResponseTime,
            (false, "requests-per-minute") => Self::RequestsPerMinute,
            (false, "top-status-codes") => Self::TopStatusCodes,
            (true, "cpu-usage") => Self::CpuUsage,
            (true, "cpu-limit") => Self::CpuLimit,
            (true, "memory-usage") => Self::MemoryUsage,
            (true, "memory-limit") => Self::MemoryLimit,
            (true, "instance-count") => Self::InstanceCount,
            (true, "exit-codes") => Self::ExitCodes,
            _ => return None,
        })
    }

    /// It cannot be asked for without an interval.
    pub(super) fn needs_interval(self) -> bool {
        matches!(
            self,
            Self::CpuUsage | Self::CpuLimit | Self::MemoryUsage | Self::MemoryLimit | Self::InstanceCount
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const APP: &str = "4f6c71e2-1e90-4762-9fee-6cc4a0a9f2cf";
    const OTHER: &str = "3aa4d20e-5527-4c00-b496-601fbd22520a";

    fn routed(method: &str, path: &str, body: &str) -> Route {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        route(&Request { method, path, query, host: "", token: None, body: body.as_bytes() })
    }

    #[test]
    fn every_call_of_the_api_has_its_path_and_its_tier() {
        use Operation as Op;
        let deployment = format!("/{APP}/deployments/{OTHER}");
        let cases = [
            ("GET", String::new(), Op::ListApps, Tier::Read),
            ("GET", format!("/{APP}"), Op::GetApp, Tier::Read),
            ("PATCH", format!("/{APP}"), Op::SetAutoDeploy, Tier::Mutation),
            ("GET", format!("/{APP}/deployments"), Op::ListDeployments, Tier::Read),
            ("POST", format!("/{APP}/deployments"), Op::CreateDeployment, Tier::Deployment),
            ("POST", format!("/{APP}/deployments/rollback"), Op::CreateRollback, Tier::Deployment),
            ("GET", deployment.clone(), Op::GetDeployment, Tier::Read),
            ("POST", format!("{deployment}/cancel"), Op::CancelDeployment, Tier::Deployment),
            ("GET", format!("{deployment}/logs"), Op::GetLogs, Tier::Logs),
            ("GET", format!("/{APP}/deployment-hook"), Op::GetHook, Tier::Read),
            ("GET", format!("/{APP}/processes"), Op::ListProcesses, Tier::Read),
            ("GET", format!("/{APP}/domains"), Op::ListDomains, Tier::Read),
            ("GET", format!("/{APP}/metrics/status-codes"), Op::GetMetrics, Tier::Read),
            ("GET", format!("/{APP}/processes/{OTHER}/metrics/exit-codes"), Op::GetMetrics, Tier::Read),
        ];
        for (method, path, operation, counted) in cases {
            let path = format!("/v3/applications{path}");
            let request = Request { method, path: &path, query: "", host: "", token: None, body: b"{}" };
            let found = route(&request);
            assert_eq!(tier(&request, &found), counted, "{method} {path}");
            match found {
                Route::Call(call) => assert_eq!(call.operation, operation),
                other => panic!("{method} {path}: {other:?}"),
            }
        }
    }

    #[test]
    fn what_a_deployment_is_asked_with_says_what_it_is() {
        let asked = |body: &str| match routed("POST", &format!("/v3/applications/{APP}/deployments"), body) {
            Route::Call(call) => call.operation,
            other => panic!("{body}: {other:?}"),
        };
        assert_eq!(asked(r#"{"is_restart":true}"#), Operation::Restart);
        assert_eq!(asked(r#"{"docker_image":"shop:1"}"#), Operation::CreateRollback);
        assert_eq!(asked(r#"{"branch":"main"}"#), Operation::CreateDeployment);
        assert_eq!(asked("nonsense"), Operation::CreateDeployment);
    }

    #[test]
    fn what_the_api_does_not_have_is_not_found() {
        let app = format!("/v3/applications/{APP}");
        for (method, path) in [
            ("DELETE", app.clone()),
            ("GET", format!("{app}/metrics/cpu-usage")),
            ("GET", format!("{app}/processes/{OTHER}/metrics/status-codes")),
            ("POST", format!("{app}/suspend")),
            ("POST", format!("/v3/static-sites/{APP}/deployments/rollback")),
            ("GET", format!("/v3/static-sites/{APP}/processes")),
            ("GET", "/v3/pipelines".to_owned()),
        ] {
            assert_eq!(routed(method, &path, ""), Route::NotFound, "{method} {path}");
        }
    }

    #[test]
    fn a_page_has_bounds() {
        let list = |query: &str| routed("GET", &format!("/v3/applications?{query}"), "");
        assert!(matches!(list("limit=100&offset=10000"), Route::Call(call)
            if call.page == Page { limit: 100, offset: 10_000 }));
        assert!(matches!(list(""), Route::Call(call) if call.page == Page { limit: 25, offset: 0 }));
        for query in ["limit=0", "limit=101", "offset=-1", "offset=10001", "limit=x"] {
            assert!(matches!(list(query), Route::Malformed(_)), "{query}");
        }
    }
}
