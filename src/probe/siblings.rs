//! "Is it everyone?": whether other apps of the account fail as well that have no new release.
//!
//! Only where the configuration says how many of them it takes ([`AppConfig::siblings`]). Apps that fail together may all
//! be hit by the platform, and then going back helps nobody. They may as well all need the one whose release is bad, and
//! nothing that can be measured tells the two apart: whoever runs them knows.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::future::join_all;

use super::control::ALLOWANCE;
use super::peers::{AppSlots, Peer, PeerRecord};
use super::{Probe, Turn};
use crate::clock::Moment;
use crate::config::{AppConfig, ProbeConfig};
use crate::decision::sample::Sample;

/// So many are asked at most for one failure: they are others' apps.
const ASKED: usize = 10;
/// An app that was not good for so long says nothing of now.
const LATELY: Duration = Duration::from_secs(60 * 60);

impl Peer {
    /// Notes whether what is live was seen to be good and nothing is done with it. Only then what it does speaks for others:
    /// a release that is not known to be good may fail by itself.
    pub fn has_changed(&self, has_changed: bool) {
        self.slots.has_changed.store(has_changed, Ordering::Relaxed);
    }

    /// Whether at least `needed` of the account's other apps failed no earlier than this sample, which is one of `app`'s.
    /// Those whose own samples do not say it are asked now, together.
    pub(super) async fn siblings_fail(
        &self,
        probe: &dyn Probe,
        (app, failed): (&AppConfig, &Sample),
        needed: usize,
    ) -> bool {
        let mut siblings: Vec<_> = self.others().filter(|other| other.may_vouch(app, failed.at)).collect();
        siblings.sort_by_key(|other| !other.is_failing());
        let asked = siblings.iter().take(ASKED.max(needed)).map(|other| other.fails(probe, failed.at));
        join_all(asked).await.into_iter().filter(|fails| *fails).count() >= needed
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
        let seen = self.seen();
        let is_known = seen.good.max(seen.bad).is_some_and(|last| last >= bar);
        if !is_known && let Some(asked) = self.known_by() {
            self.page.note(&probe.sample(asked, Turn::Any).await);
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

    use super::super::control::Controls;
    use super::super::peers::Peers;
    use super::super::{Needs, believed};
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

    fn apps() -> Vec<Arc<AppConfig>> {
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
        text += &app("shop", "ocean").replace(", probes", ", siblings: 2, probes");
        parse("f.yaml", &text).expect("it is right").apps.into_iter().map(Arc::new).collect()
    }

    /// What a failure of the shop is believed to be while these are down, of apps that were all good a moment ago.
    async fn believed_while(
        down: &'static [&'static str],
        before: impl Fn(&str, &Peer),
        is_judged: bool,
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
        let (peers, apps) = (Peers::new(), apps());
        let join = |app| (app, peers.join(Duration::from_secs(5), Some(Arc::clone(app))));
        let joined: Vec<_> = apps.iter().map(join).collect();
        let now = clock.now();
        let ago = |seconds: i64| Moment::from_millis(now.as_millis() - seconds * 1_000);
        for (app, peer) in &joined {
            peer.has_changed(false);
            let home = &app.probes[0].ask;
            peer.record(home, &Sample { at: ago(5), micros: 1, result: GOOD });
            before(app.name.as_str(), peer);
        }
        let (shop, mine) = joined.last().expect("five apps");
        let needs = Needs { probe: probe.as_ref(), app: shop, is_judged };
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
        let changed = |name: &str, peer: &Peer| peer.has_changed(name == "docs");
        assert_eq!(
            believed_while(&["docs", "mail"], changed, true).await.0,
            BAD,
            "docs has a release of its own"
        );
        let other = believed_while(&["docs", "mail", "blog"], changed, true).await.0;
        assert_eq!(other, spared, "two others did not change");
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
        peer.has_changed(false);
        let good = Moment::from_millis(1_000);
        assert!(!peer.slots.may_vouch(&docs, good), "it was never good");
        let other = apps().remove(0).probes[0].ask.clone();
        peer.record(&other, &Sample { at: good, micros: 1, result: GOOD });
        assert!(!peer.slots.may_vouch(&docs, good), "its page was not");
        peer.record(&home, &Sample { at: good, micros: 1, result: GOOD });
        assert!(peer.slots.may_vouch(&docs, good + LATELY));
        assert!(!peer.slots.may_vouch(&docs, good + LATELY + Duration::from_millis(1)));
    }
}
