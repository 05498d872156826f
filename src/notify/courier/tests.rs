//! A courier with a journal on disk and a server on loopback.

use std::sync::Mutex;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use tempfile::TempDir;
use tokio_util::task::TaskTracker;

use super::*;
use crate::clock::SteadyClock;
use crate::config::notify::{CarrierConfig, SecretUrl, UrlSource};
use crate::journal::{Notice, SqliteJournal};
use crate::notify::event::Kind;
use crate::notify::office::Office;
use crate::notify::post::Post;

/// How long a test waits for what must happen.
const PATIENCE: Duration = Duration::from_secs(30);

/// A key that contains this gets that status, and is asked to wait.
type Reply = (&'static str, u16, &'static str);

/// A server that remembers keys and answers as it is told.
#[derive(Clone, Default)]
struct Server {
    heard: Arc<Mutex<Vec<String>>>,
    answers: Arc<Mutex<Vec<Reply>>>,
}

impl Server {
    async fn start(answers: &[Reply]) -> (Self, CarrierConfig) {
        let server = Self { answers: Arc::new(Mutex::new(answers.to_vec())), ..Self::default() };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap()).parse().unwrap();
        let router = Router::new().route("/", post(Self::hear)).with_state(server.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        (server, CarrierConfig::Webhook { url: UrlSource::Written(SecretUrl(url)), secret: None })
    }

    async fn hear(State(server): State<Self>, headers: HeaderMap) -> (StatusCode, HeaderMap) {
        let key = headers["idempotency-key"].to_str().unwrap().to_owned();
        let mut answers = server.answers.lock().unwrap();
        let found = answers.iter().position(|(part, ..)| key.contains(part));
        // A wait is asked for once, everything else for ever.
        let answer = found.map(|at| match answers[at].2 {
            "" => answers[at],
            _ => answers.remove(at),
        });
        server.heard.lock().unwrap().push(key);
        let mut more = HeaderMap::new();
        let Some((_, status, wait)) = answer else { return (StatusCode::OK, more) };
        if !wait.is_empty() {
            more.insert("retry-after", wait.parse().unwrap());
        }
        (StatusCode::from_u16(status).unwrap(), more)
    }

    async fn until(&self, count: usize) -> Vec<String> {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let heard = self.heard.lock().unwrap().clone();
            if heard.len() >= count {
                return heard;
            }
            assert!(tokio::time::Instant::now() < deadline, "{heard:?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

struct Bench {
    ground: Ground,
    office: Office,
    _folder: TempDir,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (post, handed_in) = Post::open();
        let ground = Ground {
            journal: Arc::new(SqliteJournal::open(folder.path().join("journal.db")).unwrap()),
            clock: Arc::new(SteadyClock::resume(None)),
            metrics: Metrics::new(&[]).unwrap(),
            post,
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
        };
        Self { office: Office::open(ground.clone(), handed_in), ground, _folder: folder }
    }

    fn channel(&mut self, carrier: CarrierConfig) {
        let config = ChannelConfig {
            name: "ops".into(),
            carrier,
            only: std::collections::BTreeSet::new(),
            apps: std::collections::BTreeSet::new(),
            template: None,
            give_up: Duration::from_secs(3_600),
        };
        self.office.take(vec![config], None);
    }

    /// Writes that something happened so long ago.
    async fn tell(&self, thread: &str, key: &str, ago: Duration) {
        let mut event = Event::sample(Kind::Fired);
        event.key = key.to_owned();
        let (made, wall) = (self.ground.clock.now() - ago, self.ground.clock.wall());
        let event = serde_json::to_string(&event).unwrap();
        let (key, thread) = (key.to_owned(), thread.to_owned());
        let notice = Notice { key, thread, made, wall, event, channels: vec!["ops".into()] };
        self.ground.journal.tell(vec![notice]).await.unwrap();
        self.ground.post.ring();
    }

    /// The first of each thread that waits.
    async fn waiting(&self) -> Vec<Pending> {
        self.ground.journal.outbox(&"ops".into(), 10).await.unwrap().heads
    }

    async fn until_nothing_waits(&self) {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        while !self.waiting().await.is_empty() {
            assert!(tokio::time::Instant::now() < deadline, "{:?}", self.waiting().await);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    fn counted(&self, result: Notified) -> u64 {
        let text = crate::metrics::render(&self.ground.metrics, self.ground.clock.now()).unwrap();
        let text = String::from_utf8(text).unwrap();
        let series =
            format!("rearguard_notifications_total{{channel=\"ops\",result=\"{}\"}} ", result.word());
        let line = text.lines().find_map(|line| line.strip_prefix(series.as_str()));
        line.unwrap_or_else(|| panic!("no {series} in {text}")).parse().unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_holds_up_its_own_incident_only_and_not_for_ever() {
    let mut bench = Bench::new();
    for (thread, key) in [("a", "a-bad"), ("a", "a-next"), ("b", "b-1"), ("b", "b-2")] {
        bench.tell(thread, key, Duration::ZERO).await;
    }
    // It was refused all but once already.
    let bad = bench.waiting().await[0].clone();
    let later = Settled::Later { due: bench.ground.clock.now(), is_refusal: true };
    for _ in 2..REFUSALS {
        bench.ground.journal.settle(bad.id, bench.ground.clock.wall(), later.clone()).await.unwrap();
    }
    let (server, carrier) = Server::start(&[("bad", 422, "")]).await;
    bench.channel(carrier);
    let heard = server.until(5).await;
    bench.until_nothing_waits().await;
    assert_eq!(heard.iter().filter(|key| *key == "a-bad").count(), 2);
    assert_eq!(heard.last().unwrap(), "a-next", "{heard:?}");
    let of_b: Vec<_> = heard.iter().filter(|key| key.starts_with('b')).collect();
    assert_eq!(of_b, ["b-1", "b-2"]);
    assert_eq!(
        [Notified::Refused, Notified::Failed, Notified::Delivered].map(|how| bench.counted(how)),
        [1, 1, 3]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_person_may_mend_is_no_refusal_of_the_event() {
    let mut bench = Bench::new();
    bench.tell("a", "a-1", Duration::ZERO).await;
    let (server, carrier) = Server::start(&[("a-1", 401, "0")]).await;
    bench.channel(carrier);
    server.until(2).await;
    bench.until_nothing_waits().await;
    assert_eq!(
        [Notified::Refused, Notified::Failed, Notified::Delivered].map(|how| bench.counted(how)),
        [0, 1, 1]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_could_not_be_told_for_too_long_is_given_up_and_the_next_goes_out() {
    let mut bench = Bench::new();
    bench.tell("a", "a-old", Duration::from_secs(3_700)).await;
    bench.tell("a", "a-new", Duration::from_secs(10)).await;
    let (server, carrier) = Server::start(&[]).await;
    bench.channel(carrier);
    bench.until_nothing_waits().await;
    assert_eq!(server.until(1).await, ["a-new"]);
    assert_eq!(bench.counted(Notified::Expired), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_that_wants_to_be_left_alone_is_left_alone() {
    let mut bench = Bench::new();
    let (server, carrier) = Server::start(&[("a-1", 429, "2")]).await;
    bench.tell("a", "a-1", Duration::ZERO).await;
    bench.tell("b", "b-1", Duration::ZERO).await;
    bench.channel(carrier);
    let asked = {
        server.until(1).await;
        tokio::time::Instant::now()
    };
    let heard = server.until(3).await;
    // Both wait: the limit is the channel's.
    assert!(asked.elapsed() > Duration::from_millis(1_500), "{heard:?}");
    bench.until_nothing_waits().await;
}

#[test]
fn pauses_double_up_to_five_minutes() {
    let pauses = [0, 1, 2, 5, 8, 9, 40, u32::MAX].map(|tries| pause(tries, 0.5).as_secs());
    assert_eq!(pauses, [1, 2, 4, 32, 256, 300, 300, 300]);
    assert_eq!((pause(0, 0.0), pause(0, 1.0)), (Duration::from_millis(800), Duration::from_millis(1_200)));
}
