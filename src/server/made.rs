//! Apps made up for tests.

use jiff::Timestamp;

use super::{AppStatus, ProbeStatus, RuleStatus};
use crate::decision::policy::Mode;

/// One that nothing is the matter with, and of which little is known.
pub(crate) fn app(name: &str) -> AppStatus {
    AppStatus {
        name: name.into(),
        platform: "ocean".into(),
        id: "4f6c71e2".into(),
        mode: Mode::Enforce,
        state: "steady".to_owned(),
        incident: None,
        stage: None,
        waiting: None,
        approve_by: None,
        target_deployment: None,
        paused: false,
        pause: None,
        pause_words: Vec::new(),
        freeze: None,
        live_deployment: Some("d1".into()),
        in_progress_deployment: None,
        failed_deployment: None,
        pinned_deployment: None,
        pushes_paused: false,
        last_good_deployment: Some("d1".into()),
        left_good_deployment: None,
        newer_release: false,
        rollback: None,
        watch_remaining_seconds: None,
        soak_remaining_seconds: None,
        platform_read_at: Some(Timestamp::UNIX_EPOCH),
        platform_fault: None,
        blind: None,
        blind_because: None,
        rules: vec![RuleStatus {
            name: "down".into(),
            condition: "bad at 3 failures in a row".to_owned(),
            evidence: "nothing measured".to_owned(),
            verdict: "unknown".to_owned(),
            value: Some(f64::NAN),
            threshold: 3.0,
            samples: 0,
            only_tells: false,
            told_at: None,
        }],
        probes: vec![ProbeStatus {
            name: "home".into(),
            url: "https://checkout.example.com/healthz".to_owned(),
            result: None,
            detail: None,
            complaint: None,
            latency_seconds: None,
            at: None,
        }],
        detection: None,
    }
}
