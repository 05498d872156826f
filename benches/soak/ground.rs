//! What every part of the soak stands on: the lab, the daemon's API, and a tally of what was done.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use rearguard::lab::Lab;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

/// The operator's token.
pub(crate) const ADMIN: &str = "open-sesame";
/// Apps that are released to all the time.
pub(crate) const BUSY: usize = 32;
/// Of those: a person is asked.
pub(crate) const APPROVE: std::ops::Range<usize> = 0..2;
/// Of those: nothing is written.
pub(crate) const OBSERVE: std::ops::Range<usize> = 2..4;
/// Of those: two rollbacks in a minute at most.
pub(crate) const STRICT: std::ops::Range<usize> = 4..8;
/// What [`STRICT`] allows, and within what.
pub(crate) const BUDGET: (usize, i64) = (2, 60_000);
/// How long an unanswered write is looked for.
pub(crate) const RECONCILE_MS: i64 = 4_000;
/// How long incidents are kept.
pub(crate) const RETENTION_MS: i64 = 60_000;

/// A stretch of time on the lab's clock.
pub(crate) type Stretch = (i64, i64);

pub(crate) struct Ground {
    pub(crate) lab: Lab,
    /// Where the lab is, without a slash at the end.
    pub(crate) lab_base: String,
    /// Where the daemon is.
    pub(crate) base: String,
    pub(crate) client: reqwest::Client,
    /// How many apps there are.
    pub(crate) apps: usize,
    pub(crate) stop: CancellationToken,
    /// How often each thing was done.
    pub(crate) tally: Mutex<BTreeMap<String, u64>>,
    /// When an app's site answered badly, whatever it ran.
    pub(crate) trouble: Mutex<BTreeMap<String, Vec<Stretch>>>,
    /// When the network was cut off.
    pub(crate) cuts: Mutex<Vec<Stretch>>,
    /// When an app was paused.
    pub(crate) paused: Mutex<BTreeMap<String, Vec<Stretch>>>,
    /// The incidents that were read, by their ids.
    pub(crate) incidents: Mutex<BTreeMap<String, Value>>,
}

impl Ground {
    pub(crate) fn count(&self, what: impl Into<String>) {
        *self.tally.lock().unwrap().entry(what.into()).or_default() += 1;
    }

    /// Sleeps, or ends early with `false` when the soak is over.
    pub(crate) async fn nap(&self, millis: u64) -> bool {
        tokio::select! {
            () = self.stop.cancelled() => false,
            () = tokio::time::sleep(Duration::from_millis(millis)) => true,
        }
    }

    /// Asks the daemon; nothing where it does not answer.
    pub(crate) async fn get(&self, path: &str) -> Option<Value> {
        let answer = self.client.get(format!("{}{path}", self.base)).send().await.ok()?;
        serde_json::from_str(&answer.text().await.ok()?).ok()
    }

    /// The status of a GET, zero where there is no answer.
    pub(crate) async fn status(&self, path: &str) -> u16 {
        let answer = self.client.get(format!("{}{path}", self.base)).send().await;
        answer.map_or(0, |answer| answer.status().as_u16())
    }

    /// An operator's word; whether it was taken.
    pub(crate) async fn post(&self, path: &str) -> bool {
        let asked = self.client.post(format!("{}{path}", self.base)).bearer_auth(ADMIN);
        asked.send().await.is_ok_and(|answer| answer.status().is_success())
    }

    pub(crate) fn now_ms(&self) -> i64 {
        self.lab.now_ms()
    }
}

pub(crate) fn busy(n: usize) -> String {
    format!("busy-{n:05}")
}

pub(crate) fn idle(n: usize) -> String {
    format!("idle-{n:05}")
}

/// Makes the lab's apps: the busy ones, and the others to make up the number.
pub(crate) fn create_apps(lab: &Lab, apps: usize) {
    lab.create_apps("busy", BUSY).unwrap();
    lab.create_apps("idle", apps - BUSY).unwrap();
}

/// Which configuration is in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Variant {
    /// The one it starts with.
    First,
    /// Some apps are gone, others have other probes and rules; another control probe, another poll.
    Second,
    /// As the first, with a storm breaker that two apps at once open.
    Stormy,
    /// As the first, with a key that nobody knows: it is refused.
    Wrong,
}

/// The configuration. Everything that takes minutes to months in production takes seconds.
pub(crate) fn configuration(
    ground: &Lab,
    lab: &str,
    apps: usize,
    to: (&Path, u16),
    variant: Variant,
) -> String {
    let (path, port) = (to.0.display(), to.1);
    let second = variant == Variant::Second;
    let (poll, control) = if second { ("1200ms", "700ms") } else { ("1s", "500ms") };
    let most = if variant == Variant::Stormy { 2 } else { 1_000 };
    let wrong = if variant == Variant::Wrong { "pasword: none\n" } else { "" };
    let mut text = format!(
        "listen: 127.0.0.1:{port}\nstate: {path}/rearguard.db\nretention: {retention}ms\nadmin_token_file: {path}/admin\n{wrong}\
         platforms: [{{ name: ocean, kind: digitalocean, token_file: {path}/token, api: {lab}, poll: {poll}, \
         timeout: 2s, reconcile: {reconcile}ms, bandwidth: 0s }}]\n\
         control_probes: [{{ url: {lab}/up, period: {control}, timeout: 1s }}]\n\
         limits: {{ concurrent_rollbacks: {most} }}\napps:\n",
        reconcile = RECONCILE_MS,
        retention = RETENTION_MS,
    );
    for n in 0..BUSY {
        let mode = match n {
            n if APPROVE.contains(&n) => "approve",
            n if OBSERVE.contains(&n) => "observe",
            _ => "enforce",
        };
        let limits = if STRICT.contains(&n) {
            format!("{{ cooldown: 5s, max_rollbacks: {}, per: {}ms }}", BUDGET.0, BUDGET.1)
        } else {
            "{ cooldown: 0s, max_rollbacks: 32, per: 20s }".to_owned()
        };
        let (name, id) = (busy(n), ground.app(&busy(n)).unwrap().id);
        let on_unhealthy = if n.is_multiple_of(4) { "hold" } else { "revert" };
        write!(
            text,
            "  - name: {name}\n    platform: ocean\n    id: {id}\n    mode: {mode}\n    watch: 3s\n    probes: [{{ name: home, \
             url: {lab}/sites/{name}/healthz, period: 1s, watch_period: 250ms, burst: 100ms, timeout: 2s, \
             expect: {{ body_contains: ok }} }}]\n    rules:\n      \
             - {{ name: down, probe: home, consecutive_failures: 3 }}\n      \
             - {{ name: flaky, probe: home, failure_ratio: {{ above: 0.5, over: 2s, min_samples: 6 }} }}\n      \
             - {{ name: slow, probe: home, latency: {{ quantile: 0.9, above: 1s, over: 3s, min_samples: 2 }} }}\n    \
             soak: {{ period: 1s, min_samples: 4, on_unhealthy: {on_unhealthy} }}\n    limits: {limits}\n"
        )
        .unwrap();
    }
    for n in 0..apps - BUSY {
        if second && n.is_multiple_of(50) {
            continue;
        }
        let (name, id) = (idle(n), ground.app(&idle(n)).unwrap().id);
        let other = second && n % 10 == 1;
        let (period, failures) = if other { ("8s", 4) } else { ("10s", 3) };
        writeln!(
            text,
            "  - {{ name: {name}, platform: ocean, id: {id}, mode: enforce, watch: 10s, probes: [{{ name: home, \
             url: {lab}/sites/{name}/healthz, period: {period}, timeout: 3s }}], rules: [{{ name: down, probe: home, \
             consecutive_failures: {failures} }}], soak: {{ period: 1s, min_samples: 3 }}, \
             limits: {{ cooldown: 0s, max_rollbacks: 32, per: 20s }} }}"
        )
        .unwrap();
    }
    text
}
