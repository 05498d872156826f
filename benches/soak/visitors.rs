//! Who asks the daemon: Prometheus, people with a dashboard, and clients that do not behave.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::ground::{BUSY, Ground, busy};

/// One scrape.
pub(crate) struct Scrape {
    pub(crate) at: Instant,
    pub(crate) bytes: f64,
    pub(crate) series: f64,
    pub(crate) millis: f64,
}

/// Scrapes until stopped.
pub(crate) async fn scrape_for_ever(ground: Arc<Ground>, scrapes: Arc<Mutex<Vec<Scrape>>>) {
    while ground.nap(5_000).await {
        let at = Instant::now();
        let Some(text) = scrape(&ground).await else {
            ground.count("visitor: scrape without an answer");
            continue;
        };
        let millis = at.elapsed().as_secs_f64() * 1e3;
        let series = text.lines().filter(|line| !line.starts_with('#')).count() as f64;
        scrapes.lock().unwrap().push(Scrape { at, bytes: text.len() as f64, series, millis });
        ground.count("visitor: scrape");
    }
}

pub(crate) async fn scrape(ground: &Ground) -> Option<String> {
    let answer = ground.client.get(format!("{}/metrics", ground.base)).send().await.ok()?;
    answer.text().await.ok()
}

/// Every series there is, without its value.
pub(crate) fn series(text: &str) -> BTreeSet<String> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| Some(line.rsplit_once(' ')?.0.to_owned())).collect()
}

/// The sum of the series of `family` by the value of `label`.
pub(crate) fn sums(text: &str, family: &str, label: &str) -> Vec<(String, f64)> {
    let mut sums = std::collections::BTreeMap::new();
    for line in text.lines().filter_map(|line| line.strip_prefix(family)?.strip_prefix('{')) {
        let Some((labels, value)) = line.rsplit_once("} ") else { continue };
        let key = labels.split(',').find_map(|pair| pair.strip_prefix(label)?.strip_prefix("=\""));
        let Some(key) = key else { continue };
        *sums.entry(key.trim_end_matches('"').to_owned()).or_insert(0.0) +=
            value.parse::<f64>().unwrap_or(0.0);
    }
    sums.into_iter().collect()
}

/// Writes down incidents before the journal forgets them.
pub(crate) async fn keep_incidents(ground: Arc<Ground>) {
    while ground.nap(15_000).await {
        read_incidents(&ground).await;
    }
}

/// Reads the newest thousand incidents.
pub(crate) async fn read_incidents(ground: &Ground) {
    let list = ground.get("/api/v1/incidents?limit=1000").await.unwrap_or_default();
    for incident in list["incidents"].as_array().into_iter().flatten() {
        let Some(id) = incident["id"].as_str() else { continue };
        ground.incidents.lock().unwrap().insert(id.to_owned(), incident.clone());
    }
}

/// People who look.
pub(crate) async fn look_for_ever(ground: Arc<Ground>) {
    let mut dice = fastrand::Rng::with_seed(3);
    while ground.nap(dice.u64(500..2_000)).await {
        let path = match dice.u32(0..10) {
            0 => "/api/v1/apps".to_owned(),
            1 => "/".to_owned(),
            2 => "/ready".to_owned(),
            3 => "/live".to_owned(),
            4 => "/api/v1/apps/nobody".to_owned(),
            5 => format!("/api/v1/incidents?app={}", busy(dice.usize(0..BUSY))),
            _ => "/api/v1/incidents?limit=20".to_owned(),
        };
        let status = ground.status(&path).await;
        ground.count(format!("visitor: status {status}"));
    }
}

/// Clients that are slow, rude or many.
pub(crate) async fn misbehave_for_ever(ground: Arc<Ground>) {
    let mut dice = fastrand::Rng::with_seed(13);
    while ground.nap(dice.u64(2_000..8_000)).await {
        let kind = dice.u32(0..5);
        let address = ground.base.trim_start_matches("http://").to_owned();
        let many = if kind == 3 { 60 } else { 1 };
        for _ in 0..many {
            tokio::spawn(one(address.clone(), kind));
        }
        ground.count("visitor: misbehaving client");
    }
}

/// One such client; ends by itself.
async fn one(address: String, kind: u32) -> std::io::Result<()> {
    let mut stream = TcpStream::connect(address).await?;
    match kind {
        // Half a request, and then nothing: the server has to let it go.
        0 => {
            stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: localhost\r\n").await?;
            let mut rest = Vec::new();
            let _ = tokio::time::timeout(Duration::from_secs(40), stream.read_to_end(&mut rest)).await;
        }
        // A long answer that is never read.
        1 => {
            stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: localhost\r\n\r\n").await?;
            tokio::time::sleep(Duration::from_secs(20)).await;
        }
        // A long answer that is read slowly.
        2 => {
            stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: localhost\r\n\r\n").await?;
            let mut part = vec![0; 64 * 1024];
            for _ in 0..50 {
                if stream.read(&mut part).await? == 0 {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        }
        // Gone at once.
        3 => {}
        // No HTTP, and a body that nobody wants.
        _ => {
            stream
                .write_all(
                    b"POST /api/v1/pause HTTP/1.1\r\nhost: localhost\r\ncontent-length: 99999\r\n\r\nxxxx",
                )
                .await?;
            let mut rest = Vec::new();
            let _ = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut rest)).await;
        }
    }
    Ok(())
}
