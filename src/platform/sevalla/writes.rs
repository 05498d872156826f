//! What is written: each request once, to what the app is known to be.

use serde_json::json;

use super::super::http::{ANSWER_LIMIT, Ask, Method, Reply, Unreadable, Want};
use super::super::json::{missing, parse};
use super::super::{Answered, Goal, PlatformError, operation};
use super::nature::{Kind, Nature, Source};
use super::{Sevalla, wire};
use crate::decision::observation::Deployment;
use crate::ids::PlatformAppId;

impl Sevalla {
    pub(super) async fn create(
        &self,
        app: &PlatformAppId,
        goal: Goal<'_>,
    ) -> Result<Answered<Deployment>, PlatformError> {
        let Nature { kind, source, .. } = self.nature(app).await?;
        let image = goal.code.iter().find(|(name, _)| name == wire::IMAGE).map(|(_, image)| image);
        let (last, body) = match (kind, source, image) {
            (Kind::StaticSite, ..) => (None, Some(json!({ "deployment_id": goal.target.as_str() }))),
            (_, Source::DockerImage, Some(image)) => (None, Some(json!({ "docker_image": image }))),
            // Who names no code wants what the platform picks. Everything else was decided on when the app had another
            // source, or has no image to name: nothing of that kind can be asked for.
            (_, Source::PrivateGit | Source::PublicGit | Source::Other, _) if goal.code.is_empty() => {
                (Some("rollback"), None)
            }
            _ => return Err(PlatformError::Unsupported(operation::CREATE_ROLLBACK)),
        };
        let path: Vec<&str> =
            [kind.collection(), app.as_str(), "deployments"].into_iter().chain(last).collect();
        self.write(operation::CREATE_ROLLBACK, app, Method::Post(body), &path, wire::made).await
    }

    /// From the artifact that is there already.
    pub(super) async fn restart_live(
        &self,
        app: &PlatformAppId,
    ) -> Result<Answered<Deployment>, PlatformError> {
        let Nature { kind, .. } = self.nature(app).await?;
        if kind == Kind::StaticSite {
            return Err(PlatformError::Unsupported(operation::RESTART));
        }
        let path = [kind.collection(), app.as_str(), "deployments"];
        let body = Method::Post(Some(json!({ "is_restart": true })));
        self.write(operation::RESTART, app, body, &path, wire::made).await
    }

    /// Has pushes deployed or not. A setting that the platform takes without a word and leaves as it was would be
    /// noticed at the next push only, so its answer has to show the new one.
    pub(super) async fn deploy_pushes(
        &self,
        operation: &'static str,
        app: &PlatformAppId,
        wanted: bool,
    ) -> Result<Answered<()>, PlatformError> {
        let Nature { kind, .. } = self.nature(app).await?;
        let path = [kind.collection(), app.as_str()];
        let body = Method::Patch(json!({ "auto_deploy": wanted }));
        let read = |reply: &Reply| {
            let answer: wire::App = parse(reply)?;
            answer.auto_deploy.ok_or_else(|| missing("auto_deploy"))
        };
        let Answered { value: got, status, request_id } =
            self.write(operation, app, body, &path, read).await?;
        if got != wanted {
            let message = format!("the platform ignored it: auto_deploy is still {got}");
            return Err(PlatformError::Refused { status, message });
        }
        Ok(Answered { value: (), status, request_id })
    }

    /// Sent once. What is not there any more may be something else by now.
    async fn write<T>(
        &self,
        operation: &'static str,
        app: &PlatformAppId,
        method: Method,
        path: &[&str],
        decode: impl FnOnce(&Reply) -> Result<T, Unreadable>,
    ) -> Result<Answered<T>, PlatformError> {
        let ask = Ask { operation, method, path, query: &[], want: Want::Body(ANSWER_LIMIT) };
        let outcome = self.http.call(ask, decode).await;
        if matches!(outcome, Err(PlatformError::NotFound)) {
            self.forget(app);
        }
        outcome
    }
}
