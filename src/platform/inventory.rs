//! What an account has, as far as a first configuration needs to know: apps by name, and where each can be asked how it is.

use crate::ids::PlatformAppId;

/// An app of the account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The platform's id.
    pub id: PlatformAppId,
    /// What people call it.
    pub name: String,
    /// Where it can be asked from outside.
    pub pages: Vec<Page>,
    /// What the app's platform itself can say of it where no page does: whether it is healthy.
    pub tells_health: bool,
    /// A rollback goes back to what the platform picks, which an operator has to accept.
    pub platform_picks: bool,
    /// What should be known of it, in words: why it has no page, or that it is suspended.
    pub notes: Vec<&'static str>,
}

/// Where an app can be asked how it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The component that answers, where an app has several.
    pub component: String,
    /// The address.
    pub url: String,
    /// It is the path that the platform's own health check asks; otherwise it is the front page.
    pub is_health_check: bool,
}

/// How requests reach a component.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Route {
    /// What the path has to begin with.
    pub(super) prefix: String,
    /// The component sees the path as it was asked for, or with that cut off; none where it is rewritten.
    pub(super) keeps_prefix: Option<bool>,
}

impl Page {
    /// The page of a component that is reached by `route` below `base`, and whose health check asks for `check`, if that can
    /// be asked for from outside.
    pub(super) fn of(component: &str, base: &str, route: &Route, check: Option<&str>) -> Self {
        let base = base.trim_end_matches('/');
        let prefix = route.prefix.trim_end_matches('/');
        let check = check.filter(|path| path.starts_with('/')).and_then(|path| match route.keeps_prefix {
            _ if prefix.is_empty() => Some(path.to_owned()),
            Some(false) => Some(format!("{prefix}{path}")),
            Some(true) => {
                (path == prefix || path.starts_with(&format!("{prefix}/"))).then(|| path.to_owned())
            }
            None => None,
        });
        let is_health_check = check.is_some();
        let path = check.unwrap_or_else(|| format!("{prefix}/"));
        Self { component: component.to_owned(), url: format!("{base}{path}"), is_health_check }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_health_check_is_asked_for_from_outside_where_it_can_be() {
        let page = |prefix: &str, keeps_prefix, check| {
            let route = Route { prefix: prefix.to_owned(), keeps_prefix };
            let page = Page::of("web", "https://a.example/", &route, check);
            (page.url, page.is_health_check)
        };
        let url = |path: &str| format!("https://a.example{path}");
        assert_eq!(page("/", Some(false), Some("/healthz")), (url("/healthz"), true));
        assert_eq!(page("", None, Some("/healthz")), (url("/healthz"), true));
        assert_eq!(page("/api", Some(false), Some("/healthz")), (url("/api/healthz"), true));
        assert_eq!(page("/api/", Some(true), Some("/api/healthz")), (url("/api/healthz"), true));
        assert_eq!(page("/api", Some(true), Some("/apiary")), (url("/api/"), false));
        assert_eq!(page("/api", None, Some("/healthz")), (url("/api/"), false));
        assert_eq!(page("/", Some(false), None), (url("/"), false));
        assert_eq!(page("/", Some(false), Some("healthz")), (url("/"), false));
    }
}
