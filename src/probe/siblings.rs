//! "Is it everyone?": whether other apps of the account fail as well that have no new release.
//!
//! Apps that fail together may all be hit by the platform, and then going back helps nobody. They may as well all need the
//! one whose release is bad, and nothing that can be measured tells the two apart for sure: whoever runs them knows, and
//! says with how many they are believed ([`AppConfig::siblings`]). Where nobody has said it, when it began decides. A
//! release that fails others does so most often from its first minute on, and an outage of the platform is as likely
//! in any other: so a release that was well for a while is not accused once all others fail with it, and there are
//! [`EVERYONE`] of them at least.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::future::join_all;

use super::control::ALLOWANCE;
use super::needs::Needs;
use super::peers::{AppSlots, Peer, PeerRecord};
use super::{Probe, Turn};
use crate::clock::Moment;
use crate::config::defaults::EVERYONE;
use crate::config::{AppConfig, ProbeConfig};
use crate::decision::sample::Sample;

/// So many are asked at most for one failure: they are others' apps.
const ASKED: usize = 10;
/// An app that was not good for so long says nothing of now.
const LATELY: Duration = Duration::from_secs(60 * 60);
/// For so long one that nobody has asked yet, in a process that has just begun, is taken at its word from before.
const AT_FIRST: Duration = Duration::from_secs(10 * 60);

impl Peer {
    /// Notes whether what is live was seen to be good and nothing is done with it. Only then what it does speaks for others:
    /// a release that is not known to be good may fail by itself.
    pub fn has_changed(&self, has_changed: bool, now: Moment) {
        let had_changed = self.slots.has_changed.swap(has_changed, Ordering::Relaxed);
        if had_changed && !has_changed {
            self.slots.page.was_good_once(now - (LATELY - AT_FIRST));
        }
    }

    /// The other apps of the account that failed no earlier than this sample, which is one of the app's that asks, where they
    /// are enough. Those whose own samples do not say it are asked now, together.
    pub(super) async fn siblings_fail(&self, needs: &Needs<'_>, failed: &Sample) -> Option<Vec<String>> {
        let app = needs.app;
        if app.siblings == Some(0) || app.siblings.is_none() && !needs.was_well {
            return None;
        }
        let mut siblings: Vec<_> = self.others().filter(|other| other.may_vouch(app, failed.at)).collect();
        let needed = app.siblings.map_or(EVERYONE, |needed| needed as usize);
        // Who is looked for comes first: so many that fail, or one that is well.
        siblings.sort_by_key(|other| other.is_failing() != app.siblings.is_some());
        siblings.truncate(ASKED.max(needed));
        if siblings.len() < needed {
            return None;
        }
        let fail = join_all(siblings.iter().map(|other| other.fails(needs.probe, failed.at))).await;
        let failing = siblings.iter().zip(fail).filter(|(_, fails)| *fails);
        let mut names: Vec<String> =
            failing.filter_map(|(other, _)| Some(other.app.as_ref()?.name.to_string())).collect();
        names.sort();
        let is_everyone = app.siblings.is_some() || names.len() == siblings.len();
        (is_everyone && names.len() >= needed).then_some(names)
    }
}

impl AppSlots {
    /// Whether it is one of the same account that did not change and was well lately.
    fn may_vouch(&self, of: &AppConfig, now: Moment) -> bool {
        self.app.as_ref().is_some_and(|app| app.platform == of.platform)
            && !self.has_changed.load(Ordering::Relaxed)
            && self.seen().good.is_some_and(|good| good + LATELY >= now)
    }

    fn seen(&self) -> PeerRecord {
        self.page.record(Duration::ZERO)
    }

    fn is_failing(&self) -> bool {
        self.seen().failing_since.is_some()
    }

    async fn fails(self: &Arc<Self>, probe: &dyn Probe, at: Moment) -> bool {
        let bar = at - ALLOWANCE;
        let is_known = || self.seen().good.max(self.seen().bad).is_some_and(|last| last >= bar);
        if !is_known()
            && let Some(asked) = self.known_by()
        {
            // Whoever waits for his turn may find that the one before him has asked for both.
            let _turn = self.asking.lock().await;
            if !is_known() {
                self.page.note(&probe.sample(asked, Turn::Any).await);
            }
        }
        self.is_failing() && self.seen().bad.is_some_and(|bad| bad >= bar)
    }

    /// The first of the probes that its release answers.
    pub(super) fn known_by(&self) -> Option<&ProbeConfig> {
        let app = self.app.as_deref()?;
        let place = (0..app.probes.len()).find(|place| app.is_of_the_release(*place))?;
        app.probes.get(place)
    }
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;
    use std::sync::Mutex;

    use super::super::believed;
    use super::super::control::Controls;
    use super::super::needs::{Needs, Past};
    use super::super::peers::Peers;
    use super::*;
    use crate::clock::{Clock, SteadyClock};
    use crate::config::{ControlProbe, parse};
    use crate::decision::sample::{BlindCause, Failure, SampleResult};

    const BAD: SampleResult = SampleResult::Bad(Failure::Status(502));
    const GOOD: SampleResult = SampleResult::Good;

    /// Fails for the sites whose URL has one of these words in it, and remembers who was asked.
    struct Down(Arc<dyn Clock>, &'static [&'static str], Mutex<Vec<String>>);

    impl Probe for Down {
        fn sample<'a>(
            &'a self,
            probe: &'a ProbeConfig,
            _: Turn,
        ) -> Pin<Box<dyn Future<Output = Sample> + Send + 'a>> {
            let url = probe.ask.shown();
            let result = if self.1.iter().any(|word| url.contains(word)) { BAD } else { GOOD };
            self.2.lock().expect("no panic").push(url);
            Box::pin(async move { Sample { at: self.0.now(), micros: 1, result } })
        }
    }

    /// Four apps of an account and one of another. The last of them says so much of its siblings.
    fn apps_with(siblings: &str) -> Vec<Arc<AppConfig>> {
        let app = |name: &str, platform: &str| {
            format!(
                "  - {{ name: {name}, platform: {platform}, id: {name}-1, \
                 probes: [{{ name: home, url: 'https://{name}.example/' }}] }}\n"
            )
        };
        let mut text = "platforms:\n  - { name: ocean, kind: digitalocean, token_env: A }\n  \
                        - { name: other, kind: digitalocean, token_env: B }\napps:\n"
            .to_owned();
        for name in ["mail", "docs", "blog"] {
            text += &app(name, "ocean");
        }
        text += &app("far", "other");
        text += &app("shop", "ocean").replace(", probes", &format!("{siblings}, probes"));
        parse("f.yaml", &text).expect("it is right").apps.into_iter().map(Arc::new).collect()
    }

    fn apps() -> Vec<Arc<AppConfig>> {
        apps_with(", siblings: 2")
    }

    async fn believed_while(
        down: &'static [&'static str],
        before: impl Fn(&str, &Peer),
        is_judged: bool,
    ) -> (SampleResult, Vec<String>) {
        let past = Past::default();
        let (result, asked) = believed_of(apps(), &past, down, before, (is_judged, true)).await;
        let because = past.because(BlindCause::Siblings);
        assert_eq!(because.is_some(), result == SampleResult::Unknown(BlindCause::Siblings), "{because:?}");
        (result, asked)
    }

    /// What a failure of the shop is believed to be while these are down, of apps that were all good a moment ago.
    async fn believed_of(
        apps: Vec<Arc<AppConfig>>,
        past: &Past,
        down: &'static [&'static str],
        before: impl Fn(&str, &Peer),
        (is_judged, was_well): (bool, bool),
    ) -> (SampleResult, Vec<String>) {
        let clock: Arc<dyn Clock> = Arc::new(SteadyClock::resume(None));
        let probe = Arc::new(Down(Arc::clone(&clock), down, Mutex::default()));
        let control = ControlProbe {
            url: "https://up.example/".parse().expect("a URL"),
            period: Duration::from_secs(5),
            timeout: Duration::from_secs(2),
        };
        let controls =
            Controls::start(vec![control], Arc::clone(&probe) as Arc<dyn Probe>, Arc::clone(&clock));
        let peers = Peers::new();
        let join = |app| (app, peers.join(Duration::from_secs(5), Some(Arc::clone(app))));
        let joined: Vec<_> = apps.iter().map(join).collect();
        let now = clock.now();
        let ago = |seconds: i64| Moment::from_millis(now.as_millis() - seconds * 1_000);
        for (app, peer) in &joined {
            peer.has_changed(false, now);
            let home = &app.probes[0].ask;
            peer.record(home, &Sample { at: ago(5), micros: 1, result: GOOD });
            before(app.name.as_str(), peer);
        }
        let (shop, mine) = joined.last().expect("five apps");
        let asks = probe.as_ref();
        let needs = Needs { probe: asks, app: shop, past, is_judged, since: None, was_well, slow_from: None };
        let sample = Sample { at: clock.now(), micros: 1, result: BAD };
        let ask = &shop.probes[0].ask;
        let result = believed(ask, sample, &controls, mine, None, Some(needs)).await.result;
        let mut asked = probe.2.lock().expect("no panic").clone();
        asked.retain(|url| !url.contains("up."));
        asked.sort();
        (result, asked)
    }

    #[tokio::test]
    async fn a_release_is_not_accused_while_siblings_fail_that_did_not_change() {
        let nothing = |_: &str, _: &Peer| ();
        let spared = SampleResult::Unknown(BlindCause::Siblings);
        let all = ["https://blog.example/", "https://docs.example/", "https://mail.example/"];
        let (result, asked) = believed_while(&["docs", "mail"], nothing, true).await;
        assert_eq!(
            (result, asked),
            (spared, all.map(str::to_owned).to_vec()),
            "those of the account are asked"
        );
        assert_eq!(believed_while(&["docs", "far"], nothing, true).await.0, BAD, "one is not two");
        assert_eq!(
            believed_while(&["docs", "mail"], nothing, false).await,
            (BAD, vec![]),
            "nobody is judged"
        );
        let changed = |name: &str, peer: &Peer| peer.has_changed(name == "docs", Moment::default());
        assert_eq!(
            believed_while(&["docs", "mail"], changed, true).await.0,
            BAD,
            "docs has a release of its own"
        );
        let other = believed_while(&["docs", "mail", "blog"], changed, true).await.0;
        assert_eq!(other, spared, "two others did not change");
    }

    #[tokio::test]
    async fn where_nobody_says_how_many_it_takes_all_and_a_release_that_was_well() {
        let spared = SampleResult::Unknown(BlindCause::Siblings);
        let nothing = |_: &str, _: &Peer| ();
        let changed = |name: &str, peer: &Peer| peer.has_changed(name == "docs", Moment::default());
        for (what, says, down, has_changed, was_well, believed) in [
            ("all", "", &["blog", "docs", "mail"][..], false, true, spared),
            ("all, and never well", "", &["blog", "docs", "mail"], false, false, BAD),
            ("one is well", "", &["blog", "docs"], false, true, BAD),
            ("too few that say anything", "", &["blog", "docs", "mail"], true, true, BAD),
            ("not to be asked", ", siblings: 0", &["blog", "docs", "mail"], false, true, BAD),
            ("two, never well", ", siblings: 2", &["blog", "docs"], false, false, spared),
        ] {
            let past = Past::default();
            let ways = (true, was_well);
            let found = match has_changed {
                true => believed_of(apps_with(says), &past, down, changed, ways).await.0,
                false => believed_of(apps_with(says), &past, down, nothing, ways).await.0,
            };
            assert_eq!(found, believed, "{what}");
        }
        let past = Past::default();
        believed_of(apps_with(""), &past, &["blog", "docs", "mail"], nothing, (true, true)).await;
        let because = past.because(BlindCause::Siblings);
        assert_eq!(because.as_deref(), Some("blog, docs and mail fail as well, without a new release"));
    }

    #[tokio::test]
    async fn who_was_not_good_lately_says_nothing_and_who_says_it_by_itself_is_not_asked() {
        let clock = SteadyClock::resume(None);
        let now = clock.now();
        let fails = move |name: &str, peer: &Peer| {
            if name == "docs" {
                let soon = Moment::from_millis(now.as_millis() + 60_000);
                peer.record(&apps().remove(1).probes[0].ask, &Sample { at: soon, micros: 1, result: BAD });
            }
        };
        let (result, asked) = believed_while(&["mail"], fails, true).await;
        assert_eq!(result, SampleResult::Unknown(BlindCause::Siblings));
        assert!(!asked.iter().any(|url| url.contains("docs")), "{asked:?}");
        let docs = apps().remove(1);
        let home = docs.probes[0].ask.clone();
        let peer = Peers::new().join(Duration::from_secs(5), Some(Arc::clone(&docs)));
        peer.has_changed(false, Moment::from_millis(-10 * 3_600_000));
        let good = Moment::from_millis(1_000);
        assert!(!peer.slots.may_vouch(&docs, good), "it was never good");
        let other = apps().remove(0).probes[0].ask.clone();
        peer.record(&other, &Sample { at: good, micros: 1, result: GOOD });
        assert!(!peer.slots.may_vouch(&docs, good), "its page was not");
        peer.record(&home, &Sample { at: good, micros: 1, result: GOOD });
        assert!(peer.slots.may_vouch(&docs, good + LATELY));
        assert!(!peer.slots.may_vouch(&docs, good + LATELY + Duration::from_millis(1)));
    }

    #[test]
    fn who_was_good_before_this_process_is_taken_at_its_word_for_ten_minutes() {
        let docs = apps().remove(1);
        let peer = Peers::new().join(Duration::from_secs(5), Some(Arc::clone(&docs)));
        let began = Moment::from_millis(0);
        peer.has_changed(true, began);
        assert!(!peer.slots.may_vouch(&docs, began), "nobody knows yet what it runs");
        peer.has_changed(false, began);
        assert!(peer.slots.may_vouch(&docs, began + AT_FIRST));
        let later = began + AT_FIRST + Duration::from_millis(1);
        assert!(!peer.slots.may_vouch(&docs, later));
        // A release of its own later on is not good for being there.
        peer.record(&docs.probes[0].ask, &Sample { at: later, micros: 1, result: BAD });
        peer.has_changed(true, later);
        peer.has_changed(false, later);
        assert!(!peer.slots.may_vouch(&docs, later));
    }
}
