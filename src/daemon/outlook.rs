//! What apps' rules could notice: reckoned where somebody asks, once for all who are alike, and kept.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use crate::config::AppConfig;
use crate::decision::rule::regression::Before;
use crate::ids::RuleName;
use crate::power::{Outlook, known, outlooks};

/// What is kept at most. A fleet has a few kinds of apps, each with a dozen degrees of what is known of the release before.
const KEPT: usize = 4_096;
/// What may wait at most; whoever comes later asks again.
const WAITING: usize = 1_024;

type Outlooks = Arc<[Outlook]>;

/// Where outlooks are asked for.
#[derive(Clone)]
pub(super) struct Desk(mpsc::Sender<Ask>);

struct Ask {
    config: Arc<AppConfig>,
    before: BTreeMap<RuleName, Before>,
    reply: oneshot::Sender<Outlooks>,
}

impl Desk {
    /// Opens it; it is there for as long as anybody may ask.
    pub(super) fn open() -> Self {
        let (asks, asked) = mpsc::channel(64);
        tokio::spawn(Clerk::default().run(asked));
        Self(asks)
    }

    /// What could be noticed of a release of this app, with that much known of the one before.
    pub(super) async fn of(
        &self,
        config: &Arc<AppConfig>,
        before: BTreeMap<RuleName, Before>,
    ) -> Option<Outlooks> {
        let (reply, answer) = oneshot::channel();
        let ask = Ask { config: Arc::clone(config), before, reply };
        self.0.send(ask).await.ok()?;
        answer.await.ok()
    }
}

/// Reckons one after the other, on a thread where nobody waits, and answers what is known meanwhile.
#[derive(Default)]
struct Clerk {
    known: HashMap<String, Outlooks>,
    waiting: HashMap<String, Vec<oneshot::Sender<Outlooks>>>,
    queue: VecDeque<(String, Arc<AppConfig>, BTreeMap<RuleName, Before>)>,
    reckoning: Option<JoinHandle<(String, Outlooks)>>,
}

impl Clerk {
    async fn run(mut self, mut asked: mpsc::Receiver<Ask>) {
        loop {
            tokio::select! {
                biased;
                ask = asked.recv() => match ask {
                    Some(ask) => self.take(ask),
                    None => return,
                },
                done = reckoned(&mut self.reckoning) => {
                    self.reckoning = None;
                    if let Some((key, outlooks)) = done {
                        self.keep(key, outlooks);
                    }
                }
            }
            self.begin();
        }
    }

    fn take(&mut self, Ask { config, before, reply }: Ask) {
        let key = format!("{} {before:?}", known::key(&config.policy, &config.probes));
        if let Some(outlooks) = self.known.get(&key) {
            // Whoever asked may be gone.
            let _ = reply.send(Arc::clone(outlooks));
            return;
        }
        if let Some(waiting) = self.waiting.get_mut(&key) {
            waiting.retain(|reply| !reply.is_closed());
            waiting.push(reply);
        } else if self.queue.len() < WAITING {
            self.waiting.insert(key.clone(), vec![reply]);
            self.queue.push_back((key, config, before));
        }
    }

    fn keep(&mut self, key: String, outlooks: Outlooks) {
        for reply in self.waiting.remove(&key).unwrap_or_default() {
            let _ = reply.send(Arc::clone(&outlooks));
        }
        if self.known.len() >= KEPT {
            self.known.clear();
        }
        self.known.insert(key, outlooks);
    }

    fn begin(&mut self) {
        if self.reckoning.is_some() {
            return;
        }
        let Some((key, config, before)) = self.queue.pop_front() else { return };
        self.reckoning = Some(tokio::task::spawn_blocking(move || {
            let outlooks = outlooks(&config.policy, &config.probes, &before);
            (key, outlooks.into())
        }));
    }
}

/// What came of it; waits for ever while nothing is reckoned.
async fn reckoned(task: &mut Option<JoinHandle<(String, Outlooks)>>) -> Option<(String, Outlooks)> {
    match task {
        Some(task) => task.await.ok(),
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::parse;

    fn app(name: &str, watch: &str) -> Arc<AppConfig> {
        let text =
            include_str!("../../config/minimal.yaml").replace("name: checkout", &format!("name: {name}"));
        let mut app = parse("f.yaml", &text).unwrap().apps.remove(0);
        app.policy.watch = humantime::parse_duration(watch).unwrap();
        Arc::new(app)
    }

    #[tokio::test]
    async fn apps_that_are_alike_have_one_answer_and_all_who_wait_get_it() {
        let desk = Desk::open();
        let (shop, mail, search) = (app("shop", "1m"), app("mail", "1m"), app("search", "2m"));
        let nothing = BTreeMap::new;
        let (one, two, three) =
            tokio::join!(desk.of(&shop, nothing()), desk.of(&mail, nothing()), desk.of(&search, nothing()));
        let (one, two, three) = (one.unwrap(), two.unwrap(), three.unwrap());
        assert!(Arc::ptr_eq(&one, &two) && one != three);
        assert!(Arc::ptr_eq(&one, &desk.of(&shop, nothing()).await.unwrap()), "it is kept");
        assert_eq!((one[0].within_seconds, three[0].within_seconds), (60.0, 120.0));
    }

    #[tokio::test]
    async fn whoever_hangs_up_finds_the_answer_at_the_next_call() {
        let desk = Desk::open();
        let shop = app("shop", "1m");
        drop(tokio::time::timeout(std::time::Duration::ZERO, desk.of(&shop, BTreeMap::new())).await);
        assert!(desk.of(&shop, BTreeMap::new()).await.is_some());
    }
}
