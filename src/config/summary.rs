//! What `rearguard check` says it understood, in words.

mod channels;

use std::collections::BTreeMap;
use std::fmt::{self, Write};

use url::Url;

use super::defaults::EVERYONE;
use super::span::spoken;
use super::{
    Absent, AppConfig, Ask, Config, CountersAsk, Expect, ExpectValue, Figure, GrpcAsk, HttpAsk, Limits,
    PlatformAsk, PlatformConfig, PlatformKind, ProbeConfig, PrometheusAsk, TlsAsk, TokenSource, VersionAt,
    pace,
};
use crate::decision::policy::{
    Action, Condition, Mode, OnHealthy, OnMigrations, OnUnhealthy, OnWarnings, Policy, Rule, Signal,
    SoakPolicy, Test,
};
use crate::decision::story::{one_in, percent, quantile_in_words};
use crate::power;

/// What is right and may not be meant, a sentence each: said wherever a configuration is taken into force.
pub fn warnings(config: &Config) -> Vec<String> {
    let warned = |platform: &PlatformConfig| {
        let name = platform.name.clone();
        concerns(config, platform).map(move |concern| format!("platform {name}: {concern}"))
    };
    let platforms = config.platforms.iter().flat_map(warned);
    // Most apps have the same rules at the same paces.
    let mut known = BTreeMap::new();
    let apps = config.apps.iter().flat_map(move |app| {
        let key = power::known::key(&app.policy, &app.probes);
        let of_it = known.entry(key).or_insert_with(|| power::concerns(&app.policy, &app.probes));
        of_it.iter().map(|concern| format!("app {}: {concern}", app.name)).collect::<Vec<_>>()
    });
    open_to_others(config).into_iter().chain(platforms).chain(apps).collect()
}

/// What others can do where more than this machine is listened to.
fn open_to_others(config: &Config) -> Option<String> {
    let listen = config.listen;
    let what =
        "whoever reaches it can read everything that is shown there, and without TLS hear the admin token";
    (!listen.ip().is_loopback()).then(|| format!("listen: {listen} is more than this machine: {what}"))
}

fn concerns(config: &Config, platform: &PlatformConfig) -> impl Iterator<Item = String> + use<> {
    let paces = [pace::too_fast, pace::too_often, pace::too_many, pace::too_short];
    paces.map(|too| too(config, platform)).into_iter().flatten()
}

/// The configuration in words, for a person to compare with what was meant. No secrets, no query of a URL.
pub fn summary(config: &Config) -> String {
    let mut text = String::new();
    // Writing to a String does not fail.
    let _ = write(&mut text, config);
    text
}

fn write(out: &mut String, config: &Config) -> fmt::Result {
    let admin = match &config.admin_token_file {
        Some(source) => format!("API calls that change something need the token in {}", source.place()),
        None => "API calls that change something are refused: there is no admin_token_file".to_owned(),
    };
    writeln!(out, "listens on {}; {admin}", config.listen)?;
    if let Some(concern) = open_to_others(config) {
        writeln!(out, "warning: {concern}")?;
    }
    writeln!(out, "keeps its journal in {} for {}", config.state.display(), spoken(config.retention))?;
    let storm = plural(config.concurrent_rollbacks as u64, "app");
    writeln!(out, "stops everything when more than {storm} want a rollback within a minute")?;
    for platform in &config.platforms {
        write_platform(out, config, platform)?;
    }
    if config.control_probes.is_empty() {
        writeln!(
            out,
            "\nno control probes: a failure of this machine's own network is harder to tell apart"
        )?;
    }
    for (n, probe) in config.control_probes.iter().enumerate() {
        let url = shown(&probe.url);
        let line = if n == 0 { "\n" } else { "" };
        let (period, timeout) = (spoken(probe.period), spoken(probe.timeout));
        writeln!(out, "{line}control probe {url}: every {period}, timeout {timeout}")?;
    }
    config.apps.iter().try_for_each(|app| {
        let of_its_account = config.apps.iter().filter(|other| other.platform == app.platform);
        let mut platforms = config.platforms.iter().filter(|platform| platform.name == app.platform);
        let picks = platforms.any(|platform| platform.kind == PlatformKind::Sevalla);
        write_app(out, app, of_its_account.count() - 1, picks)
    })?;
    config.notify.iter().try_for_each(|channel| channels::write(out, channel))
}

fn write_platform(out: &mut String, config: &Config, platform: &PlatformConfig) -> fmt::Result {
    let PlatformConfig { name, kind, token, api, poll, timeout, reconcile, readiness, bandwidth, balance } =
        platform;
    let kind = match kind {
        PlatformKind::DigitalOcean => "DigitalOcean App Platform",
        PlatformKind::Sevalla => "Sevalla",
    };
    let token = match token {
        TokenSource::Env(variable) => format!("environment variable {variable}"),
        file => format!("file {}", file.place()),
    };
    writeln!(out, "\nplatform {name}: {kind}")?;
    writeln!(out, "  api       {}, token from {token}", shown(api))?;
    let (poll, timeout, reconcile) = (spoken(*poll), spoken(*timeout), spoken(*reconcile));
    writeln!(
        out,
        "  paces     poll every {poll}, request timeout {timeout}, unanswered writes looked for {reconcile}"
    )?;
    match readiness.is_zero() {
        true => writeln!(out, "  readiness to roll back is not asked for in quiet times")?,
        false => {
            let real = pace::readiness(config, platform);
            let about = if real == *readiness { "" } else { "about " };
            writeln!(out, "  readiness to roll back asked for {about}every {} in quiet times", spoken(real))?;
        }
    }
    for (figure, every) in [("bandwidth", bandwidth), ("balance", balance)] {
        if !every.is_zero() {
            writeln!(out, "  {figure:<9} read from the platform every {}", spoken(*every))?;
        }
    }
    concerns(config, platform).try_for_each(|concern| writeln!(out, "  warning   {concern}"))
}

const FAIL_AS_WELL: &str = "without a new release fail as well, no release is accused";

/// `others` are the other apps of its account; `picks`: the account is at a platform that picks targets by itself.
fn write_app(out: &mut String, app: &AppConfig, others: usize, picks: bool) -> fmt::Result {
    let AppConfig { name, platform, id, probes, depends_on, siblings, restart_components, freeze, policy } =
        app;
    let mode = match policy.mode {
        Mode::Observe => "observe: writes nothing, says what it would have done".to_owned(),
        Mode::Approve => {
            let within = spoken(policy.approve_within);
            format!("approve: asks a person before it acts, and waits {within} for the answer")
        }
        Mode::Enforce => "enforce: acts by itself".to_owned(),
    };
    writeln!(out, "\napp {name}: {id} on {platform}")?;
    writeln!(out, "  mode      {mode}")?;
    writeln!(out, "  watch     {} after a deployment goes live", spoken(policy.watch))?;
    if let Some(wait) = policy.restart_first {
        writeln!(
            out,
            "  restart   {} once before a rollback where the platform can, then {} to see whether it helped",
            if restart_components.is_empty() { "all".to_owned() } else { restart_components.join(", ") },
            spoken(wait)
        )?;
    }
    if policy.accept_platform_choice {
        writeln!(out, "  target    rolled back even where the platform picks it; what came back is checked")?;
    } else if picks && policy.mode != Mode::Observe {
        writeln!(
            out,
            "  target    an app made from Git is watched and not rolled back: the platform picks what it goes back to, and\n            \
             accept_platform_choice is not true"
        )?;
    }
    for window in freeze {
        writeln!(out, "  freeze    {window}, unless a person orders it")?;
    }
    for probe in probes {
        write_probe(out, probe)?;
    }
    if !depends_on.is_empty() {
        let names: Vec<&str> =
            depends_on.iter().filter_map(|place| Some(probes.get(*place)?.name.as_str())).collect();
        let names = names.join(", ");
        writeln!(out, "  needs     {names}: while one of them is not good, no release is accused")?;
    }
    match siblings {
        Some(0) => {
            writeln!(out, "  siblings  are not asked: the other apps of {platform} may need this one")?
        }
        Some(1) => writeln!(out, "  siblings  while another app of {platform} {FAIL_AS_WELL}")?,
        Some(others) => writeln!(out, "  siblings  while {others} other apps of {platform} {FAIL_AS_WELL}")?,
        None if others >= EVERYONE => writeln!(
            out,
            "  siblings  once a release was well for a minute, while all other apps of {platform}\n            {FAIL_AS_WELL}"
        )?,
        None => {}
    }
    if policy.rules.is_empty() {
        writeln!(out, "  rules     none: no release is ever found bad")?;
    }
    for rule in &policy.rules {
        write_rule(out, rule, policy)?;
    }
    for concern in power::concerns(policy, probes) {
        writeln!(out, "  warning   {concern}")?;
    }
    let warnings = match policy.rollback.warnings {
        OnWarnings::Refuse => "refused when the platform warns of it",
        OnWarnings::Accept => "done even when the platform warns of it",
    };
    let migrations = match policy.rollback.migrations {
        OnMigrations::Hold => "held for a person when a migration job changed",
        OnMigrations::Allow => "done even when a migration job changed",
    };
    writeln!(out, "  rollback  {warnings}, {migrations}")?;
    writeln!(out, "  soak      {}", soak(&policy.soak))?;
    let limits = &policy.limits;
    let (count, per) = (plural(limits.max_rollbacks.into(), "rollback"), spoken(limits.per));
    let cooldown = match limits.cooldown.is_zero() {
        true => "no cooldown".to_owned(),
        false => format!("at least {} between two", spoken(limits.cooldown)),
    };
    writeln!(out, "  limits    at most {count} in {per}, {cooldown}")
}

fn write_probe(out: &mut String, probe: &ProbeConfig) -> fmt::Result {
    let ProbeConfig { name, ask, period, watch_period, burst, timeout, settle, window } = probe;
    let headers = match ask {
        Ask::Http(HttpAsk { url, headers, expect }) => {
            writeln!(out, "  probe     {name}: {} expects {}", shown(url), expected(expect))?;
            match &expect.version {
                Some(VersionAt::Header(name)) => {
                    writeln!(out, "            of the release that is live, by its header {name}")?
                }
                Some(VersionAt::Json(pointer)) => {
                    writeln!(out, "            of the release that is live, by its JSON at {pointer}")?
                }
                None => {}
            }
            headers.len()
        }
        Ask::Tcp(_) => {
            writeln!(out, "  probe     {name}: {} takes a connection", ask.shown())?;
            0
        }
        Ask::Tls(TlsAsk { at_least, server_name, .. }) => {
            let whose = server_name.as_ref().map(|name| format!(" for {name}")).unwrap_or_default();
            let good = match at_least.is_zero() {
                true => "now".to_owned(),
                false => format!("for at least {}", spoken(*at_least)),
            };
            writeln!(
                out,
                "  probe     {name}: {} has certificates{whose} that are good {good}",
                ask.shown()
            )?;
            0
        }
        Ask::Grpc(GrpcAsk { service, headers, .. }) => {
            let who = service.as_ref().map_or("it".to_owned(), |service| format!("{service:?}"));
            writeln!(out, "  probe     {name}: {} says over gRPC that {who} serves", ask.shown())?;
            headers.len()
        }
        Ask::Prometheus(figure) => {
            let PrometheusAsk { query, headers, limits, absent, max_age, .. } = figure;
            let absent = in_words(*absent);
            writeln!(out, "  probe     {name}: {} says {} of", ask.shown(), within(limits))?;
            writeln!(out, "            {}", one_line(query))?;
            writeln!(out, "            without a value of the last {} {absent}", spoken(*max_age))?;
            headers.len()
        }
        Ask::Counters(counters) => {
            let CountersAsk { errors, requests, at_most, headers, max_age, min_requests, .. } = counters;
            let limit = at_most.map_or(String::new(), |most| format!(" at most {}", percent(most)));
            writeln!(
                out,
                "  probe     {name}: {} says what share of requests failed,{limit} in each scrape",
                ask.shown()
            )?;
            writeln!(out, "            errors {}, requests {}", one_line(errors), one_line(requests))?;
            writeln!(
                out,
                "            without two scrapes in the last {}, or with fewer than {} between them, nobody can tell",
                spoken(*max_age),
                plural(u64::from(*min_requests), "request")
            )?;
            headers.len()
        }
        Ask::Platform(figure) => {
            write_figure(out, name.as_str(), figure)?;
            0
        }
    };
    let (period, watch, burst) = (spoken(*period), spoken(*watch_period), spoken(*burst));
    let (timeout, settle) = (spoken(*timeout), spoken(*settle));
    let at_rest = if ask.is_asked_at_rest() { format!("every {period}") } else { "not at rest".to_owned() };
    write!(
        out,
        "            {at_rest}, in a watch every {watch}, in doubt every {burst}; timeout {timeout}"
    )?;
    if settle != "0s" {
        write!(out, ", {settle} to settle")?;
    }
    if headers > 0 {
        write!(out, ", {}", plural(headers as u64, "header"))?;
    }
    writeln!(out, "; keeps {window} samples")
}

fn write_figure(out: &mut String, name: &str, ask: &PlatformAsk) -> fmt::Result {
    let PlatformAsk { figure, component, limits, absent, max_age } = ask;
    let whose = component.as_ref().map_or("every component".to_owned(), |name| format!("{name:?}"));
    let word = figure.word();
    match figure {
        Figure::Health => writeln!(out, "  probe     {name}: the platform says that {whose} is healthy")?,
        whole if whole.is_of_the_whole_app() => {
            writeln!(out, "  probe     {name}: the platform says {} of {word}", within(limits))?;
        }
        _ => writeln!(out, "  probe     {name}: the platform says {} of {word} of {whose}", within(limits))?,
    }
    writeln!(out, "            without a value of the last {} {}", spoken(*max_age), in_words(*absent))
}

fn in_words(absent: Absent) -> &'static str {
    match absent {
        Absent::Unknown => "nobody can tell",
        Absent::Good => "it is good",
        Absent::Bad => "it has failed",
    }
}

fn expected(expect: &Expect) -> String {
    let mut words = match expect.status.as_slice() {
        [] => "any 2xx".to_owned(),
        some => some.iter().map(u16::to_string).collect::<Vec<_>>().join(" or "),
    };
    if let Some(text) = &expect.body_contains {
        words.push_str(&format!(" and {text:?} in the body"));
    }
    if let Some(json) = &expect.json {
        let value = match &json.value {
            ExpectValue::Equals(value) => value.to_string(),
            ExpectValue::Within(limits) => within(limits),
        };
        words.push_str(&format!(" and {value} at {:?} in its JSON", json.pointer));
    }
    words
}

fn within(limits: &Limits) -> String {
    match (limits.at_least, limits.at_most) {
        (Some(least), Some(most)) => format!("{least} to {most}"),
        (Some(least), None) => format!("at least {least}"),
        (None, Some(most)) => format!("at most {most}"),
        (None, None) => "anything".to_owned(),
    }
}

fn one_line(query: &str) -> String {
    query.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn write_rule(out: &mut String, rule: &Rule, policy: &Policy) -> fmt::Result {
    let action = match rule.action {
        Action::Rollback => "",
        Action::Approve => "; a person is asked",
        Action::Notify => "; told, and nothing done",
    };
    if let [only] = rule.tests.as_slice() {
        return writeln!(out, "  rule      {}: bad {}{action}", rule.name, condition(only, policy));
    }
    let needed = match rule.needed {
        1 => "any".to_owned(),
        all if all == rule.tests.len() => "all".to_owned(),
        some => format!("at least {some}"),
    };
    writeln!(out, "  rule      {}: bad when {needed} of these hold{action}", rule.name)?;
    for test in &rule.tests {
        let words = condition(test, policy);
        writeln!(out, "            - {}", words.trim_start_matches("when "))?;
    }
    Ok(())
}

fn condition(test: &Test, policy: &Policy) -> String {
    let probe = policy.probes.get(test.probe).map_or("?", |probe| probe.name.as_str());
    match &test.condition {
        Condition::ConsecutiveFailures { count } => {
            format!(
                "when {probe} fails {}",
                if *count == 1 { "once".to_owned() } else { format!("{count} times in a row") }
            )
        }
        Condition::FailureRatio { above, over, min_samples } => {
            let (share, over) = (percent(*above), spoken(*over));
            format!(
                "when more than {share} of {probe}'s samples fail over {over}, from {} on",
                samples(*min_samples)
            )
        }
        Condition::Latency { quantile, above, over, min_samples } => {
            let (name, above, over) = (quantile_in_words(*quantile), spoken(*above), spoken(*over));
            format!(
                "when {name} of {probe}'s latency is above {above} over {over}, from {} on",
                samples(*min_samples)
            )
        }
        Condition::Regression(regression) => {
            let (more, few) = (percent(regression.worse_by), one_in(1.0 / regression.probability));
            let (glitch, least) = (spoken(regression.glitch), regression.min_failures);
            let (worse, from, glitches) = match regression.of {
                Signal::Failures => ("fails more often than in", plural_failures(least), "glitches"),
                Signal::Latency => ("takes longer than", slow_stretches(least), "slow spells"),
                Signal::Shares => ("has more errors than", format!("{least} bad scrapes"), "spells"),
            };
            format!(
                "when {probe} surely {worse} the release before, and {more} more, from {from} on;\n            \
                 {glitches} of {glitch}, or as the release before shows them; wrong for at most {few}"
            )
        }
    }
}

fn slow_stretches(count: u32) -> String {
    format!("{count} slow {}", if count == 1 { "stretch" } else { "stretches" })
}

fn plural_failures(count: u32) -> String {
    if count == 1 { "1 failure".to_owned() } else { format!("{count} failures") }
}

fn soak(soak: &SoakPolicy) -> String {
    let healthy = match soak.on_healthy {
        OnHealthy::Commit => "commit",
        OnHealthy::Hold => "hold for a person",
    };
    let unhealthy = match soak.on_unhealthy {
        OnUnhealthy::Revert => "revert",
        OnUnhealthy::Hold => "hold for a person",
    };
    let (period, samples) = (spoken(soak.period), samples(soak.min_samples));
    format!("{period} and {samples} of each probe; when healthy {healthy}, when unhealthy {unhealthy}")
}

fn samples(count: u32) -> String {
    plural(count.into(), "sample")
}

pub(super) fn plural(count: u64, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

/// A URL without user, password, query and fragment, any of which may hold a secret.
fn shown(url: &Url) -> String {
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    format!("{}://{}{port}{}", url.scheme(), url.host_str().unwrap_or_default(), url.path())
}
