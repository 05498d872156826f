//! Which call a request is.

use crate::lab::ledger::Operation;
use crate::lab::request::{Request, is_uuid, values};

/// A call of the API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Call {
    pub(crate) operation: Operation,
    pub(crate) app: Option<String>,
    pub(crate) deployment: Option<String>,
    pub(crate) page: Page,
    /// Only deployments of these types; all when empty.
    pub(crate) types: Vec<String>,
}

/// Part of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Page {
    /// From 1.
    pub(crate) number: usize,
    pub(crate) size: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    Call(Call),
    /// Real: 400 "invalid uuid" [doctl PR #1072].
    BadId,
    NotFound,
    WrongMethod,
}

pub(crate) fn route(request: &Request<'_>) -> Route {
    let parts: Vec<&str> = request.path.trim_matches('/').split('/').collect();
    let of_the_account = match parts.as_slice() {
        ["v2", "apps", "metrics", "bandwidth_daily"] => Some(("POST", Operation::GetBandwidth)),
        ["v2", "monitoring", "metrics", "apps", _] => Some(("GET", Operation::GetMetrics)),
        ["v2", "customers", "my", "balance"] => Some(("GET", Operation::GetBalance)),
        _ => None,
    };
    if let Some((method, operation)) = of_the_account {
        return called(request, method, operation, None, None);
    }
    let Some(rest) = parts.strip_prefix(&["v2", "apps"]) else { return Route::NotFound };
    let found = match rest {
        [] => ("GET", Operation::ListApps),
        [_] => ("GET", Operation::GetApp),
        [_, "deployments"] if request.method == "POST" => ("POST", Operation::CreateDeployment),
        [_, "deployments"] => ("GET", Operation::ListDeployments),
        [_, "deployments", _] => ("GET", Operation::GetDeployment),
        [_, "deployments", _, "cancel"] => ("POST", Operation::CancelDeployment),
        [_, "health"] => ("GET", Operation::GetHealth),
        [_, "restart"] => ("POST", Operation::Restart),
        [_, "rollback"] => ("POST", Operation::CreateRollback),
        [_, "rollback", "validate"] => ("POST", Operation::ValidateRollback),
        [_, "rollback", "commit"] => ("POST", Operation::CommitRollback),
        [_, "rollback", "revert"] => ("POST", Operation::RevertRollback),
        _ => return Route::NotFound,
    };
    let (method, operation) = found;
    let (app, deployment) = (rest.first().copied(), rest.get(2).filter(|_| rest[1] == "deployments"));
    if [app, deployment.copied()].into_iter().flatten().any(|id| !is_uuid(id)) {
        return Route::BadId;
    }
    called(request, method, operation, app, deployment.copied())
}

fn called(
    request: &Request<'_>,
    method: &str,
    operation: Operation,
    app: Option<&str>,
    deployment: Option<&str>,
) -> Route {
    if request.method != method {
        return Route::WrongMethod;
    }
    Route::Call(Call {
        operation,
        app: app.map(str::to_owned),
        deployment: deployment.map(str::to_owned),
        page: page(request.query),
        types: values(request.query, "deployment_types").map(str::to_owned).collect(),
    })
}

/// Defaults 1 and 20, at most 200 a page [OAS: `parameters.yml`]; more is cut to 200 \[inferred\].
fn page(query: &str) -> Page {
    let number = |key, default: usize| {
        values(query, key).next().and_then(|text| text.parse().ok()).unwrap_or(default).max(1)
    };
    Page { number: number("page", 1), size: number("per_page", 20).min(200) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const APP: &str = "4f6c71e2-1e90-4762-9fee-6cc4a0a9f2cf";
    const DEPLOYMENT: &str = "3aa4d20e-5527-4c00-b496-601fbd22520a";

    fn routed(method: &str, path: &str, query: &str) -> Route {
        route(&Request { method, path, query, host: "", token: None, body: b"" })
    }

    #[test]
    fn every_call_of_the_api_has_its_path() {
        let cases = [
            ("GET", String::new(), Operation::ListApps),
            ("GET", format!("/{APP}"), Operation::GetApp),
            ("GET", format!("/{APP}/deployments"), Operation::ListDeployments),
            ("POST", format!("/{APP}/deployments"), Operation::CreateDeployment),
            ("GET", format!("/{APP}/deployments/{DEPLOYMENT}"), Operation::GetDeployment),
            ("POST", format!("/{APP}/deployments/{DEPLOYMENT}/cancel"), Operation::CancelDeployment),
            ("GET", format!("/{APP}/health"), Operation::GetHealth),
            ("POST", format!("/{APP}/restart"), Operation::Restart),
            ("POST", format!("/{APP}/rollback/validate"), Operation::ValidateRollback),
            ("POST", format!("/{APP}/rollback"), Operation::CreateRollback),
            ("POST", format!("/{APP}/rollback/commit"), Operation::CommitRollback),
            ("POST", format!("/{APP}/rollback/revert"), Operation::RevertRollback),
        ];
        for (method, path, operation) in cases {
            match routed(method, &format!("/v2/apps{path}"), "") {
                Route::Call(call) => assert_eq!(call.operation, operation),
                other => panic!("{method} {path}: {other:?}"),
            }
        }
    }

    #[test]
    fn what_the_api_does_not_have_is_not_found() {
        assert_eq!(routed("GET", "/v2/droplets", ""), Route::NotFound);
        assert_eq!(routed("GET", "/v2/apps/metrics/bandwidth_daily", ""), Route::WrongMethod);
        assert_eq!(routed("GET", "/v2/customers/my/invoices", ""), Route::NotFound);
        assert_eq!(
            routed("POST", &format!("/v2/apps/{APP}/deployments/actions/rollback/x"), ""),
            Route::NotFound
        );
        assert_eq!(routed("GET", "/v2/apps/shop", ""), Route::BadId);
        assert_eq!(routed("DELETE", &format!("/v2/apps/{APP}"), ""), Route::WrongMethod);
    }

    #[test]
    fn pages_and_repeated_types_are_read_from_the_query() {
        let query = "page=3&per_page=500&deployment_types=MANUAL&deployment_types=AUTOSCALED";
        let Route::Call(call) = routed("GET", &format!("/v2/apps/{APP}/deployments"), query) else {
            panic!("no call");
        };
        assert_eq!(call.page, Page { number: 3, size: 200 });
        assert_eq!(call.types, ["MANUAL", "AUTOSCALED"]);
        assert_eq!(page(""), Page { number: 1, size: 20 });
    }
}
