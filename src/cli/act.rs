//! `rearguard pause`, `resume`, `approve`, `reject`: a person's word to the daemon.

use super::client::Client;
use super::{Error, PauseArgs, WordArgs};

pub(super) async fn pause(args: &PauseArgs) -> Result<String, Error> {
    send_pause(args, "pause").await?;
    Ok(match &args.app {
        Some(app) => format!("{app} is paused: nothing is written for it until `rearguard resume {app}`\n"),
        None => "everything is paused: nothing is written until `rearguard resume --all`\n".to_owned(),
    })
}

pub(super) async fn resume(args: &PauseArgs) -> Result<String, Error> {
    let Some(app) = &args.app else {
        send_pause(args, "resume").await?;
        return Ok(
            "the pause of everything is over and the storm breaker is closed; what is held stays held\n"
                .to_owned(),
        );
    };
    let before = Client::open(&args.server)?.get(&["apps", app], &[]).await?;
    send_pause(args, "resume").await?;
    let is_held = before["state"] == "held";
    Ok(match (before["paused"] == true, is_held) {
        (true, false) => format!("{app} is guarded again: its pause is over\n"),
        (true, true) => format!(
            "the pause of {app} is over; it is still held: `rearguard resume {app}` once more leaves its pin to you\n"
        ),
        (false, true) => {
            format!("{app} is guarded again: its hold is over, and what is pinned is yours to settle\n")
        }
        (false, false) => format!("{app} was neither paused nor held\n"),
    })
}

pub(super) async fn approve(args: &WordArgs) -> Result<String, Error> {
    send_word(args, "approve").await?;
    Ok(format!("approved; `rearguard explain {}` shows how it goes on\n", args.id))
}

pub(super) async fn reject(args: &WordArgs) -> Result<String, Error> {
    send_word(args, "reject").await?;
    Ok(format!("rejected: there will be no rollback; `rearguard explain {}` shows the end\n", args.id))
}

async fn send_pause(args: &PauseArgs, verb: &str) -> Result<(), Error> {
    let client = Client::open(&args.server)?;
    match &args.app {
        Some(app) => client.post(&["apps", app, verb]).await?,
        None => client.post(&[verb]).await?,
    };
    Ok(())
}

async fn send_word(args: &WordArgs, verb: &str) -> Result<(), Error> {
    let client = Client::open(&args.server)?;
    client.post(&["incidents", &args.id, verb]).await?;
    Ok(())
}
