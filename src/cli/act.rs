//! `rearguard pause`, `resume`, `approve`, `reject`, `rollback`, `commit`, `revert`: a person's word to the daemon.

mod resume;

use std::env;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::client::Client;
use super::follow::{BEGINS_WITHIN, Begun, Given, begin, follow};
use super::{
    ApproveArgs, Error, PauseArgs, RejectArgs, ResumeArgs, RollbackArgs, SettleArgs, WordArgs, words,
};
use crate::decision::state::Outcome;
use crate::server::AppStatus;

#[derive(Deserialize)]
struct Apps {
    apps: Vec<AppStatus>,
}

pub(super) async fn pause(args: &PauseArgs) -> Result<String, Error> {
    let client = Client::open(&args.word.server)?;
    let mut said = said(&args.word);
    if let Some(lasts) = args.lasts {
        said.insert("for_seconds".to_owned(), json!(lasts.as_secs_f64()));
    }
    client.post(&path(args.app.as_deref(), "pause"), said).await?;
    let what = match &args.app {
        Some(app) => format!("{app} is paused: nothing is written for it"),
        None => "everything is paused: nothing is written".to_owned(),
    };
    let resume = args.app.as_deref().unwrap_or("--all");
    Ok(match args.lasts {
        Some(lasts) => {
            format!("{what} for {}, or until `rearguard resume {resume}`\n", words::span(lasts.as_secs_f64()))
        }
        None => format!("{what} until `rearguard resume {resume}`\n"),
    })
}

pub(super) async fn resume(args: &ResumeArgs) -> Result<String, Error> {
    let client = Client::open(&args.word.server)?;
    let Some(app) = &args.app else {
        client.post(&path(None, "resume"), said(&args.word)).await?;
        let after = client.get(&["apps"], &[]).await.and_then(|answer| client.understand(answer));
        let Apps { apps } = after.map_err(resumed)?;
        return resume::all_are(&apps, Timestamp::now());
    };
    let before = client.get(&["apps", app], &[]).await.and_then(|answer| client.understand(answer));
    let before: AppStatus = before.map_err(unsent)?;
    client.post(&path(Some(app), "resume"), said(&args.word)).await?;
    let after = client.get(&["apps", app], &[]).await.and_then(|answer| client.understand(answer));
    resume::one_is(&before, &after.map_err(resumed)?, Timestamp::now())
}

/// What is to be over was asked first.
fn unsent(why: Error) -> Error {
    match why {
        // It says so itself: there is no such app.
        Error::Refused { .. } => why,
        why => Error::Unsent(Box::new(why)),
    }
}

/// The word to resume was taken, and nothing more is known.
fn resumed(why: Error) -> Error {
    Error::NotTold { what: "the word to resume is taken".to_owned(), why: Box::new(why) }
}

pub(super) async fn approve(args: &ApproveArgs) -> Result<String, Error> {
    let client = Client::open(&args.word.server)?;
    let mut said = said(&args.word);
    if let Some(target) = &args.target {
        said.insert("target_deployment".to_owned(), json!(target));
    }
    let done = client.post(&["incidents", &args.id, "approve"], said).await?;
    if args.wait {
        return follow(&client, &args.id, Outcome::Committed).await;
    }
    let to = done.target_deployment.map_or(String::new(), |target| format!(", to go back to {target}"));
    Ok(format!("approved{to}; `rearguard explain {}` shows how it goes on\n", args.id))
}

pub(super) async fn reject(args: &RejectArgs) -> Result<String, Error> {
    let client = Client::open(&args.word.server)?;
    client.post(&["incidents", &args.id, "reject"], said(&args.word)).await?;
    if args.wait {
        return follow(&client, &args.id, Outcome::Refused).await;
    }
    Ok(format!("rejected: there will be no rollback; `rearguard explain {}` shows the end\n", args.id))
}

pub(super) async fn rollback(args: &RollbackArgs) -> Result<String, Error> {
    let mut said = said(&args.word);
    if let Some(to) = &args.to {
        said.insert("to".to_owned(), json!(to));
    }
    for (word, is_accepted) in
        [("accept_warnings", args.accept_warnings), ("accept_migrations", args.accept_migrations)]
    {
        if is_accepted {
            said.insert(word.to_owned(), json!(true));
        }
    }
    let order = Order {
        app: &args.app,
        verb: "rollback",
        from: "validating",
        wanted: Outcome::Committed,
        wait: args.wait,
    };
    order.give(&Client::open(&args.word.server)?, said).await
}

pub(super) async fn commit(args: &SettleArgs) -> Result<String, Error> {
    let order = Order {
        app: &args.app,
        verb: "commit",
        from: "soaking",
        wanted: Outcome::Committed,
        wait: args.wait,
    };
    order.give(&Client::open(&args.word.server)?, said(&args.word)).await
}

pub(super) async fn revert(args: &SettleArgs) -> Result<String, Error> {
    let order =
        Order { app: &args.app, verb: "revert", from: "soaking", wanted: Outcome::Reverted, wait: args.wait };
    order.give(&Client::open(&args.word.server)?, said(&args.word)).await
}

/// What a person orders.
struct Order<'a> {
    app: &'a str,
    verb: &'a str,
    /// The incident's state for as long as nothing of it is done.
    from: &'static str,
    /// How it ends when all goes well.
    wanted: Outcome,
    wait: bool,
}

impl Order<'_> {
    async fn give(&self, client: &Client, said: Map<String, Value>) -> Result<String, Error> {
        let done = client.post(&path(Some(self.app), self.verb), said).await?;
        let Some(id) = done.incident else { return Ok(format!("{} taken\n", self.verb)) };
        if self.wait {
            return follow(client, id.as_str(), self.wanted).await;
        }
        // What could not even be begun is no success.
        let given = Given { id: id.as_str(), from: self.from, wanted: self.wanted };
        Ok(self.told(begin(client, given, BEGINS_WITHIN).await?, id.as_str()))
    }

    /// What came of it so far.
    fn told(&self, begun: Begun, id: &str) -> String {
        let far = match begun {
            Begun::Over(told) => return told,
            Begun::UnderWay => "is under way",
            Begun::NotYet => "is taken, and nothing is sent yet as far as is known",
            Begun::Silent => "is taken; the daemon does not answer just now",
        };
        format!("{} of {} {far}; `rearguard explain {id}` shows how it goes on\n", self.verb, self.app)
    }
}

/// The path of an action on an app, or on all of them.
fn path<'a>(app: Option<&'a str>, verb: &'a str) -> Vec<&'a str> {
    app.map_or_else(|| vec![verb], |app| vec!["apps", app, verb])
}

/// Who says it: a name in the journal, and no proof of anything.
fn said(word: &WordArgs) -> Map<String, Value> {
    let named = |name: &str| env::var(name).ok().filter(|name| !name.trim().is_empty());
    let by = word.by.clone().or_else(|| named("SUDO_USER")).or_else(|| named("USER"));
    by.map(|by| ("by".to_owned(), json!(by.trim()))).into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_resumes_is_told_that_nothing_was_sent_where_the_app_could_not_be_asked() {
        let lost = Error::Unreachable { url: "http://x/".to_owned(), detail: "refused".to_owned() };
        assert!(unsent(lost).to_string().starts_with("nothing was sent: no daemon answers at http://x/"));
        let unknown =
            Error::Refused { code: "unknown_app".to_owned(), message: "there is no such app".to_owned() };
        assert!(unsent(unknown).to_string().starts_with("there is no such app"));
    }
}
