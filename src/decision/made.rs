//! A deployment that looks like a real one, made for tests.

use super::observation::{Artifact, Cause, Deployment, Phase};

pub(crate) fn deployment(id: &str) -> Deployment {
    Deployment {
        id: id.into(),
        phase: Phase::Active,
        cause: Cause::Release,
        created_ms: 7,
        complete: true,
        artifact: Artifact {
            code: vec![("web".to_owned(), "9a4df0b".to_owned())],
            spec: "spec".to_owned(),
            ..Artifact::default()
        },
        cloned_from: None,
        took_ms: None,
        title: "commit 9a4df0b pushed".to_owned(),
    }
}
