//! Whether a sample is believed.

use std::sync::Arc;
use std::time::Duration;

use super::control::Controls;
use super::needs::{Needs, Past};
use super::peers::Peers;
use super::*;
use crate::clock::{Clock, Moment, SteadyClock};
use crate::config::{Absent, Ask, ControlProbe, Expect, HttpAsk, Limits, PrometheusAsk};
use crate::decision::sample::{BlindCause, Failure, SampleResult};
use crate::detection::counters::Step;

const BAD: SampleResult = SampleResult::Bad(Failure::Connect);

/// Gives every probe the same result.
struct Always(Arc<dyn Clock>, SampleResult);

impl Probe for Always {
    fn sample<'a>(
        &'a self,
        _: &'a ProbeConfig,
        _: Turn,
    ) -> Pin<Box<dyn Future<Output = Sample> + Send + 'a>> {
        Box::pin(async { Sample { at: self.0.now(), micros: 1, result: self.1 } })
    }
}

fn controls(clock: &Arc<dyn Clock>, result: Option<SampleResult>) -> Controls {
    let control = ControlProbe {
        url: "https://up.example/".parse().expect("a URL"),
        period: Duration::from_secs(5),
        timeout: Duration::from_secs(2),
    };
    let configured = result.map(|_| control).into_iter().collect();
    let probe = Arc::new(Always(Arc::clone(clock), result.unwrap_or(SampleResult::Good)));
    Controls::start(configured, probe, Arc::clone(clock))
}

#[tokio::test]
async fn a_failure_is_believed_only_when_our_own_network_is_vouched_for() {
    let clock: Arc<dyn Clock> = Arc::new(SteadyClock::resume(None));
    let blind = SampleResult::Unknown(BlindCause::Control);
    let host = SampleResult::Unknown(BlindCause::Host);
    for (what, control, raw, expected) in [
        ("good with a good control", Some(SampleResult::Good), SampleResult::Good, SampleResult::Good),
        ("good with a dead control", Some(BAD), SampleResult::Good, SampleResult::Good),
        ("bad with a good control", Some(SampleResult::Good), BAD, BAD),
        ("bad with a dead control", Some(BAD), BAD, blind),
        ("bad with a blind control", Some(host), BAD, blind),
        ("bad without a control, alone", None, BAD, SampleResult::Unvouched(Failure::Connect)),
        ("unknown stays unknown", Some(SampleResult::Good), host, host),
    ] {
        let peer = Peers::new().join(Duration::from_secs(15), None);
        let sample = Sample { at: clock.now(), micros: 1_000, result: raw };
        let controls = controls(&clock, control);
        assert_eq!(
            believed(&page(), sample, &controls, &peer, None, None).await,
            Sample { result: expected, ..sample },
            "{what}"
        );
    }
}

/// Answers for the probes it has a result for, and is good for all others.
struct Named(Arc<dyn Clock>, Vec<(&'static str, SampleResult)>);

impl Probe for Named {
    fn sample<'a>(
        &'a self,
        probe: &'a ProbeConfig,
        _: Turn,
    ) -> Pin<Box<dyn Future<Output = Sample> + Send + 'a>> {
        let known = self.1.iter().find(|(name, _)| probe.name.as_str() == *name);
        let result = known.map_or(SampleResult::Good, |(_, result)| *result);
        Box::pin(async move { Sample { at: self.0.now(), micros: 1, result } })
    }
}

const TWO_NEEDS: &str = "
platforms: [{ name: ocean, kind: digitalocean, token_env: TOKEN }]
apps:
  - name: shop
    platform: ocean
    id: shop-1
    probes:
      - { name: home, url: https://shop.example/ }
      - { name: database, tcp: \"db.example:5432\" }
      - { name: status, url: https://status.example/ }
    depends_on: [database, status]
";

#[tokio::test]
async fn a_failure_accuses_nobody_while_something_is_down_that_the_app_needs() {
    let clock: Arc<dyn Clock> = Arc::new(SteadyClock::resume(None));
    let app = crate::config::parse("f.yaml", TWO_NEEDS).expect("a configuration").apps.remove(0);
    let (host, down) =
        (SampleResult::Unknown(BlindCause::Host), SampleResult::Unknown(BlindCause::Dependency));
    let ours = SampleResult::Unknown(BlindCause::Control);
    let (good, few) = (SampleResult::Good, SampleResult::Share(Step::of(0.01)));
    for (what, results, control, raw, expected) in [
        ("all is well", vec![], good, BAD, BAD),
        ("one of two is down", vec![("status", BAD)], good, BAD, down),
        ("one of two cannot be asked", vec![("database", host)], good, BAD, down),
        ("its share of failures is what nobody minds", vec![("status", few)], good, BAD, BAD),
        ("what nobody needs is down", vec![("home", BAD)], good, BAD, BAD),
        ("our own network is down as well", vec![("database", BAD)], BAD, BAD, ours),
        ("the app is well all the same", vec![("database", BAD)], good, good, good),
        ("nothing is known of the app", vec![("database", BAD)], good, host, host),
    ] {
        let peer = Peers::new().join(Duration::from_secs(15), None);
        let sample = Sample { at: clock.now(), micros: 1_000, result: raw };
        let controls = controls(&clock, Some(control));
        let probe = Named(Arc::clone(&clock), results);
        let needs = Needs {
            probe: &probe,
            app: &app,
            past: &Past::default(),
            is_judged: true,
            since: None,
            was_well: true,
            slow_from: None,
        };
        let judged = believed(&page(), sample, &controls, &peer, None, Some(needs)).await;
        assert_eq!(judged, Sample { result: expected, ..sample }, "{what}");
    }
}

/// What becomes of a sample while the database answers so, and what is said of it.
async fn needing(
    past: &Past,
    database: SampleResult,
    sample: Sample,
    slow_from: Option<Duration>,
) -> (SampleResult, Option<String>) {
    let clock: Arc<dyn Clock> = Arc::new(SteadyClock::resume(None));
    let app = crate::config::parse("f.yaml", TWO_NEEDS).expect("a configuration").apps.remove(0);
    let probe = Named(Arc::clone(&clock), vec![("database", database)]);
    let needs =
        Needs { probe: &probe, app: &app, past, is_judged: true, since: None, was_well: false, slow_from };
    let controls = controls(&clock, Some(SampleResult::Good));
    let peer = Peers::new().join(Duration::from_secs(15), None);
    let believed = believed(&page(), sample, &controls, &peer, None, Some(needs)).await;
    (believed.result, past.because(BlindCause::Dependency))
}

#[tokio::test]
async fn a_slow_answer_accuses_nobody_while_something_is_down_that_the_app_needs() {
    let good = SampleResult::Good;
    let (down, fails) = (SampleResult::Unknown(BlindCause::Dependency), SampleResult::Bad(Failure::Timeout));
    let sample = Sample { at: Moment::from_millis(1_000), micros: 900_000, result: good };
    let limit = |millis| Some(Duration::from_millis(millis));
    for (what, database, slow_from, expected) in [
        ("slow, and the database is", fails, limit(800), down),
        ("slow by itself", good, limit(800), good),
        ("not slow", fails, limit(1_000), good),
        ("no rule minds", fails, None, good),
    ] {
        let (result, because) = needing(&Past::default(), database, sample, slow_from).await;
        assert_eq!(result, expected, "{what}");
        let said = "it depends on database, which fails (timeout)";
        assert_eq!(because.as_deref(), (result == down).then_some(said), "{what}");
    }
}

#[tokio::test]
async fn a_share_of_errors_accuses_nobody_while_something_is_down_that_the_app_needs() {
    let share = |share| SampleResult::Share(Step::of(share));
    let (good, down) = (SampleResult::Good, SampleResult::Unknown(BlindCause::Dependency));
    for (what, database, result, expected) in [
        ("some, and the database is down", BAD, share(0.4), down),
        ("some, and it is well", good, share(0.4), share(0.4)),
        ("none", BAD, share(0.0), share(0.0)),
    ] {
        let sample = Sample { at: Moment::from_millis(1_000), micros: 1, result };
        assert_eq!(needing(&Past::default(), database, sample, None).await.0, expected, "{what}");
    }
}

#[tokio::test]
async fn an_app_has_its_time_to_recover_from_what_it_needs() {
    let (good, down) = (SampleResult::Good, SampleResult::Unknown(BlindCause::Dependency));
    let past = Past::default();
    let failed = |seconds: i64| Sample { at: Moment::from_millis(seconds * 1_000), micros: 1, result: BAD };
    past.note(1, &failed(100));
    past.note(1, &Sample { result: good, ..failed(130) });
    let (result, because) = needing(&past, good, failed(150), None).await;
    assert_eq!(result, down);
    assert_eq!(because.as_deref(), Some("it depends on database, which failed for 30s and is just back"));
    assert_eq!(needing(&past, good, failed(176), None).await.0, BAD, "it is at fault by now");
}

#[tokio::test]
async fn what_the_app_did_well_without_is_no_excuse() {
    let absent = SampleResult::Unknown(BlindCause::Absent);
    let down = SampleResult::Unknown(BlindCause::Dependency);
    for result in [BAD, absent] {
        let (past, failed) = (Past::default(), Sample { at: Moment::from_millis(0), micros: 1, result: BAD });
        past.note(1, &Sample { result, ..failed });
        past.was_well(Moment::from_millis(120_000));
        assert_eq!(needing(&past, result, failed, None).await.0, down, "{result:?}: it may be slow to break");
        let past = Past::default();
        past.note(1, &Sample { result, ..failed });
        past.was_well(Moment::from_millis(120_001));
        assert_eq!(needing(&past, result, failed, None).await.0, BAD, "{result:?}");
    }
}

fn page() -> Ask {
    Ask::Http(HttpAsk {
        url: "https://shop.example/".parse().expect("a URL"),
        headers: std::collections::BTreeMap::new(),
        expect: Expect::default(),
    })
}

#[tokio::test]
async fn a_figure_is_vouched_for_by_controls_alone_and_vouches_for_nothing() {
    let clock: Arc<dyn Clock> = Arc::new(SteadyClock::resume(None));
    let figure = Ask::Prometheus(PrometheusAsk {
        url: "http://prometheus.example/".parse().expect("a URL"),
        headers: std::collections::BTreeMap::new(),
        query: "up".to_owned(),
        limits: Limits { at_least: Some(1.0), at_most: None },
        absent: Absent::Unknown,
        max_age: Duration::from_secs(300),
    });
    let peers = Peers::new();
    let (one, other) = (peers.join(Duration::from_secs(15), None), peers.join(Duration::from_secs(15), None));
    let (none, dead) = (controls(&clock, None), controls(&clock, Some(BAD)));
    let sample = |result| Sample { at: clock.now(), micros: 1_000, result };
    let value = SampleResult::Bad(Failure::Value);
    assert_eq!(believed(&figure, sample(value), &none, &one, None, None).await.result, value);
    let blind = SampleResult::Unknown(BlindCause::Control);
    assert_eq!(believed(&figure, sample(value), &dead, &one, None, None).await.result, blind);
    assert_eq!(
        believed(&figure, sample(SampleResult::Good), &dead, &one, None, None).await.result,
        SampleResult::Good
    );
    // Another app's good figure is no sign that apps can be reached.
    let failed = sample(BAD);
    other.record(&page(), &failed);
    assert_eq!(other.verdict(&failed), peers::PeerVerdict::Unclear);
}

#[tokio::test]
async fn without_controls_apps_that_fail_together_with_the_platform_are_not_accused() {
    let clock: Arc<dyn Clock> = Arc::new(SteadyClock::resume(None));
    let (peers, controls) = (Peers::new(), controls(&clock, None));
    let apps: Vec<_> = (0..3).map(|_| peers.join(Duration::from_secs(15), None)).collect();
    let at = |seconds: i64| Moment::from_millis(seconds * 1_000);
    let failed = |seconds| Sample { at: at(seconds), micros: 1_000, result: BAD };
    peers.platform_unreachable(at(99));
    for app in &apps {
        let blind = believed(&page(), failed(100), &controls, app, None, None).await.result;
        assert_eq!(blind, SampleResult::Unknown(BlindCause::Peers));
    }
    peers.platform_answered(at(102));
    assert_eq!(believed(&page(), failed(102), &controls, &apps[0], None, None).await.result, BAD);
    let unvouched = SampleResult::Unvouched(Failure::Connect);
    assert_eq!(believed(&page(), failed(200), &controls, &apps[0], None, None).await.result, unvouched);
}

/// The platform as somebody to ask: it answers, or cannot be reached.
struct Platform(Peers, bool, std::sync::atomic::AtomicU32);

impl Witness for Platform {
    fn ask(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        self.2.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let at = Moment::from_millis(100_000);
        if self.1 {
            self.0.platform_answered(at)
        } else {
            self.0.platform_unreachable(at)
        }
        Box::pin(std::future::ready(()))
    }
}

#[tokio::test]
async fn without_controls_the_platform_is_asked_once_for_all_who_fail() {
    let clock: Arc<dyn Clock> = Arc::new(SteadyClock::resume(None));
    let controls = controls(&clock, None);
    for (answers, expected) in [(true, BAD), (false, SampleResult::Unknown(BlindCause::Peers))] {
        let peers = Peers::new();
        let witness = Platform(peers.clone(), answers, 0.into());
        let apps: Vec<_> = (0..3).map(|_| peers.join(Duration::from_secs(15), None)).collect();
        for app in &apps {
            let failed = Sample { at: Moment::from_millis(100_000), micros: 1_000, result: BAD };
            assert_eq!(
                believed(&page(), failed, &controls, app, Some(&witness), None).await.result,
                expected
            );
        }
        assert_eq!(witness.2.load(std::sync::atomic::Ordering::Relaxed), 1);
    }
}
