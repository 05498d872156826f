//! The commands and the surface speak the same language.

use std::fs;

use clap::Parser;

use super::fake::{Running, TOKEN, Trouble, start};
use crate::cli::{Cli, Error, ExitCode, Page, dispatch};

/// Runs a command line against the server, with this token in the configuration's file.
async fn type_in(server: &Running, token: &str, words: &[&str]) -> Result<String, Error> {
    let dir = tempfile::tempdir().unwrap();
    let (config, file) = (dir.path().join("rearguard.yaml"), dir.path().join("admin"));
    fs::write(&file, token).unwrap();
    fs::write(&config, format!("listen: {}\nadmin_token_file: {}\n", server.at, file.display())).unwrap();
    let line = [&["rearguard"], words, &["--config", config.to_str().unwrap()]].concat();
    dispatch(&Cli::try_parse_from(line).unwrap().command, Page::plain(100)).await
}

#[tokio::test]
async fn what_is_asked_is_shown_to_people_and_as_json() {
    let server = start(Trouble::None).await;
    let status = type_in(&server, TOKEN, &["status"]).await.unwrap();
    assert!(status.starts_with("1 app: 1 steady\n"), "{status}");
    let json = type_in(&server, TOKEN, &["status", "--json"]).await.unwrap();
    assert_eq!(
        serde_json::from_str::<serde_json::Value>(&json).unwrap(),
        server.get("/api/v1/apps").await.json()
    );
    let list = type_in(&server, TOKEN, &["incidents", "--app", "checkout", "--limit", "1"]).await.unwrap();
    assert_eq!(list.matches("checkout-1a2b3c4d").count(), 1);
    let nobody = type_in(&server, TOKEN, &["incidents", "--app", "nope"]).await.unwrap_err();
    assert!(matches!(&nobody, Error::Refused { code, .. } if code == "unknown_app"), "{nobody}");
    assert_eq!(nobody.exit_code(), ExitCode::Failed);
    let story = type_in(&server, TOKEN, &["explain", "checkout-1a2b3c4d"]).await.unwrap();
    assert!(story.starts_with("COMMITTED  checkout-1a2b3c4d\n"), "{story}");
    let unknown = type_in(&server, TOKEN, &["explain", "nope"]).await.unwrap_err();
    assert_eq!(unknown.to_string(), "there is no such incident\n`rearguard incidents` lists those there are");
}

#[tokio::test]
async fn actions_carry_the_token_of_the_configuration() {
    let server = start(Trouble::None).await;
    for words in [
        &["pause", "checkout"][..],
        &["resume", "checkout"],
        &["pause", "--all"],
        &["resume", "--all"],
        &["approve", "checkout-1a2b3c4d"],
        &["reject", "checkout-1a2b3c4d"],
        &["rollback", "checkout", "--to", "d1"],
        &["commit", "checkout"],
    ] {
        type_in(&server, TOKEN, words).await.unwrap();
        let refused = type_in(&server, "wrong", words).await.unwrap_err();
        assert!(matches!(&refused, Error::Refused { code, .. } if code == "unauthorized"), "{refused}");
        assert_eq!(refused.exit_code(), ExitCode::Failed);
    }
    assert_eq!(server.fake.acts.lock().unwrap().len(), 8);
}
