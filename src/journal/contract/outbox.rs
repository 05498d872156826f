//! What the outbox of a store must do.

use super::{Bench, illegal};
use crate::ids::ChannelName;
use crate::journal::made::{entry, moment, notice, owing, steady, wall};
use crate::journal::{Entry, Journal, Pending, Settled};

fn ops() -> ChannelName {
    "ops".into()
}

async fn heads(journal: &dyn Journal, channel: &ChannelName) -> Vec<Pending> {
    journal.outbox(channel, 10).await.expect("read").heads
}

async fn keys(journal: &dyn Journal, channel: &str) -> Vec<String> {
    heads(journal, &channel.into()).await.into_iter().map(|pending| pending.key).collect()
}

async fn deliver(journal: &dyn Journal, id: i64, mark: Option<&str>) {
    let settled = Settled::Delivered { mark: mark.map(str::to_owned) };
    journal.settle(id, wall(50), settled).await.expect("settled");
}

pub(in super::super) async fn a_notice_is_written_with_its_decision_or_not_at_all(bench: &dyn Bench) {
    let journal = bench.open();
    let with = |entry: Entry, key: &str| Entry { notices: vec![notice("i", key, 1, &["ops"])], ..entry };
    journal.record(with(owing(&"web".into(), 1), "a")).await.expect("recorded");
    // Its effect is the second that is open, so nothing of it is there.
    illegal(journal.record(with(owing(&"web".into(), 2), "b")).await, &"web".into());
    drop(journal);
    let journal = bench.open();
    assert_eq!(journal.outbox(&ops(), 10).await.expect("read").waiting, 1);
    assert_eq!(keys(&*journal, "ops").await, ["a"]);
}

pub(in super::super) async fn a_notice_that_is_known_is_not_kept_again(bench: &dyn Bench) {
    let journal = bench.open();
    let a = || notice("i", "a", 1, &["ops", "team"]);
    journal.tell(vec![a(), a(), notice("i", "for-nobody", 1, &[])]).await.expect("told");
    let id = heads(&*journal, &ops()).await[0].id;
    deliver(&*journal, id, None).await;
    journal.tell(vec![a()]).await.expect("told again");
    let again = Entry { notices: vec![a()], ..entry(&"web".into(), 1, steady()) };
    journal.record(again).await.expect("recorded");
    assert_eq!(keys(&*journal, "ops").await, [""; 0]);
    assert_eq!(keys(&*journal, "team").await, ["a"]);
}

pub(in super::super) async fn the_first_of_each_thread_is_given_and_the_next_after_it(bench: &dyn Bench) {
    let journal = bench.open();
    for (thread, key, at) in [("i", "i1", 3), ("i", "i2", 4), ("j", "j1", 2), ("i", "i3", 1)] {
        journal.tell(vec![notice(thread, key, at, &["ops"])]).await.expect("told");
    }
    let outbox = journal.outbox(&ops(), 10).await.expect("read");
    assert_eq!(outbox.waiting, 4);
    let [j1, i1] = outbox.heads.as_slice() else { panic!("{outbox:?}") };
    assert_eq!((j1.key.as_str(), i1.key.as_str()), ("j1", "i1"), "by when they are due");
    assert_eq!((i1.due, i1.made, i1.attempts, i1.refusals), (moment(3), moment(3), 0, 0));
    assert_eq!(journal.outbox(&ops(), 1).await.expect("read").heads.len(), 1);

    let later = |due, is_refusal| Settled::Later { due: moment(due), is_refusal };
    journal.settle(i1.id, wall(5), later(9, true)).await.expect("settled");
    journal.settle(i1.id, wall(6), later(20, false)).await.expect("settled");
    drop(journal);
    let journal = bench.open();
    let found = heads(&*journal, &ops()).await;
    assert_eq!(found.iter().map(|pending| pending.key.as_str()).collect::<Vec<_>>(), ["j1", "i1"]);
    assert_eq!((found[1].due, found[1].attempts, found[1].refusals), (moment(20), 2, 1));

    // Whatever it came to, the next one's turn comes when it is over.
    for (over, next) in [(Settled::Refused, "i2"), (Settled::Expired, "i3")] {
        let first = heads(&*journal, &ops()).await.into_iter().find(|pending| pending.thread == "i");
        journal.settle(first.expect("one").id, wall(7), over).await.expect("settled");
        assert!(keys(&*journal, "ops").await.contains(&next.to_owned()));
    }
    // What is over stays so.
    journal.settle(found[1].id, wall(8), later(0, false)).await.expect("nothing");
    assert_eq!(journal.outbox(&ops(), 10).await.expect("read").waiting, 2);
}

pub(in super::super) async fn what_a_channel_notes_of_a_thread_is_there_for_its_next_notice(
    bench: &dyn Bench,
) {
    let journal = bench.open();
    let both = ["i1", "i2"].map(|key| notice("i", key, 1, &["ops", "team"]));
    journal.tell(both.to_vec()).await.expect("told");
    deliver(&*journal, heads(&*journal, &ops()).await[0].id, Some("171.5")).await;
    drop(journal);
    let journal = bench.open();
    assert_eq!(heads(&*journal, &ops()).await[0].mark.as_deref(), Some("171.5"));
    assert_eq!(heads(&*journal, &"team".into()).await[0].mark, None, "it is the channel's own");
    assert_eq!(journal.marks(&ops()).await, Ok(vec![("i".to_owned(), "171.5".to_owned())]));
    journal.forget_mark(&ops(), "i").await.expect("forgotten");
    assert_eq!(journal.marks(&ops()).await, Ok(Vec::new()));
}

pub(in super::super) async fn what_waits_for_a_channel_that_is_gone_is_forgotten(bench: &dyn Bench) {
    let journal = bench.open();
    let all = ["a", "b"].map(|key| notice(key, key, 1, &["ops", "team"]));
    journal.tell(all.to_vec()).await.expect("told");
    deliver(&*journal, heads(&*journal, &ops()).await[0].id, Some("mark")).await;
    assert_eq!(journal.keep_channels(vec!["team".into()]).await, Ok(1));
    assert_eq!(journal.keep_channels(vec!["team".into()]).await, Ok(0));
    assert_eq!(keys(&*journal, "ops").await, [""; 0]);
    assert_eq!(journal.marks(&ops()).await, Ok(Vec::new()));
    assert_eq!(keys(&*journal, "team").await, ["a", "b"]);
}

pub(in super::super) async fn prune_keeps_what_is_still_to_be_told(bench: &dyn Bench) {
    let journal = bench.open();
    let all = [("a", 1), ("b", 2), ("c", 40)].map(|(key, at)| notice(key, key, at, &["ops"]));
    journal.tell(all.to_vec()).await.expect("told");
    for pending in heads(&*journal, &ops()).await.iter().filter(|pending| pending.key != "b") {
        deliver(&*journal, pending.id, Some("mark")).await;
    }
    // The first of them with its delivery; the marks were made at 50.
    assert_eq!(journal.prune(wall(30)).await, Ok(2));
    assert_eq!(keys(&*journal, "ops").await, ["b"]);
    assert_eq!(journal.prune(wall(60)).await, Ok(4), "the third with its delivery, and two marks");
    // Nobody tries for so long.
    assert_eq!(journal.prune(wall(5 * 86_400)).await, Ok(2));
}
