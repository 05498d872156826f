//! What an app's rules could notice of a bad release within its watch, and how soon: told before there is one.
//!
//! One mechanism for every rule: watches are tried out. Samples that fail by a seeded chance go through the schedule that
//! asks the app, the windows, the scales and the rules that judge real releases (`trial`), and the times at which a rule
//! is Bad are what is told. Closed forms would be faster, but there is none for a window that slides over samples whose
//! pace follows from their own results, none for several rules at once, and each would have to be kept in step with its
//! rule. What is tried out cannot say anything else than the rules do. The seeds are fixed: the same policy, and the same
//! that is known of the release before, give the same figures. It takes half a second for a watch of half an hour,
//! seconds for one of hours, so it is done when somebody asks, and the answer is kept ([`crate::daemon`]).
//!
//! Failures come at once (a refused connection, a 503): each answer that takes until its timeout takes that much longer.

pub mod known;
mod late;
mod trial;
mod words;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::ProbeConfig;
use crate::decision::policy::{Action, Policy, Rule, Test};
use crate::decision::rule::regression::Before;
use crate::detection::power::{Chance, Times};
use crate::ids::{ProbeName, RuleName};
use trial::{Failing, Ground};

pub use late::concerns;
pub use words::silent;

/// Watches that are tried for each share. Odd, so that one of them is in the middle.
const TRIED: usize = 101;
/// Any would do; the same one makes what fails more often fail whenever what fails less often does.
const SEED: u64 = 0x9E37_79B9_7F4A_7C15;
/// Shares of failing requests that are told.
const SHARES: [f64; 7] = [1.0, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01];
/// One of so many instances is broken, where their addresses are asked in turn.
const INSTANCES: [u32; 4] = [2, 3, 5, 10];
/// The actions that follow from what a rule finds, each with an outlook of its own.
const ACTIONS: [Action; 2] = [Action::Rollback, Action::Approve];

/// What the rules with one action could notice where the requests of one probe fail.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Outlook {
    /// The probe; none where those of every probe fail, for rules that need more than one.
    pub probe: Option<ProbeName>,
    /// What the rules ask for then, as far as the app's mode allows.
    pub action: Action,
    /// What was reckoned: the watch, or as much of a very long one as was tried.
    pub within_seconds: f64,
    /// Releases that fail by chance, those that are noticed at least half of the time: the last of them is the smallest
    /// share, in whole percents, of which that is so.
    pub shares: Vec<Prospect>,
    /// Releases of which one instance of two, three, five or ten is broken, where each has an address of its own and the
    /// probe goes round them; likewise.
    pub instances: Vec<Prospect>,
    /// Releases that answer every request just before its timeout. `failing` is 0.
    pub slow: Option<Prospect>,
    /// All of it in a sentence.
    pub in_words: String,
}

/// How soon releases are noticed that fail like this.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Prospect {
    /// The share of requests that fail.
    pub failing: f64,
    /// From going live until half of them are noticed.
    pub seconds: f64,
    /// The share of them that is noticed within the watch.
    pub found: f64,
    /// The rule that is mostly the first to notice.
    pub rule: RuleName,
}

/// What the rules of `policy` could notice, with what is known of the release before.
pub fn outlooks(
    policy: &Policy,
    probes: &[ProbeConfig],
    before: &BTreeMap<RuleName, Before>,
) -> Vec<Outlook> {
    let ground = Ground::new(policy, probes, before);
    let scenes: Vec<Scene> = ACTIONS.into_iter().flat_map(|action| scenes(policy, probes, action)).collect();
    scenes.iter().map(|scene| outlook(&ground, scene, probes)).collect()
}

/// What is tried out.
struct Scene {
    action: Action,
    /// The probe whose requests fail, where it is one.
    probe: Option<usize>,
    /// By the position of the probe.
    failing: Vec<bool>,
}

/// Each probe whose own trouble is enough for a rule with this action, and all of them where a rule needs more than one.
fn scenes(policy: &Policy, probes: &[ProbeConfig], action: Action) -> Vec<Scene> {
    let all: Vec<bool> = probes.iter().map(|probe| probe.ask.shows_failing_requests()).collect();
    let rules = || policy.rules.iter().filter(|rule| rule.action == action);
    let mut scenes: Vec<Scene> = Vec::new();
    for probe in (0..probes.len()).filter(|probe| all[*probe]) {
        let failing: Vec<bool> = (0..probes.len()).map(|other| other == probe).collect();
        if rules().any(|rule| notices(rule, &failing)) {
            scenes.push(Scene { action, probe: Some(probe), failing });
        }
    }
    let is_noticed_alone = |rule: &Rule| scenes.iter().any(|scene| notices(rule, &scene.failing));
    if rules().any(|rule| notices(rule, &all) && !is_noticed_alone(rule)) {
        scenes.push(Scene { action, probe: None, failing: all });
    }
    scenes
}

/// Whether trouble of one kind with these probes can be enough to make the rule Bad.
fn notices(rule: &Rule, probes: &[bool]) -> bool {
    [false, true].into_iter().any(|is_slow| may_notice(rule, probes, is_slow))
}

/// Whether it is enough that these probes fail, or that they are slow.
fn may_notice(rule: &Rule, probes: &[bool], is_slow: bool) -> bool {
    let is_about_it = |test: &&Test| probes[test.probe] && test.condition.is_about_time() == is_slow;
    rule.tests.iter().filter(is_about_it).count() >= rule.needed
}

fn outlook(ground: &Ground, scene: &Scene, probes: &[ProbeConfig]) -> Outlook {
    let Scene { action, failing, .. } = scene;
    let rules: Vec<usize> =
        (0..ground.policy.rules.len()).filter(|rule| ground.policy.rules[*rule].action == *action).collect();
    let [fails, is_slow] =
        [false, true].map(|kind| rules.iter().any(|n| may_notice(&ground.policy.rules[*n], failing, kind)));
    let mut outlook = Outlook {
        probe: scene.probe.map(|probe| probes[probe].name.clone()),
        action: *action,
        within_seconds: ground.within().as_secs_f64(),
        shares: Vec::new(),
        instances: Vec::new(),
        slow: None,
        in_words: String::new(),
    };
    if fails {
        outlook.shares = shares(ground, failing, &rules);
        let of = |of| prospect(ground, &Failing::in_turn(failing, of), &rules);
        outlook.instances = INSTANCES.into_iter().filter_map(of).collect();
    }
    if is_slow {
        outlook.slow = prospect(ground, &Failing::slow(failing), &rules);
    }
    outlook.in_words = words::sentence(&outlook, failing, probes, (fails, is_slow));
    outlook
}

/// By shares of failing requests, down to the smallest.
fn shares(ground: &Ground, failing: &[bool], rules: &[usize]) -> Vec<Prospect> {
    let of_share = |share: f64| prospect(ground, &Failing::by_chance(failing, share), rules);
    let mut shares = Vec::new();
    let mut missed = None;
    for share in SHARES {
        match of_share(share) {
            Some(prospect) => shares.push(prospect),
            None => {
                // What fails less often is noticed no sooner.
                missed = Some(share);
                break;
            }
        }
    }
    let percents = |share: f64| (share * 100.0).round() as u32;
    if let (Some(noticed), Some(missed)) = (shares.last().map(|last| last.failing), missed) {
        let (mut above, mut below, mut smallest) = (percents(noticed), percents(missed), None);
        while above - below > 1 {
            let middle = u32::midpoint(above, below);
            match of_share(f64::from(middle) / 100.0) {
                Some(prospect) => (above, smallest) = (middle, Some(prospect)),
                None => below = middle,
            }
        }
        shares.extend(smallest);
    }
    shares
}

/// None where less than half of them are noticed, which is known before all are tried.
fn prospect(ground: &Ground, failing: &Failing, rules: &[usize]) -> Option<Prospect> {
    let mut chance = Chance::seeded(SEED);
    let mut times = Times::default();
    let mut first = vec![0_usize; ground.policy.rules.len()];
    let mut missed = 0;
    for trial in 0..TRIED {
        let noticed = ground.watch(failing, rules, trial, &mut chance);
        times.add(noticed.map(|(after, _)| after.as_secs_f64()));
        match noticed {
            Some((_, rule)) => first[rule] += 1,
            None => missed += 1,
        }
        if missed > TRIED / 2 {
            return None;
        }
    }
    let (rule, _) = (first.iter().enumerate()).max_by_key(|(place, count)| (**count, usize::MAX - place))?;
    let rule = ground.policy.rules[rule].name.clone();
    Some(Prospect { failing: failing.share(), seconds: times.median()?, found: times.found(), rule })
}
