//! The same for Sevalla: an input begins with `sevalla` and the name of a call. A call takes several requests, so which
//! answer a value came from is looked for among all that were given.

use serde_json::{Value, json};

use super::super::{SECRET, is_one_line};
use super::{APP, LONGEST_ERROR, Scripted, Stage, TARGET, now};
use crate::config::PlatformKind;
use crate::decision::capability::{PinKind, Support};
use crate::decision::effect::Validation;
use crate::decision::observation::{AppView, Deployment, Phase};
use crate::platform::http::Broken;
use crate::platform::{Answered, Goal, Listed, PlatformError, Signal, operation, pace};

/// Any answers to any call.
pub(super) fn sevalla(name: &str, answers: &[u8]) {
    let stage = Stage::new(PlatformKind::Sevalla, answers);
    let (app, target) = (APP.into(), TARGET.into());
    let platform = &stage.platform;
    let goal = Goal { accused: &"dep-bad".into(), target: &target, code: &[] };
    match name {
        operation::LIST_APPS => {
            let wanted = [app, "app-2".into()];
            stage.all(now(platform.list_apps(&wanted))).iter().for_each(|listed| stage.listed(listed));
        }
        operation::LIST_DEPLOYMENTS => {
            stage.all(now(platform.deployments(&app))).iter().for_each(|list| stage.history(list));
        }
        operation::VALIDATE_ROLLBACK => {
            stage.all(now(platform.validate_rollback(&app, goal))).iter().for_each(validated);
        }
        operation::CREATE_ROLLBACK => {
            let made = stage.all(now(platform.create_rollback(&app, goal)));
            stage.wrote(made.is_some(), &[json!(null), json!({ "deployment_id": TARGET })]);
            made.iter().for_each(|made| stage.deployment(made));
        }
        operation::RESTART => {
            let made = stage.all(now(platform.restart(&app, &[])));
            stage.wrote(made.is_some(), &[json!({ "is_restart": true })]);
            made.iter().for_each(|made| stage.deployment(made));
        }
        operation::PIN | operation::UNPIN => {
            let deploys = name == operation::UNPIN;
            let call = if deploys { platform.unpin(&app) } else { platform.pin(&app) };
            let is_done = stage.all(now(call)).is_some();
            stage.wrote(is_done, &[json!({ "auto_deploy": deploys })]);
            let last = stage.last().map(Scripted::json).unwrap_or_default();
            assert!(!is_done || last["auto_deploy"] == deploys, "a pause that is not shown: {last}");
        }
        operation::SERIES => {
            for signal in [Signal::Requests, Signal::ResponseTime, Signal::Cpu, Signal::Exits] {
                let measured = stage.all(now(platform.series(&app, signal, 0..60_000)));
                for series in measured.iter().flat_map(|measured| &measured.series) {
                    assert!(is_one_line(&series.label), "{}", series.label);
                    assert!(series.points.is_sorted_by_key(|(at, _)| *at));
                    assert!(series.points.iter().all(|(_, value)| value.is_finite()));
                }
            }
        }
        _ => stage.all(now(platform.app(&app))).iter().for_each(|view| stage.view(view)),
    }
    let is_write = [operation::CREATE_ROLLBACK, operation::RESTART, operation::PIN, operation::UNPIN];
    let writes = stage.sent().iter().filter(|(method, ..)| method != "GET").count();
    assert!(writes <= usize::from(is_write.contains(&name)), "{writes} writes");
}

impl Stage {
    /// What holds whatever was asked.
    fn all<T>(&self, outcome: Result<Answered<T>, PlatformError>) -> Option<T> {
        let wait = self.platform.budget().hold_reads;
        assert!(wait.is_none_or(|wait| wait <= pace::LONGEST), "held for {wait:?}");
        let statuses: Vec<u16> = self.used().iter().flatten().map(|answer| answer.status).collect();
        let error = match outcome {
            Ok(Answered { value, status, request_id }) => {
                assert!((200..300).contains(&status) && statuses.contains(&status), "{status}");
                assert!(request_id.is_none_or(|id| is_one_line(&id) && !id.contains(SECRET)));
                return Some(value);
            }
            Err(error) => error,
        };
        let shown = error.to_string();
        assert!(is_one_line(&shown) && shown.chars().count() <= LONGEST_ERROR, "{shown}");
        assert!(!shown.contains(SECRET), "the token is shown: {shown}");
        match error {
            PlatformError::NotConnected(_) => {
                assert!(self.used().iter().any(|answer| matches!(answer, Err(Broken::NotConnected))));
            }
            PlatformError::Ambiguous(_) | PlatformError::Unsupported(_) => {}
            PlatformError::RateLimited { retry_after } => {
                assert!(statuses.contains(&429) && retry_after.is_none_or(|wait| wait <= pace::LONGEST));
            }
            PlatformError::NotFound => assert!(statuses.contains(&404)),
            PlatformError::Denied { status } | PlatformError::Refused { status, .. } => {
                assert!(statuses.contains(&status), "{status}");
            }
        }
        None
    }

    /// At most one write, of one of these bodies; and one where it is said to be done.
    fn wrote(&self, is_done: bool, bodies: &[Value]) {
        let sent = self.sent();
        let written: Vec<_> = sent.iter().filter(|(method, ..)| method != "GET").collect();
        assert!(!is_done || written.len() == 1);
        for (_, path, body, _) in written {
            assert!(path.contains(APP), "{path}");
            assert!(bodies.contains(body.as_ref().unwrap_or(&Value::Null)), "{body:?}");
            assert_eq!(body.is_none(), path.ends_with("/rollback"));
        }
    }

    /// What the answers say of a deployment: each row with its id.
    fn rows(&self, id: &str) -> Vec<Value> {
        let answers = self.used().iter().flatten().map(Scripted::json);
        let rows = answers.flat_map(|answer| {
            let listed = answer["data"].as_array().cloned().unwrap_or_default();
            listed.into_iter().chain([answer])
        });
        rows.filter(|row| row["id"] == id).collect()
    }

    fn deployment(&self, seen: &Deployment) {
        let rows = self.rows(seen.id.as_str());
        assert!(!seen.id.as_str().is_empty() && !rows.is_empty(), "{} was made up", seen.id);
        assert!(is_one_line(&seen.title) && seen.title.chars().count() <= 120, "{}", seen.title);
        let is_success = matches!(seen.phase, Phase::Active | Phase::Superseded);
        assert_eq!(seen.complete, is_success);
        assert!(rows.iter().any(|row| (row["status"] == "success") == is_success), "{rows:?}");
        for (_, runs) in seen.artifact.code.iter().chain(&seen.artifact.source) {
            assert!(rows.iter().any(|row| row["docker_image_url"] == **runs || row["commit_sha"] == **runs));
        }
        assert!(seen.artifact.code.len() <= 1 && seen.artifact.source.len() <= seen.artifact.code.len());
    }

    fn history(&self, list: &[Deployment]) {
        for (number, seen) in list.iter().enumerate() {
            self.deployment(seen);
            assert!(list[..number].iter().all(|other| other.id != seen.id));
            assert!(list[..number].iter().all(|other| other.created_ms >= seen.created_ms));
        }
        assert!(list.iter().filter(|seen| seen.phase == Phase::Active).count() <= 1);
    }

    fn view(&self, view: &AppView) {
        assert_eq!(view.pinned, None);
        assert!(view.pushes.is_none() || view.capabilities.pin == PinKind::Soft);
        if let Some(active) = &view.active {
            self.deployment(active);
            assert_eq!(active.phase, Phase::Active);
            assert_ne!(view.in_progress.as_ref(), Some(&active.id));
        }
        if let Some(id) = &view.in_progress {
            let ended = ["success", "failed", "cancelled", "skipped"];
            assert!(
                self.rows(id.as_str()).iter().any(|row| !ended.iter().any(|word| row["status"] == *word))
            );
        }
    }

    fn listed(&self, listed: &Listed) {
        assert!(listed.apps.len() <= 2);
        for (id, view) in &listed.apps {
            assert!(!self.rows(id.as_str()).is_empty(), "{id} is not there");
            match view {
                Ok(view) => self.view(view),
                Err(error) => assert!(!error.to_string().contains(SECRET)),
            }
        }
    }
}

fn validated(seen: &Validation) {
    assert_eq!((seen.valid, seen.by), (seen.error.is_none(), Support::Emulated));
    for said in seen.error.iter().chain(&seen.warnings) {
        assert!(is_one_line(&said.message) && !said.message.contains(SECRET) && !said.code.is_empty());
    }
}
