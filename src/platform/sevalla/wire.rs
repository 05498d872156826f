//! The JSON of applications, static sites and their deployments, and what rearguard makes of it.
//!
//! The description at <https://api.sevalla.com/v3/openapi.json> calls every field required, and yet fields have come
//! and gone between its versions. So every one may be missing, null or strange, an unknown word is `Unknown` or a
//! release, and a detail of a wrong type reads as missing. What would be dangerous to guess is which deployment is
//! live: a row that cannot be read and may be that one makes the answer unreadable.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::HashSet;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::super::http::{Reply, Unreadable, one_line};
use super::super::json::{lenient, millis, missing, object, parse, text};
use super::image::Address;
use super::nature::{Nature, Sleep, Source};
use crate::decision::capability::{Capabilities, PinKind, Pushes, Targeting};
use crate::decision::observation::{AppView, Artifact, Cause, Deployment, Phase};
use crate::ids::DeploymentId;

/// What the code of a deployment with an image is called.
pub(super) const IMAGE: &str = "image";
/// And of one of which only the commit is known.
const COMMIT: &str = "commit";
/// The most of a deployment's title that is kept.
const TITLE: usize = 120;

/// The image among what a deployment runs.
pub(super) fn image_of(code: &[(String, String)]) -> Option<&str> {
    code.iter().find(|(name, _)| name == IMAGE).map(|(_, image)| image.as_str())
}

/// A page of anything.
#[derive(Deserialize)]
pub(super) struct Page<'a> {
    #[serde(borrow)]
    pub(super) data: Vec<&'a RawValue>,
    /// How many there are on all pages.
    #[serde(default, deserialize_with = "lenient")]
    pub(super) total: Option<u64>,
}

/// An application or a static site, whole or as a list has it.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct App {
    #[serde(deserialize_with = "lenient")]
    pub(super) id: String,
    #[serde(deserialize_with = "lenient")]
    source: Option<String>,
    #[serde(deserialize_with = "lenient")]
    pub(super) status: String,
    #[serde(deserialize_with = "lenient")]
    pub(super) auto_deploy: Option<bool>,
    #[serde(deserialize_with = "lenient")]
    pub(super) is_suspended: bool,
    #[serde(deserialize_with = "lenient")]
    hibernation_enabled: Option<bool>,
    #[serde(deserialize_with = "lenient")]
    hibernate_after_seconds: Option<u64>,
}

impl App {
    /// What it is made from, where that is said.
    pub(super) fn source(&self) -> Option<Source> {
        self.source.as_deref().map(Source::of)
    }

    /// What a read of the app alone does not say is not so.
    pub(super) fn whole(self) -> Self {
        Self { hibernation_enabled: self.hibernation_enabled.or(Some(false)), ..self }
    }

    /// Whether it is put to sleep when nobody asks it anything, where that is said: a list leaves it out.
    pub(super) fn sleep(&self) -> Option<Sleep> {
        let after = self.hibernate_after_seconds.filter(|after| *after > 0);
        let after_ms = after.map(|after| after.saturating_mul(1000));
        self.hibernation_enabled.map(|sleeps| if sleeps { Sleep::AfterIdle(after_ms) } else { Sleep::Never })
    }

    /// What a push does, where that can be changed and is said, and what keeps pushes away: what cannot be seen to be
    /// paused is not paused either.
    pub(super) fn pushes(&self, nature: Nature) -> (Option<Pushes>, PinKind) {
        let deploys = self.auto_deploy.filter(|_| nature.source.can_pause());
        let pushes = deploys.map(|deploys| if deploys { Pushes::Deploy } else { Pushes::Paused });
        (pushes, if pushes.is_some() { PinKind::Soft } else { PinKind::Absent })
    }
}

/// A deployment of either kind.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Row<'a> {
    #[serde(borrow, deserialize_with = "text")]
    id: Cow<'a, str>,
    #[serde(borrow, deserialize_with = "text")]
    status: Cow<'a, str>,
    #[serde(rename = "type", borrow, deserialize_with = "text")]
    kind: Cow<'a, str>,
    #[serde(borrow, deserialize_with = "text")]
    trigger: Cow<'a, str>,
    #[serde(borrow, deserialize_with = "text")]
    docker_image_url: Cow<'a, str>,
    #[serde(borrow, deserialize_with = "text")]
    branch: Cow<'a, str>,
    #[serde(borrow, deserialize_with = "text")]
    commit_sha: Cow<'a, str>,
    #[serde(borrow, deserialize_with = "text")]
    commit_message: Cow<'a, str>,
    #[serde(borrow, deserialize_with = "text")]
    author_login: Cow<'a, str>,
    #[serde(borrow, deserialize_with = "text")]
    finished_at: Cow<'a, str>,
    #[serde(borrow, deserialize_with = "text")]
    created_at: Cow<'a, str>,
    /// A static site's branch on an address of its own.
    #[serde(deserialize_with = "lenient")]
    is_preview: bool,
}

impl Row<'_> {
    fn is_success(&self) -> bool {
        self.status == "success"
    }

    fn id(&self) -> DeploymentId {
        DeploymentId::from(&*self.id)
    }

    fn created_ms(&self) -> i64 {
        millis(&self.created_at).unwrap_or(0)
    }

    /// From its creation to its end, if that was a success.
    fn took_ms(&self) -> Option<u64> {
        let took = millis(&self.finished_at)?.checked_sub(millis(&self.created_at)?)?;
        u64::try_from(took).ok().filter(|_| self.is_success())
    }

    /// A success is the live one or was.
    fn phase(&self, is_live: bool) -> Phase {
        match &*self.status {
            "waiting" | "inProgress" => Phase::InProgress,
            "success" if is_live => Phase::Active,
            "success" => Phase::Superseded,
            "failed" => Phase::Error,
            "cancelled" | "skipped" => Phase::Canceled,
            _ => Phase::Unknown,
        }
    }

    /// Told by the trigger, which rows of a static site do not have. The type says who began it, a person or a push: both
    /// begin releases, and a push surely none that anybody asked for. Beside a trigger we do not know it is not relied upon.
    fn cause(&self) -> Cause {
        match &*self.trigger {
            "ROLLBACK_DEPLOYMENT" => Cause::Rollback,
            "RESTART" => Cause::Restart,
            "" | "AUTO_DEPLOY_ON_PUSH" if self.kind == "automatic" => Cause::Push,
            _ => Cause::Release,
        }
    }

    /// The image, or else the commit, and never both. The image is what runs; the commit beside it may be that of a
    /// checkout that did not take place, as when an older image is deployed again. Of two rows that name the same image
    /// only one of which has a commit, both together could not be told to be the same. So the commit beside an image
    /// is no more than its source, which speaks where only one of two rows names an image.
    fn artifact(&self) -> Artifact {
        let said = |name: &str, what: &str| (!what.is_empty()).then(|| (name.to_owned(), what.to_owned()));
        let mut said =
            [said(IMAGE, &self.docker_image_url), said(COMMIT, &self.commit_sha)].into_iter().flatten();
        let code = said.next().into_iter().collect();
        Artifact { code, source: said.collect(), ..Artifact::default() }
    }

    /// `AUTO_DEPLOY_ON_PUSH main: Fix the basket (jane)`, or as much of it as there is.
    fn title(&self) -> String {
        let trigger = if self.trigger.is_empty() { &self.kind } else { &self.trigger };
        let mut title = format!("{trigger} {}", self.branch);
        let message = self.commit_message.trim().lines().next().unwrap_or_default();
        if !message.is_empty() {
            title = format!("{}: {message}", title.trim());
        }
        if !self.author_login.is_empty() {
            title = format!("{title} ({})", self.author_login);
        }
        one_line(title.trim_start_matches([':', ' ']), TITLE)
    }

    fn seen(&self, is_live: bool) -> Deployment {
        Deployment {
            phase: self.phase(is_live),
            cause: self.cause(),
            created_ms: self.created_ms(),
            complete: self.is_success(),
            artifact: self.artifact(),
            cloned_from: None,
            took_ms: self.took_ms(),
            title: self.title(),
            id: self.id(),
        }
    }
}

/// What a poll needs to know of an app's newest deployments.
pub(super) struct Newest {
    /// The live one: the newest that succeeded. Nothing else says so.
    pub(super) live: Option<Deployment>,
    live_age_ms: Option<u64>,
    in_progress: Option<DeploymentId>,
    /// How many the list had, readable or not.
    pub(super) size: usize,
}

impl Newest {
    /// The app as far as its deployments tell.
    pub(super) fn view(self, nature: Nature) -> AppView {
        let can = nature.capabilities();
        // Going back to what is live now is exact where its address cannot come to mean another image.
        let image = self.live.as_ref().and_then(|live| image_of(&live.artifact.code));
        let is_exact = can.targeting == Targeting::ByCode && image.map(Address::of) == Some(Address::Digest);
        AppView {
            active: self.live,
            active_age_ms: self.live_age_ms,
            in_progress: self.in_progress,
            pinned: None,
            pushes: None,
            capabilities: Capabilities { revert_is_exact: is_exact, ..can },
            sleeps_after_ms: nature.sleeps_after_ms(),
        }
    }
}

/// All of an app's newest deployments.
pub(super) struct History {
    /// The newest first, by creation.
    pub(super) deployments: Vec<Deployment>,
    live: Option<usize>,
    /// The platform's clock.
    pub(super) date_ms: Option<i64>,
}

impl History {
    pub(super) fn live(&self) -> Option<&Deployment> {
        self.deployments.get(self.live?)
    }

    /// What is waiting or under way since the live one, or may be for all we know.
    pub(super) fn in_progress(&self) -> Option<&Deployment> {
        let newer = &self.deployments[..self.live.unwrap_or(self.deployments.len())];
        newer.iter().find(|entry| may_be_under_way(entry.phase))
    }
}

/// What can be read of a list of deployments.
struct Rows<'a> {
    /// The newest first, by creation.
    rows: Vec<Row<'a>>,
    /// Which of them is live.
    live: Option<usize>,
    /// How many there were, readable or not.
    size: usize,
}

fn rows(reply: &Reply) -> Result<Rows<'_>, Unreadable> {
    let Page { data, .. } = parse(reply)?;
    let mut rows: Vec<Row<'_>> = Vec::with_capacity(data.len());
    let mut known = HashSet::new();
    for entry in &data {
        match object::<Row<'_>>(entry).filter(|row| !row.id.is_empty()) {
            Some(row) if row.is_preview || !known.insert(row.id.clone()) => {}
            Some(row) => rows.push(row),
            // The newest come first: this one may be the live one.
            None if !rows.iter().any(Row::is_success) => return Err(missing("a deployment with an id")),
            None => {}
        }
    }
    // Those that nobody dates, or that were created at the same moment, stay in the platform's order.
    rows.sort_by_cached_key(|row| Reverse(row.created_ms()));
    let live = rows.iter().position(Row::is_success);
    Ok(Rows { rows, live, size: data.len() })
}

/// A list of deployments, as far as a poll needs it: most of its rows say nothing new.
pub(super) fn newest(reply: &Reply) -> Result<Newest, Unreadable> {
    let Rows { rows, live, size } = rows(reply)?;
    let newer = &rows[..live.unwrap_or(rows.len())];
    let in_progress = newer.iter().find(|row| may_be_under_way(row.phase(false)));
    let live = live.map(|live| &rows[live]);
    let live_since = live.and_then(|live| millis(&live.finished_at));
    let live_age_ms = live_since.zip(reply.date_ms).map(|(since, now)| {
        // A negative age comes from the seconds of `Date`: it went live just now.
        u64::try_from(now.saturating_sub(since)).unwrap_or(0)
    });
    let in_progress = in_progress.map(Row::id);
    Ok(Newest { live: live.map(|live| live.seen(true)), live_age_ms, in_progress, size })
}

/// A list of deployments.
pub(super) fn history(reply: &Reply) -> Result<History, Unreadable> {
    let Rows { rows, live, .. } = rows(reply)?;
    let seen = rows.iter().enumerate().map(|(place, row)| row.seen(live == Some(place)));
    Ok(History { deployments: seen.collect(), live, date_ms: reply.date_ms })
}

fn may_be_under_way(phase: Phase) -> bool {
    matches!(phase, Phase::InProgress | Phase::Unknown)
}

/// The deployment that a write made.
pub(super) fn made(reply: &Reply) -> Result<Deployment, Unreadable> {
    let row: Row = parse(reply)?;
    if row.id.is_empty() {
        return Err(missing("a deployment with an id"));
    }
    Ok(row.seen(true))
}
