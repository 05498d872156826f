//! `rearguard explain`: one incident as a story, for a terminal, a ticket, a program, or as a picture.

use std::fs;
use std::path::Path;

use jiff::Timestamp;
use serde_json::Value;

use super::client::Client;
use super::{Error, ExplainArgs, Page};
use crate::server::IncidentDetail;
use crate::telling::{Account, markdown, svg, text};

pub(super) async fn run(args: &ExplainArgs, page: Page) -> Result<String, Error> {
    if args.svg.as_deref().is_some_and(|path| path.as_os_str() == "-") && (args.json || args.markdown) {
        let why = "--svg - prints the picture alone; give it a file to have --json or --markdown as well";
        return Err(Error::Usage(why.to_owned()));
    }
    let client = Client::open(&args.server)?;
    let answer = find(&client, args.id.as_deref()).await?;
    let raw = args.json.then(|| format!("{answer:#}\n"));
    let detail: IncidentDetail = client.understand(answer)?;
    let account = Account::of(detail.record, &detail.timeline, detail.told, Timestamp::now());
    match &args.svg {
        Some(path) if path.as_os_str() == "-" => return picture(&account),
        Some(path) => draw(&account, path)?,
        None => {}
    }
    if let Some(raw) = raw {
        return Ok(raw);
    }
    let picture = args.svg.as_deref().map(|path| path.to_string_lossy());
    Ok(if args.markdown {
        markdown::markdown(&account, picture.as_deref())
    } else {
        text::text(&account, page)
    })
}

/// The incident of that id, else the newest of the app of that name, else the newest of all.
async fn find(client: &Client, word: Option<&str>) -> Result<Value, Error> {
    let Some(word) = word else {
        return newest(client, &[])
            .await?
            .ok_or_else(|| Error::Failed("find an incident: there is none".to_owned()));
    };
    match client.get(&["incidents", word], &[]).await {
        Err(Error::Refused { code, message }) if code == "unknown_incident" => {
            let newest = newest(client, &[("app", word.to_owned())]).await?;
            newest.ok_or(Error::Refused { code, message })
        }
        found => found,
    }
}

async fn newest(client: &Client, of: &[(&str, String)]) -> Result<Option<Value>, Error> {
    let query = [of, &[("limit", "1".to_owned())]].concat();
    let list = client.get(&["incidents"], &query).await?;
    match list["incidents"][0]["id"].as_str() {
        Some(id) => client.get(&["incidents", id], &[]).await.map(Some),
        None => Ok(None),
    }
}

fn picture(account: &Account) -> Result<String, Error> {
    svg::svg(account).ok_or_else(|| {
        let id = &account.record.id;
        Error::Failed(format!("draw the signal of {id}: no samples of it were recorded"))
    })
}

fn draw(account: &Account, path: &Path) -> Result<(), Error> {
    fs::write(path, picture(account)?)
        .map_err(|error| Error::Failed(format!("write {}: {error}", path.display())))
}
