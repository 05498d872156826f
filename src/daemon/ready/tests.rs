//! What is asked of a platform in quiet times, and what is made of its answers.

use std::collections::VecDeque;
use std::sync::Mutex;

use super::*;
use crate::clock::Mark;
use crate::config::parse;
use crate::decision::effect::Validation;
use crate::decision::observation::{Artifact, Cause, Phase};
use crate::decision::policy::OnMigrations;
use crate::ids::PlatformAppId;
use crate::platform::{Answered, Budget, Call, Listed};

const HOUR: Duration = Duration::from_secs(3_600);

/// A clock that stands.
struct Still;

impl Clock for Still {
    fn now(&self) -> Moment {
        Moment::from_millis(1_000)
    }

    fn wall(&self) -> jiff::Timestamp {
        jiff::Timestamp::UNIX_EPOCH
    }

    fn mark(&self) -> Mark {
        Mark { at: self.now(), boottime_ms: 0, boot_id: String::new() }
    }
}

/// Says of each target in turn what it is told to say, and what is left of its rate limit.
struct Scripted {
    says: Mutex<VecDeque<Result<Validation, PlatformError>>>,
    left: u32,
    holds: Option<Duration>,
    history: Vec<Deployment>,
}

impl Platform for Scripted {
    fn list_apps<'a>(&'a self, _: &'a [PlatformAppId]) -> Call<'a, Listed> {
        unreachable!("the poller's")
    }

    fn app<'a>(&'a self, _: &'a PlatformAppId) -> Call<'a, AppView> {
        unreachable!("the poller's")
    }

    fn deployments<'a>(&'a self, _: &'a PlatformAppId) -> Call<'a, Vec<Deployment>> {
        Box::pin(async { Ok(answered(self.history.clone())) })
    }

    fn validate_rollback<'a>(&'a self, _: &'a PlatformAppId, _: Goal<'a>) -> Call<'a, Validation> {
        let said = self.says.lock().unwrap().pop_front().expect("no more questions than answers");
        Box::pin(async { said.map(answered) })
    }

    fn create_rollback<'a>(&'a self, _: &'a PlatformAppId, _: Goal<'a>) -> Call<'a, Deployment> {
        unreachable!("a question writes nothing")
    }

    fn restart<'a>(&'a self, _: &'a PlatformAppId, _: &'a [String]) -> Call<'a, Deployment> {
        unreachable!("a question writes nothing")
    }

    fn budget(&self) -> Budget {
        Budget {
            remaining: Some(self.left),
            limit: Some(5_000),
            hold_reads: self.holds,
            window: HOUR,
            reads_a_poll: 1,
        }
    }

    fn reload_token(&self) {}
}

fn answered<T>(value: T) -> Answered<T> {
    Answered { value, status: 200, request_id: None }
}

fn deployment(id: &str, created_ms: i64) -> Deployment {
    Deployment {
        id: id.into(),
        phase: if id == "d4" { Phase::Active } else { Phase::Superseded },
        cause: Cause::Release,
        created_ms,
        complete: true,
        artifact: Artifact { code: vec![("web".into(), id.into())], ..Artifact::default() },
        cloned_from: None,
        took_ms: None,
        title: String::new(),
    }
}

fn refused() -> Result<Validation, PlatformError> {
    let error = Condition { code: "no".to_owned(), message: String::new(), is_advice: false };
    Ok(Validation { error: Some(error), ..Validation::default() })
}

fn valid() -> Result<Validation, PlatformError> {
    Ok(Validation { valid: true, ..Validation::default() })
}

/// An app with three releases before the live one.
struct Scene {
    says: Vec<Result<Validation, PlatformError>>,
    left: u32,
    /// Which of them ran other migrations than what is live.
    migrated: Option<usize>,
    /// What the platform asks to wait before the next read.
    holds: Option<Duration>,
}

/// What was found out: the target and the obstacle, and whether that is not all; how many of the answers were asked for, and
/// how long whoever asks next has to wait for it.
type Found = (Option<(Option<String>, Option<Reason>, bool)>, usize, Duration);

impl Scene {
    async fn ask(self) -> Found {
        let mut history: Vec<Deployment> = ["d4", "d3", "d2", "d1"]
            .into_iter()
            .zip([4, 3, 2, 1])
            .map(|(id, at)| deployment(id, at))
            .collect();
        if let Some(nth) = self.migrated {
            history[nth].artifact.migrations = "other".into();
        }
        let many = self.says.len();
        let (says, view) = (
            Mutex::new(self.says.into()),
            AppView { active: Some(history[0].clone()), ..AppView::default() },
        );
        let platform = Arc::new(Scripted { says, left: self.left, holds: self.holds, history });
        let text = include_str!("../../../config/minimal.yaml");
        let mut config = parse("rearguard.yaml", text).unwrap().apps[0].clone();
        config.policy.rollback.migrations = OnMigrations::Hold;
        let (turns, clock) = (Arc::new(Turns::default()), Arc::new(Still));
        let question = Question {
            config: Arc::new(config),
            platform: Arc::clone(&platform) as Arc<dyn Platform>,
            turns: Arc::clone(&turns),
            clock: Arc::clone(&clock) as Arc<dyn Clock>,
            state: State::default(),
            view,
        };
        let found = ask(question).await.map(|readiness| {
            let reason = readiness.obstacle.map(|(reason, _)| reason);
            (readiness.target.map(|target| target.id.to_string()), reason, readiness.is_cut_short)
        });
        let left = platform.says.lock().unwrap().len();
        (found, many - left, turns.queue(clock.now()))
    }
}

fn at(target: &str, reason: impl Into<Option<Reason>>) -> Option<(Option<String>, Option<Reason>, bool)> {
    Some((Some(target.to_owned()), reason.into(), false))
}

fn cut_short(target: &str, reason: Reason) -> Option<(Option<String>, Option<Reason>, bool)> {
    Some((Some(target.to_owned()), Some(reason), true))
}

/// How long a dry run is nobody else's turn: a quarter of 5,000 an hour.
const TURN: Duration = Duration::from_millis(2_880);

#[tokio::test]
async fn a_target_that_is_refused_is_followed_by_the_next_which_pays_for_itself() {
    let of = |says| Scene { says, left: 5_000, migrated: None, holds: None };
    assert_eq!(of(vec![valid()]).ask().await, (at("d3", None), 1, Duration::ZERO));
    assert_eq!(of(vec![refused(), valid()]).ask().await, (at("d2", None), 2, TURN));
    let all = vec![refused(), refused(), refused(), valid()];
    assert_eq!(of(all).ask().await, (at("d1", Reason::NotValid), 3, TURN * 2), "as many as in an incident");
}

#[tokio::test]
async fn what_is_left_of_the_limit_for_acting_is_not_asked_away() {
    let of = |left| Scene { says: vec![refused(), valid()], left, migrated: None, holds: None };
    assert_eq!(of(501).ask().await, (at("d2", None), 2, TURN));
    assert_eq!(of(500).ask().await, (cut_short("d3", Reason::NotValid), 1, Duration::ZERO));
    let held = Scene { holds: Some(HOUR), ..of(5_000) };
    assert_eq!(held.ask().await, (cut_short("d3", Reason::NotValid), 1, Duration::ZERO));
}

#[tokio::test]
async fn that_a_target_was_refused_is_known_also_where_the_next_question_has_no_answer() {
    let silent = || Err(PlatformError::NotConnected("it is away".to_owned()));
    let of = |says| Scene { says, left: 5_000, migrated: None, holds: None };
    assert_eq!(of(vec![silent()]).ask().await.0, None, "the last answer stands");
    assert_eq!(of(vec![refused(), silent()]).ask().await, (cut_short("d3", Reason::NotValid), 2, TURN));
}

#[tokio::test]
async fn what_keeps_from_going_back_to_a_target_is_said_with_it() {
    let of = |migrated, says| Scene { says, left: 5_000, migrated: Some(migrated), holds: None };
    assert_eq!(of(1, vec![]).ask().await, (at("d3", Reason::Migration), 0, Duration::ZERO));
    let after_a_refusal = of(2, vec![refused()]).ask().await;
    assert_eq!(after_a_refusal, (at("d2", Reason::Migration), 1, Duration::ZERO));
}

#[test]
fn an_answer_that_was_not_renewed_for_two_rounds_is_none() {
    let at = Moment::from_millis;
    let readiness = Readiness {
        live: "d2".into(),
        asked_at: at(1_000),
        target: None,
        obstacle: None,
        warnings: Vec::new(),
        by: Support::Native,
        is_cut_short: false,
        expected: None,
    };
    let round = Duration::from_secs(60);
    assert!(!readiness.is_old(at(121_000), round));
    assert!(readiness.is_old(at(121_001), round));
}
