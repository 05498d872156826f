//! The platform's own figures, shown beside ours: what the apps sent in a day, and the account's balance.
//!
//! Nothing is decided by them, and they come last: they are asked for after a poll that was answered, of apps that it
//! could read, and never from what is left of the rate limit for acting.
//!
//! What is known is shown anew after each poll: an app may have another name by then, and whoever asked before, by the
//! configuration of before, shows nothing as the last that it does.
//!
//! The two ways of being denied are not the same here. 403 is a token without the scope for a figure, which nobody adds
//! meanwhile: it is told of once and changes nothing else, and the figure is asked for again after a reload. 401 is a
//! token that is not accepted any more, most likely because it was rotated: it is read again, as a poll does, and the
//! figure is asked for at its next turn.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::apps::Apps;
use super::poll::Account;
use crate::clock::{Clock, Moment};
use crate::ids::PlatformAppId;
use crate::metrics::{Metrics, show};
use crate::platform::pace::is_for_acting;
use crate::platform::{Bandwidth, PlatformError};

/// A figure that was not to be had is asked for again this soon: as often as one may ask at all.
const AGAIN: Duration = Duration::from_secs(10 * 60);

/// The status of what the token may not see, whoever it is of.
const MAY_NOT: u16 = 403;

/// What the task of an account needs.
pub(super) struct Figures {
    pub(super) account: Account,
    pub(super) apps: watch::Receiver<Apps>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) metrics: Metrics,
    pub(super) stop: CancellationToken,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Figure {
    Bandwidth,
    Balance,
}

/// When a figure is asked for.
struct Turn {
    figure: Figure,
    /// Zero is never.
    every: Duration,
    /// None while the token has no scope for it.
    next: Option<Moment>,
}

/// What was answered last.
#[derive(Default)]
struct Known {
    bandwidth: Bandwidth,
    balance: Option<f64>,
}

impl Figures {
    /// Starts where there is something to ask for.
    pub(super) fn start(self, tasks: &TaskTracker) {
        if !(self.account.config.bandwidth.is_zero() && self.account.config.balance.is_zero()) {
            tasks.spawn(self.run());
        }
    }

    async fn run(mut self) {
        let mut known = Known::default();
        let stop = self.stop.clone();
        // What was shown last is not to stay, nor an answer that came at that moment.
        let _ = stop.run_until_cancelled(self.ask_on(&mut known)).await;
        self.show(&Known::default());
    }

    async fn ask_on(&mut self, known: &mut Known) {
        let mut polls = self.account.slices.polls();
        let config = &self.account.config;
        let turn = |figure, every| Turn { figure, every, next: Some(self.clock.now()) };
        let mut turns = [turn(Figure::Bandwidth, config.bandwidth), turn(Figure::Balance, config.balance)];
        while polls.changed().await.is_ok() {
            // Where the poll reads no app, the token or the platform is not well, and the poll says so. Before the first
            // answer the apps may be about to be told of.
            let apps = self.account.slices.readable();
            if apps.is_empty() {
                self.show(known);
                continue;
            }
            // A reload, most likely: there may be new apps, or somebody saw to the token.
            if self.apps.has_changed().unwrap_or(false) {
                self.apps.mark_unchanged();
                turns.iter_mut().for_each(|turn| turn.next = Some(self.clock.now()));
            }
            for turn in &mut turns {
                self.take(turn, &apps, known).await;
                self.show(known);
            }
        }
    }

    /// Asks for a figure of these apps if it is due and there is something to ask with.
    async fn take(&self, turn: &mut Turn, apps: &[PlatformAppId], known: &mut Known) {
        let (now, budget) = (self.clock.now(), self.account.platform.budget());
        let is_due = !turn.every.is_zero() && turn.next.is_some_and(|next| next <= now);
        if !is_due || is_for_acting(budget) || budget.hold_reads.is_some() {
            return;
        }
        let platform = &self.account.config.name;
        turn.next = match self.ask(turn.figure, apps, known).await {
            Ok(()) => Some(now + turn.every),
            Err(error @ PlatformError::Denied { status: MAY_NOT }) => {
                let figure = turn.figure.word();
                tracing::warn!(%platform, "no {figure} until the next reload, guarding goes on: failed to {error}");
                match turn.figure {
                    Figure::Bandwidth => known.bandwidth = Bandwidth::default(),
                    Figure::Balance => known.balance = None,
                }
                None
            }
            Err(error) => {
                if matches!(error, PlatformError::Denied { .. }) {
                    self.account.platform.reload_token();
                }
                tracing::debug!(%platform, figure = turn.figure.word(), "failed to {error}");
                Some(now + turn.every.min(AGAIN))
            }
        };
    }

    async fn ask(
        &self,
        figure: Figure,
        apps: &[PlatformAppId],
        known: &mut Known,
    ) -> Result<(), PlatformError> {
        let platform = &self.account.platform;
        match figure {
            Figure::Bandwidth => known.bandwidth = platform.bandwidth(apps).await?.value,
            Figure::Balance => known.balance = Some(platform.balance().await?.value),
        }
        Ok(())
    }

    fn show(&self, known: &Known) {
        show(&self.metrics.balance, self.account.config.name.as_str(), known.balance);
        if !self.account.config.bandwidth.is_zero() {
            self.show_bandwidth(&known.bandwidth);
        }
    }

    /// Shows the figures of one day. An app without one has none: its last one is of another day.
    fn show_bandwidth(&self, bandwidth: &Bandwidth) {
        let platform = &self.account.config.name;
        let day = bandwidth.day.and_then(|day| day.to_zoned(jiff::tz::TimeZone::UTC).ok());
        let day = day.map(|day| day.timestamp().as_duration().as_secs_f64());
        show(&self.metrics.bandwidth_day, platform.as_str(), day);
        let bytes: BTreeMap<&PlatformAppId, u64> =
            bandwidth.apps.iter().map(|(app, bytes)| (app, *bytes)).collect();
        for (id, app) in &self.apps.borrow().tasks {
            if app.config.platform == *platform
                && let Some(metrics) = self.metrics.of_app(&app.config.name)
            {
                metrics.show_bandwidth(bytes.get(id).copied());
            }
        }
    }
}

impl Figure {
    fn word(self) -> &'static str {
        match self {
            Self::Bandwidth => "bandwidth",
            Self::Balance => "balance",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use axum::http::Response;
    use reqwest::header::AUTHORIZATION;
    use tokio::sync::Semaphore;

    use super::super::poll::Slices;
    use super::*;
    use crate::clock::SteadyClock;
    use crate::config::parse;
    use crate::decision::observation::AppView;
    use crate::metrics::render;
    use crate::platform::Listed;
    use crate::platform::digitalocean::DigitalOcean;
    use crate::platform::http::InProcess;

    const EVERY: Duration = Duration::from_secs(3_600);
    const CONFIG: &str = "
listen: 127.0.0.1:0
state: /none/rearguard.db
platforms: [{ name: ocean, kind: digitalocean, token_file: /the/token, balance: 1h }]
apps:
  - name: shop
    platform: ocean
    id: shop
    probes: [{ name: home, url: 'https://shop.example.com/' }]
    rules: [{ name: down, probe: home, consecutive_failures: 3 }]
";

    /// An account whose token was rotated after it was opened: the old one gets `refused`, the new one a balance.
    fn rotated(refused: u16) -> Figures {
        let config = parse("rearguard.yaml", CONFIG).expect("a configuration");
        let config = Arc::new(config.platforms[0].clone());
        let wire: InProcess = Arc::new(move |request| {
            let is_new = request.headers()[AUTHORIZATION] == "Bearer new-word";
            let (status, body) =
                if is_new { (200, r#"{"account_balance":"12.23"}"#) } else { (refused, "{}") };
            let answer = Response::builder().status(status).body(body).expect("an answer");
            Box::pin(async move { Ok(answer.into()) })
        });
        let reads = AtomicUsize::new(0);
        let tokens =
            move || Ok(["old-word", "new-word"][reads.fetch_add(1, Ordering::Relaxed).min(1)].into());
        let platform =
            Arc::new(DigitalOcean::in_process(wire, &config, Box::new(tokens)).expect("an account"));
        let clock = Arc::new(SteadyClock::resume(None));
        let slices = Slices::default();
        let (turns, questions) = (Arc::new(Semaphore::new(1)), Arc::default());
        let account = Account { platform, config, slices, turns, questions };
        let (apps, metrics) = (watch::channel(Apps::default()).1, Metrics::new(&[]).expect("metrics"));
        Figures { account, apps, clock, metrics, stop: CancellationToken::new() }
    }

    #[tokio::test]
    async fn a_token_that_was_rotated_is_read_again_for_the_next_turn() {
        let figures = rotated(401);
        let now = figures.clock.now();
        let mut turn = Turn { figure: Figure::Balance, every: EVERY, next: Some(now) };
        let mut known = Known::default();
        figures.take(&mut turn, &[], &mut known).await;
        assert_eq!(known.balance, None);
        let next = turn.next.expect("another turn");
        assert!((AGAIN..EVERY).contains(&next.since(now)), "{next:?}");
        turn.next = Some(now);
        figures.take(&mut turn, &[], &mut known).await;
        assert!(known.balance.is_some());
        assert!(turn.next.is_some_and(|next| next.since(now) >= EVERY));
    }

    #[tokio::test]
    async fn a_token_without_the_scope_has_no_further_turn() {
        let figures = rotated(403);
        let mut turn = Turn { figure: Figure::Balance, every: EVERY, next: Some(figures.clock.now()) };
        let mut known = Known { balance: Some(12.23), ..Known::default() };
        figures.take(&mut turn, &[], &mut known).await;
        assert_eq!((turn.next, known.balance), (None, None));
        figures.take(&mut turn, &[], &mut known).await;
        assert_eq!(known.balance, None);
    }
    #[tokio::test]
    async fn what_was_shown_is_not_once_another_configuration_is_in_force() {
        let figures = rotated(401);
        figures.account.platform.reload_token();
        let (slices, clock, metrics) =
            (figures.account.slices.clone(), Arc::clone(&figures.clock), figures.metrics.clone());
        let (stop, tasks) = (figures.stop.clone(), TaskTracker::new());
        let shop = PlatformAppId::from("shop");
        let _picture = slices.of(&shop);
        let is_shown = || {
            let text = render(&metrics, Moment::default()).expect("rendered");
            String::from_utf8(text).expect("text").contains("rearguard_account_balance_dollars{")
        };
        figures.start(&tasks);
        while !is_shown() {
            let apps = vec![(shop.clone(), Ok(AppView::default()))];
            slices.hand_out(clock.now(), &[], Listed { apps, is_whole: true });
            tokio::task::yield_now().await;
        }
        stop.cancel();
        tasks.close();
        tasks.wait().await;
        assert!(!is_shown());
    }
}
