//! `rearguard incidents`: what happened lately, a line each.

use jiff::Timestamp;
use serde::Deserialize;

use super::client::Client;
use super::{Error, IncidentsArgs, Page, words};
use crate::decision::state::Outcome;
use crate::journal::IncidentRecord;
use crate::telling::markdown::escape;

#[derive(Deserialize)]
struct Incidents {
    incidents: Vec<IncidentRecord>,
}

pub(super) async fn run(args: &IncidentsArgs, page: Page) -> Result<String, Error> {
    let client = Client::open(&args.server)?;
    let mut query = vec![("limit", args.limit.to_string())];
    query.extend(args.app.clone().map(|app| ("app", app)));
    let answer = client.get(&["incidents"], &query).await?;
    if let Some(app) = &args.app
        && answer["incidents"].as_array().is_some_and(Vec::is_empty)
    {
        // One that is guarded had none; of any other name the daemon says that there is no such app.
        client.get(&["apps", app], &[]).await?;
    }
    if args.json {
        return Ok(format!("{answer:#}\n"));
    }
    let Incidents { incidents } = client.understand(answer)?;
    if args.markdown {
        return Ok(markdown(&incidents));
    }
    Ok(render(&incidents, page, Timestamp::now()))
}

fn render(incidents: &[IncidentRecord], page: Page, now: Timestamp) -> String {
    if incidents.is_empty() {
        return "no incidents\n".to_owned();
    }
    let id = incidents.iter().map(|incident| incident.id.as_str().len()).max().unwrap_or(0).max(8);
    let rule = incidents.iter().map(|incident| rule_of(incident).len()).max().unwrap_or(0).max(4);
    let head = format!(
        "{:<id$}  {:<17}  {:<rule$}  {:<19}  {:<7}  {:<7}  WHY",
        "INCIDENT", "STATE", "RULE", "OPENED (UTC)", "DETECT", "RESTORE"
    );
    let why = incidents.iter().map(|incident| incident.why_in_codes().len()).max().unwrap_or(0);
    let is_wide = head.len() - "WHY".len() + why <= page.width;
    let mut text = if is_wide { format!("{}\n", page.dim(&head)) } else { String::new() };
    for incident in incidents {
        let word = incident.outcome.map_or(incident.state.as_str(), |outcome| outcome.word());
        let state = match incident.outcome {
            None => page.red(word),
            Some(Outcome::Committed | Outcome::Restarted) => page.green(word),
            Some(Outcome::Failed | Outcome::Held) => page.yellow(word),
            Some(_) => word.to_owned(),
        };
        let opened = incident.opened_at.strftime("%Y-%m-%d %H:%M:%S").to_string();
        if !is_wide {
            text.push_str(&format!("{:<id$}  {state}\n", incident.id.as_str()));
            text.push_str(&page.hang("    ", &in_words(incident, &opened)));
            continue;
        }
        let time = |seconds: Option<f64>| seconds.map_or("-".to_owned(), words::span);
        text.push_str(&format!(
            "{:<id$}  {state}{}  {:<rule$}  {opened:<19}  {:<7}  {:<7}  {}\n",
            incident.id.as_str(),
            " ".repeat(17_usize.saturating_sub(word.len())),
            rule_of(incident),
            time(incident.time_to_detect_seconds),
            time(incident.time_to_restore_seconds),
            incident.why_in_codes(),
        ));
    }
    let open = incidents.iter().filter(|incident| incident.outcome.is_none()).count();
    if open > 0 {
        let newest = incidents.iter().map(|incident| incident.opened_at).max().unwrap_or(now);
        text.push_str(&format!("\n{open} open; the newest began {}\n", words::ago(newest, now)));
    }
    text
}

/// What the columns of a wide page say beside the state.
fn in_words(incident: &IncidentRecord, opened: &str) -> String {
    let mut facts = vec![
        format!("{opened} UTC"),
        if incident.rule.is_some() { format!("rule {}", rule_of(incident)) } else { "asked".to_owned() },
    ];
    let time =
        |what: &str, seconds: Option<f64>| seconds.map(|seconds| format!("{what} {}", words::span(seconds)));
    facts.extend(time("detected after", incident.time_to_detect_seconds));
    facts.extend(time("restored after", incident.time_to_restore_seconds));
    facts.push(incident.why_in_codes());
    facts.join(", ")
}

/// What opened it.
fn rule_of(incident: &IncidentRecord) -> &str {
    incident.rule.as_ref().map_or("(asked)", |rule| rule.as_str())
}

/// The same as a table of Markdown.
fn markdown(incidents: &[IncidentRecord]) -> String {
    if incidents.is_empty() {
        return "no incidents\n".to_owned();
    }
    let mut text = "| incident | app | state | rule | opened (UTC) | detect | restore | why |\n\
                    | --- | --- | --- | --- | --- | ---: | ---: | --- |\n"
        .to_owned();
    for incident in incidents {
        let time = |seconds: Option<f64>| seconds.map_or("-".to_owned(), words::span);
        let cells = [
            incident.id.to_string(),
            incident.app.to_string(),
            incident.outcome.map_or(incident.state.as_str(), |outcome| outcome.word()).to_owned(),
            rule_of(incident).to_owned(),
            incident.opened_at.strftime("%Y-%m-%d %H:%M:%S").to_string(),
            time(incident.time_to_detect_seconds),
            time(incident.time_to_restore_seconds),
            format!("{}: {}", incident.why_in_codes(), incident.why()),
        ];
        text.push_str(&format!("| {} |\n", cells.map(|cell| escape(&cell)).join(" | ")));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decision::effect::Reason;

    fn incident(id: &str, outcome: Option<Outcome>, reason: Reason) -> IncidentRecord {
        IncidentRecord {
            id: id.into(),
            app: "checkout".into(),
            app_id: "4f6c71e2".into(),
            state: outcome.map_or("awaiting_approval", |_| "closed").to_owned(),
            outcome,
            reason,
            detail: None,
            rule: Some("down".into()),
            asked_by: None,
            opened_at: "2026-11-21T02:13:07Z".parse().unwrap(),
            closed_at: None,
            approve_by: None,
            bad_deployment: "d2".into(),
            target_deployment: None,
            rollback_deployment: None,
            time_to_detect_seconds: Some(6.2),
            time_to_restore_seconds: outcome.map(|_| 74.0),
        }
    }

    #[test]
    fn incidents_are_a_table_and_open_ones_are_counted() {
        let now = "2026-11-21T02:15:09Z".parse().unwrap();
        let list = [
            incident("checkout-1a2b3c4d", None, Reason::AwaitingApproval),
            incident("web-99aa00bb", Some(Outcome::Committed), Reason::SoakHealthy),
        ];
        insta::assert_snapshot!(render(&list, Page::plain(100), now), @r#"
    INCIDENT           STATE              RULE  OPENED (UTC)         DETECT   RESTORE  WHY
    checkout-1a2b3c4d  awaiting_approval  down  2026-11-21 02:13:07  6.2s     -        awaiting_approval
    web-99aa00bb       committed          down  2026-11-21 02:13:07  6.2s     1m 14s   soak_healthy

    1 open; the newest began 2m 02s ago
    "#);
        insta::assert_snapshot!(render(&list, Page::plain(80), now), @r#"
    checkout-1a2b3c4d  awaiting_approval
        2026-11-21 02:13:07 UTC, rule down, detected after 6.2s, awaiting_approval
    web-99aa00bb       committed
        2026-11-21 02:13:07 UTC, rule down, detected after 6.2s, restored after 1m
        14s, soak_healthy

    1 open; the newest began 2m 02s ago
    "#);
        assert_eq!(render(&[], Page::plain(100), now), "no incidents\n");
    }
}
