//! People: they push releases good and bad, meddle while the guard is at work, and answer when it asks or gives up.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use rearguard::lab::{Action, Fate, Health, Release};
use serde_json::Value;
use tokio::time::Instant;

use crate::ground::{BUSY, Ground, busy, idle};

/// Pushes to one busy app for as long as the soak lasts.
pub(crate) async fn release_for_ever(ground: Arc<Ground>, n: usize) {
    let mut dice = fastrand::Rng::with_seed(n as u64);
    let app = busy(n);
    let mut version = 1;
    while ground.nap(dice.u64(500..1_500)).await {
        version += 1;
        let (kind, release) = draw(&mut dice, version);
        let fate = if dice.u32(0..30) == 0 { Fate::Fails } else { Fate::Works };
        ground.lab.set_rollback_fate(&app, fate).unwrap();
        match ground.lab.push(&app, release) {
            Ok(Some(_)) => ground.count(format!("release: {kind}")),
            _ => ground.count("release: not taken, pinned"),
        }
        if dice.u32(0..6) == 0 {
            ground.nap(dice.u64(0..4_000)).await;
            meddle(&ground, &mut dice, &app).await;
        }
        ground.nap(dice.u64(3_000..6_000)).await;
    }
}

/// One good release for each of the others, one after the other within `span`.
pub(crate) async fn release_once(ground: Arc<Ground>, span: Duration) {
    let others = ground.apps - BUSY;
    let pause = u64::try_from(span.as_millis()).unwrap() / others as u64;
    for n in 0..others {
        if !ground.nap(pause).await {
            return;
        }
        let pushed = ground.lab.push(&idle(n), Release::good("v2"));
        ground.count(if pushed.is_ok() {
            "release: good, to the others"
        } else {
            "release: not taken, pinned"
        });
    }
}

fn draw(dice: &mut fastrand::Rng, version: u32) -> (&'static str, Release) {
    let good = Release::good(&format!("v{version}"));
    let bad = Health::Bad { status: dice.choice([500, 503, 404]).unwrap() };
    match dice.u32(0..100) {
        0..38 => ("good", good),
        38..46 => ("good, but not when rolled back to", Release { when_rolled_back: Some(bad), ..good }),
        46..74 => ("bad", Release { health: bad, ..good }),
        74..79 => ("fails often", Release { health: Health::Failing { ratio: 0.8 }, ..good }),
        79..83 => ("slow", Release { health: Health::Slow { latency_ms: 1_300 }, ..good }),
        83..87 => (
            "bad after a while",
            Release { health: Health::BadAfter { after_ms: 1_500, status: 500 }, ..good },
        ),
        87..90 => (
            "good after a while",
            Release { health: Health::GoodAfter { after_ms: 1_500, status: 503 }, ..good },
        ),
        90..92 => ("does not build", Release { build: Fate::Fails, ..good }),
        92..94 => ("does not roll out", Release { rollout: Fate::Fails, ..good }),
        94 => ("sticks", Release { rollout: Fate::Sticks, ..good }),
        95..97 => (
            "bad, with a migration",
            Release { health: bad, migrations: vec![format!("migrate {version}")], ..good },
        ),
        _ => ("bad, with a static site", Release { health: bad, static_site: true, ..good }),
    }
}

/// Something that nobody told the guard of.
async fn meddle(ground: &Ground, dice: &mut fastrand::Rng, app: &str) {
    let action = match dice.u32(0..14) {
        0 => Action::Commit,
        1 => Action::Revert,
        2 | 3 => Action::Rollback { to: None, skip_pin: false },
        4 => Action::Rollback { to: None, skip_pin: true },
        5 => Action::Restart,
        6 => Action::Deploy,
        7 => Action::Maintenance,
        8 => Action::Autoscale,
        9 => Action::AutoRollback { to: None },
        10 => Action::Cancel { deployment: None },
        11 => Action::Push { release: Box::new(Release::good("hotfix")) },
        12 => return outage(ground, dice, app).await,
        _ => return pause(ground, dice, app).await,
    };
    let word = serde_json::to_value(&action).unwrap()["action"].as_str().unwrap_or("?").to_owned();
    let done = ground.lab.person(app, action).is_ok();
    ground.count(format!("person: {word}{}", if done { "" } else { ", refused" }));
}

/// The site fails whatever it runs.
async fn outage(ground: &Ground, dice: &mut fastrand::Rng, app: &str) {
    let from = ground.now_ms();
    ground.lab.set_health(app, Health::Bad { status: 500 }).unwrap();
    ground.nap(dice.u64(500..3_000)).await;
    ground.lab.set_health(app, Health::Good).unwrap();
    ground.trouble.lock().unwrap().entry(app.to_owned()).or_default().push((from, ground.now_ms()));
    ground.count("person: outage of a site");
}

async fn pause(ground: &Ground, dice: &mut fastrand::Rng, app: &str) {
    if !ground.post(&format!("/api/v1/apps/{app}/pause")).await {
        return;
    }
    let from = ground.now_ms();
    ground.nap(dice.u64(2_000..8_000)).await;
    ground.paused.lock().unwrap().entry(app.to_owned()).or_default().push((from, ground.now_ms()));
    while !ground.post(&format!("/api/v1/apps/{app}/resume")).await {
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    ground.count("operator: pause and resume");
}

/// How long an app has been the way it is, and what was done about it.
struct Noticed {
    state: String,
    since: Instant,
}

/// Looks after the busy apps until told to stop: approves, rejects, settles what is held or left pinned.
pub(crate) async fn answer_for_ever(ground: Arc<Ground>, stop: tokio_util::sync::CancellationToken) {
    let mut dice = fastrand::Rng::with_seed(4_711);
    let mut noticed: HashMap<String, Noticed> = HashMap::new();
    while !stop.is_cancelled() {
        tokio::time::sleep(Duration::from_secs(1)).await;
        for n in 0..BUSY {
            let app = busy(n);
            let Some(status) = ground.get(&format!("/api/v1/apps/{app}")).await else { continue };
            answer(&ground, &mut dice, &app, &status, &mut noticed).await;
        }
    }
}

async fn answer(
    ground: &Ground,
    dice: &mut fastrand::Rng,
    app: &str,
    status: &Value,
    noticed: &mut HashMap<String, Noticed>,
) {
    let word = |key: &str| status[key].as_str().unwrap_or("").to_owned();
    let (pin, way) = (word("pinned_deployment"), word("in_progress_deployment"));
    let state = [word("state"), word("stage"), word("incident"), pin.clone(), way.clone()].join(" ");
    let seen = noticed
        .entry(app.to_owned())
        .or_insert_with(|| Noticed { state: String::new(), since: Instant::now() });
    if seen.state != state {
        *seen = Noticed { state, since: Instant::now() };
    }
    let since = seen.since.elapsed().as_secs();
    if word("stage") == "awaiting_approval" {
        let (incident, verb) = (word("incident"), if dice.u32(0..4) == 0 { "reject" } else { "approve" });
        if ground.post(&format!("/api/v1/incidents/{incident}/{verb}")).await {
            ground.count(format!("operator: {verb}"));
        }
    } else if !way.is_empty() && since >= 6 {
        act(ground, app, Action::Cancel { deployment: None }, "a deployment that sticks is cancelled");
    } else if word("state") == "held" && since >= 3 {
        if !pin.is_empty() {
            settle(ground, dice, app);
        }
        if ground.post(&format!("/api/v1/apps/{app}/resume")).await {
            ground.count("operator: resume a held app");
        }
    } else if word("state") != "incident" && !pin.is_empty() && since >= 4 {
        settle(ground, dice, app);
    }
}

fn settle(ground: &Ground, dice: &mut fastrand::Rng, app: &str) {
    let action = if dice.bool() { Action::Commit } else { Action::Revert };
    act(ground, app, action, "a pin that was left is settled");
}

fn act(ground: &Ground, app: &str, action: Action, what: &str) {
    if ground.lab.person(app, action).is_ok() {
        ground.count(format!("person: {what}"));
    }
}
