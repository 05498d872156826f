use std::time::Duration;

use super::*;
use crate::clock::SteadyClock;
use crate::config::{Config, load};
use crate::journal::SqliteJournal;

const NOW: Moment = Moment::from_millis(1_000_000);

fn two_apps() -> Config {
    let app = |name: &str| {
        format!(
            "  - {{ name: {name}, platform: ocean, id: id-{name}, probes: [{{ name: home, url: http://127.0.0.1:1/ }}] }}\n"
        )
    };
    let text = format!(
        "platforms: [{{ name: ocean, kind: digitalocean, token_env: TOKEN }}]\napps:\n{}{}",
        app("shop"),
        app("cart")
    );
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("rearguard.yaml");
    std::fs::write(&path, text).expect("written");
    load(&path).expect("a configuration")
}

fn pauses(journal: &crate::journal::Restored) -> Vec<&str> {
    journal.paused.iter().map(|(app, _)| app.as_str()).collect()
}

#[tokio::test]
async fn what_is_in_force_is_written_again_once_the_journal_may_have_lost_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let journal = SqliteJournal::open(folder.path().join("rearguard.db")).expect("a journal");
    let config = two_apps();
    let (paused, app) = (Paused::default(), &config.apps[0]);
    paused.recall(Vec::new());
    paused.pause(Some(&app.id), Pause::default(), NOW).expect("nothing stands");
    paused.keep(&journal, (NOW, Timestamp::UNIX_EPOCH)).await.expect("kept");
    assert_eq!(pauses(&journal.restore().await.expect("read")), ["id-shop"]);
    // A resume that got no further than this.
    journal.end_pause("id-shop", Some("ada".into()), Timestamp::UNIX_EPOCH).await.expect("written");
    paused.keep(&journal, (NOW, Timestamp::UNIX_EPOCH)).await.expect("kept");
    assert_eq!(pauses(&journal.restore().await.expect("read")), [""; 0]);
    paused.is_unwritten();
    paused.keep(&journal, (NOW, Timestamp::UNIX_EPOCH)).await.expect("kept");
    assert_eq!(pauses(&journal.restore().await.expect("read")), ["id-shop"]);
    assert!(paused.has(&app.id, NOW) && paused.is_paused(app, NOW));
}

#[tokio::test]
async fn a_pause_with_a_time_ends_to_the_millisecond_and_leaves_the_journal() {
    let folder = tempfile::tempdir().expect("a folder");
    let journal = SqliteJournal::open(folder.path().join("rearguard.db")).expect("a journal");
    let config = two_apps();
    let app = &config.apps[0];
    let until = NOW + Duration::from_secs(7_200);
    let pause = Pause { until: Some(until), by: Some("ada".into()), ..Pause::default() };
    let before = Paused::default();
    before.recall(Vec::new());
    before.pause(Some(&app.id), pause.clone(), NOW).expect("nothing stands");
    before.keep(&journal, (NOW, Timestamp::UNIX_EPOCH)).await.expect("kept");
    // Another process.
    let paused = Paused::default();
    paused.recall(journal.restore().await.expect("read").paused);
    let last = until - Duration::from_millis(1);
    assert_eq!(paused.why(app, last), Some(Why::Word { pause, all: false }));
    paused.keep(&journal, (last, Timestamp::UNIX_EPOCH)).await.expect("kept");
    assert!(paused.is_paused(app, last) && !paused.is_paused(app, until) && !paused.has(&app.id, until));
    paused.keep(&journal, (until, Timestamp::UNIX_EPOCH)).await.expect("kept");
    assert_eq!(pauses(&journal.restore().await.expect("read")), [""; 0]);
}

#[test]
fn a_file_pauses_everything_or_the_app_in_its_name_and_is_looked_for_before_a_write() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join(FILE);
    let config = two_apps();
    let paused = Paused::with_file(path.clone());
    paused.recall(Vec::new());
    let who = || {
        let each = |n: usize| paused.is_paused_at_last(&config.apps[n], NOW);
        (each(0), each(1))
    };
    assert_eq!(who(), (false, false));
    std::fs::write(&path, "").expect("touched");
    assert!(!paused.is_paused(&config.apps[0], NOW), "nobody has looked yet");
    assert_eq!(who(), (true, true));
    assert_eq!(paused.why(&config.apps[0], NOW), Some(Why::File));
    std::fs::write(&path, "hands off until five, ada\n").expect("written");
    assert_eq!(who(), (true, true), "what is in it is for people");
    std::fs::remove_file(&path).expect("removed");
    assert_eq!(who(), (false, false));
    std::fs::write(folder.path().join("paused-cart"), "").expect("touched");
    assert_eq!(who(), (false, true));
    let named = |app: usize| paused.file_that_pauses(&config.apps[app]);
    assert_eq!((named(0), named(1)), (None, Some(folder.path().join("paused-cart"))));
    assert_eq!(paused.strangers(&["shop", "cart"].into()), BTreeSet::new());
    assert_eq!(paused.strangers(&["shop"].into()), BTreeSet::from(["cart".to_owned()]));
    std::fs::create_dir(&path).expect("a folder in its place");
    assert_eq!(who(), (true, true), "somebody put it there");
}

#[test]
fn until_the_journal_was_read_everybody_is_paused() {
    let config = two_apps();
    let paused = Paused::default();
    assert_eq!(paused.why(&config.apps[0], NOW), Some(Why::Unknown));
    paused.recall(Vec::new());
    assert_eq!(paused.why(&config.apps[0], NOW), None);
}

#[test]
fn a_pause_that_stands_is_longer_than_one_that_ends_before_it() {
    let config = two_apps();
    let app = Some(&config.apps[0].id);
    let paused = Paused::default();
    let at = |seconds: u64| Some(NOW + Duration::from_secs(seconds));
    let pause = |until| Pause { until, ..Pause::default() };
    let asks = |until, now| paused.pause(app, pause(until), now).map_err(|stands| stands.until);
    assert_eq!(asks(at(60), NOW), Ok(()));
    assert_eq!(asks(at(5), NOW), Err(at(60)));
    assert!(paused.has(&config.apps[0].id, NOW + Duration::from_secs(59)), "it stands");
    assert_eq!((asks(at(61), NOW), asks(at(61), NOW)), (Ok(()), Ok(())));
    assert_eq!(asks(at(70), NOW + Duration::from_secs(61)), Ok(()), "the other one is over by then");
    assert_eq!((asks(None, NOW), asks(None, NOW)), (Ok(()), Ok(())));
    assert_eq!(asks(at(5), NOW), Err(None));
}

#[tokio::test]
async fn a_pause_is_in_force_while_it_waits_for_its_turn_and_when_it_has_it() {
    let config = two_apps();
    let app = &config.apps[0];
    let paused = Paused::default();
    paused.recall(Vec::new());
    let clock = SteadyClock::resume(None);
    let turn = paused.turn().await;
    let mut asked = std::pin::pin!(paused.pause_in_turn(Some(&app.id), Pause::default(), &clock));
    assert!(futures_util::poll!(&mut asked).is_pending());
    assert!(paused.is_paused(app, clock.now()));
    // Whose turn it is ends all pauses: it was asked to before.
    paused.resume(None);
    drop(turn);
    let _turn = asked.await.expect("nothing stands");
    assert!(paused.is_paused(app, clock.now()));
}

#[tokio::test]
async fn what_is_not_its_turn_yet_takes_no_longer_pause_away() {
    let config = two_apps();
    let app = &config.apps[0];
    let paused = Paused::default();
    let clock = SteadyClock::resume(None);
    let turn = paused.turn().await;
    paused.pause(Some(&app.id), Pause::default(), clock.now()).expect("nothing stands");
    let short = Pause { until: Some(clock.now() + Duration::from_secs(60)), ..Pause::default() };
    let mut asked = std::pin::pin!(paused.pause_in_turn(Some(&app.id), short.clone(), &clock));
    assert!(futures_util::poll!(&mut asked).is_pending());
    assert!(paused.has(&app.id, clock.now() + Duration::from_secs(61)));
    // It ends before the shorter one has its turn.
    paused.resume(Some(&app.id));
    drop(turn);
    let _turn = asked.await.expect("nothing stands any more");
    paused.is_written(Some(&app.id), &Pause::default());
    assert!(paused.known.borrow().unwritten.contains(app.id.as_str()), "another one is in force");
    paused.is_written(Some(&app.id), &short);
    assert!(paused.known.borrow().unwritten.is_empty());
}
