//! Follows an incident to its end, and says on the way what is new.

use std::io::{Write, stderr};
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::client::Client;
use super::page::clean;
use super::{Error, words};
use crate::decision::state::Outcome;
use crate::server::IncidentDetail;
use crate::telling::Account;

/// How often it is looked at.
const GLANCE: Duration = Duration::from_secs(1);
/// How often an order is looked at that was just given, and for how long at most before it is said to be under way: what can
/// be refused at once is refused by then.
const BLINK: Duration = Duration::from_millis(100);
pub(super) const BEGINS_WITHIN: Duration = Duration::from_secs(3);
/// A daemon that does not answer for so long is not waited for.
const PATIENCE: Duration = Duration::from_secs(60);

/// Waits for the end of an incident; gives how it ended if that is what was wanted.
pub(super) async fn follow(client: &Client, id: &str, wanted: Outcome) -> Result<String, Error> {
    let (mut told, mut state, mut silent_since) = (0, String::new(), None);
    loop {
        let detail = match look(client, id).await {
            Ok(detail) => detail,
            // A daemon that is being restarted goes on where it was.
            Err(error) if error.is_silence() => {
                let since = *silent_since.get_or_insert_with(|| {
                    say("", "the daemon does not answer just now");
                    Instant::now()
                });
                if since.elapsed() >= PATIENCE {
                    return Err(not_told(id, error));
                }
                tokio::time::sleep(GLANCE).await;
                continue;
            }
            Err(error) => return Err(not_told(id, error)),
        };
        silent_since = None;
        for entry in detail.timeline.iter().skip(told) {
            let after = entry.at.duration_since(detail.record.opened_at).as_secs_f64();
            say(&format!("{after:+.1}s"), &clean(&entry.text));
        }
        told = detail.timeline.len();
        if detail.record.state != state {
            state.clone_from(&detail.record.state);
            if detail.record.outcome.is_none() {
                say("", &state.replace('_', " "));
            }
        }
        if let Some(end) = ended(&detail, wanted) {
            return end;
        }
        tokio::time::sleep(GLANCE).await;
    }
}

/// Progress is for whoever waits, and nobody minds when it is lost.
fn say(after: &str, what: &str) {
    let _ = writeln!(stderr(), "{after:>9}  {what}");
}

/// An order that was just given.
pub(super) struct Given<'a> {
    /// The incident it is part of.
    pub(super) id: &'a str,
    /// The incident's state for as long as nothing of the order is done.
    pub(super) from: &'static str,
    /// How it ends when all goes well.
    pub(super) wanted: Outcome,
}

/// What came of an order in a short while.
#[derive(Debug)]
pub(super) enum Begun {
    /// It is over, as was wanted.
    Over(String),
    /// It is past the questions whether it can be done.
    UnderWay,
    /// Nothing is sent yet.
    NotYet,
    /// The daemon, which took it, cannot be reached any more.
    Silent,
}

/// What comes of an order that is in the journal, looked at for as long as `within`. Whatever but silence keeps it from being
/// known is an error.
pub(super) async fn begin(client: &Client, given: Given<'_>, within: Duration) -> Result<Begun, Error> {
    let Given { id, from, wanted } = given;
    let until = Instant::now() + within;
    loop {
        // A daemon that takes its time is as good as away.
        let far = match timeout_at(until.max(Instant::now() + BLINK), look(client, id)).await {
            Ok(Ok(detail)) => {
                if let Some(end) = ended(&detail, wanted) {
                    return end.map(Begun::Over);
                }
                if detail.record.state != from {
                    return Ok(Begun::UnderWay);
                }
                Begun::NotYet
            }
            Err(_) => Begun::Silent,
            Ok(Err(error)) if error.is_silence() => Begun::Silent,
            Ok(Err(error)) => return Err(not_told(id, error)),
        };
        if Instant::now() >= until {
            return Ok(far);
        }
        tokio::time::sleep(BLINK).await;
    }
}

fn not_told(id: &str, why: Error) -> Error {
    Error::NotTold { what: format!("it is taken as part of incident {id}"), why: Box::new(why) }
}

async fn look(client: &Client, id: &str) -> Result<IncidentDetail, Error> {
    let answer = client.get(&["incidents", id], &[]).await?;
    client.understand(answer)
}

fn ended(detail: &IncidentDetail, wanted: Outcome) -> Option<Result<String, Error>> {
    let record = &detail.record;
    let outcome = record.outcome?;
    let took = record.closed_at.unwrap_or(record.opened_at).duration_since(record.opened_at);
    let (id, why) = (&record.id, Account::why(record, &detail.timeline));
    let end = format!("{} after {}: {why}", outcome.word(), words::span(took.as_secs_f64()));
    if outcome == wanted {
        return Some(Ok(format!("{} {end}\n", record.app)));
    }
    Some(Err(Error::Refused {
        code: "other_outcome".to_owned(),
        message: format!("{} {end}; `rearguard explain {id}` says more", record.app),
    }))
}

#[cfg(test)]
mod tests;
