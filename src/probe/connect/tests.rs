//! Which addresses are asked, told apart by the last number of each.

use std::sync::Mutex;

use rustix::io::Errno;

use super::*;
use crate::decision::sample::BlindCause;

const GOOD: Option<SampleResult> = None;
const REFUSED: Option<SampleResult> = Some(SampleResult::Bad(Failure::Connect));

fn address(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

/// What becomes of an attempt.
#[derive(Clone, Copy)]
enum Way {
    Takes,
    Fails(Errno),
    /// Nothing comes back.
    Silent,
    /// It takes a connection after so many milliseconds.
    Slow(u64),
}

/// Connects by these ways in this order, and gives what came of it, which addresses were tried, and how long it took.
async fn reached(turn: Turn, ways: &[(&str, Way)]) -> (Option<SampleResult>, Vec<usize>, u128) {
    let tried = Mutex::new(Vec::new());
    let began = Instant::now();
    let attempt = async |asked: SocketAddr| {
        let n = ways.iter().position(|(text, _)| address(text) == asked).expect("known");
        tried.lock().expect("not poisoned").push(n);
        match ways[n].1 {
            Way::Takes => Ok(()),
            Way::Fails(errno) => Err(io::Error::from_raw_os_error(errno.raw_os_error())),
            Way::Silent => std::future::pending().await,
            Way::Slow(millis) => {
                tokio::time::sleep(Duration::from_millis(millis)).await;
                Ok(())
            }
        }
    };
    let addresses = ways.iter().map(|(text, _)| address(text)).collect();
    let timeout = Duration::from_secs(2);
    let result = tokio::time::timeout(timeout, reach(addresses, turn, attempt)).await;
    let result = result.map_or(Some(SampleResult::Bad(Failure::Timeout)), Result::err);
    (result, tried.into_inner().expect("not poisoned"), began.elapsed().as_millis())
}

const A: &str = "192.0.2.1:80";
const B: &str = "192.0.2.2:80";
const C: &str = "192.0.2.3:80";
const SIX: &str = "[2001:db8::1]:80";
const SEVEN: &str = "[2001:db8::2]:80";
const TIMEOUT: Option<SampleResult> = Some(SampleResult::Bad(Failure::Timeout));

#[tokio::test(start_paused = true)]
async fn in_its_turn_an_address_answers_for_itself_unless_there_is_no_way_to_it() {
    use Way::{Fails, Silent, Slow, Takes};
    let refuses = Fails(Errno::CONNREFUSED);
    let host = Some(SampleResult::Unknown(BlindCause::Host));
    for (what, ways, expected, tried, millis) in [
        ("it takes it", &[(A, Takes), (B, Takes)][..], GOOD, &[0][..], 0),
        ("it refuses", &[(A, refuses), (B, Takes), (SIX, Takes)], REFUSED, &[0], 0),
        ("it resets", &[(A, Fails(Errno::CONNRESET)), (B, Takes)], REFUSED, &[0], 0),
        ("no way", &[(A, Fails(Errno::NETUNREACH)), (B, Takes)], GOOD, &[0, 1], 0),
        ("no host", &[(A, Fails(Errno::HOSTUNREACH)), (B, Takes)], GOOD, &[0, 1], 0),
        ("no address", &[(A, Fails(Errno::ADDRNOTAVAIL)), (B, Takes)], GOOD, &[0, 1], 0),
        (
            "no way, and then a refusal",
            &[(SIX, Fails(Errno::NETUNREACH)), (A, refuses), (B, Takes)],
            REFUSED,
            &[0, 1],
            0,
        ),
        ("no way anywhere", &[(SIX, Fails(Errno::NETUNREACH)), (A, Fails(Errno::NETDOWN))], host, &[0, 1], 0),
        (
            "no way, and a host that is gone",
            &[(SIX, Fails(Errno::NETUNREACH)), (A, Fails(Errno::HOSTUNREACH))],
            REFUSED,
            &[0, 1],
            0,
        ),
        ("our own limits", &[(A, Fails(Errno::MFILE)), (B, Takes)], host, &[0], 0),
        ("silence", &[(A, Silent), (B, Takes), (C, Takes)], TIMEOUT, &[0], 2_000),
        ("slowness", &[(A, Slow(900)), (B, Takes)], GOOD, &[0], 900),
        ("silence of a family", &[(SIX, Silent), (A, Takes), (SEVEN, Takes)], GOOD, &[0, 1], 300),
        (
            "silence, and a refusal by the other family",
            &[(SIX, Silent), (A, refuses), (B, Takes)],
            TIMEOUT,
            &[0, 1],
            2_000,
        ),
        (
            "no way, and then silence",
            &[(SIX, Fails(Errno::NETUNREACH)), (SEVEN, Silent), (A, Takes)],
            GOOD,
            &[0, 1, 2],
            300,
        ),
    ] {
        assert_eq!(reached(Turn::Nth(0), ways).await, (expected, tried.to_vec(), millis), "{what}");
    }
}

#[tokio::test(start_paused = true)]
async fn out_of_turn_any_address_will_do() {
    use Way::{Fails, Silent, Takes};
    let refuses = Fails(Errno::CONNREFUSED);
    let host = Some(SampleResult::Unknown(BlindCause::Host));
    for (what, ways, expected, tried, millis) in [
        ("one refuses", &[(A, refuses), (B, Takes)][..], GOOD, &[0, 1][..], 0),
        (
            "all refuse",
            &[(A, refuses), (B, refuses), (SIX, Fails(Errno::NETUNREACH))],
            REFUSED,
            &[0, 1, 2],
            0,
        ),
        ("no way but a refusal", &[(SIX, Fails(Errno::NETUNREACH)), (A, refuses)], REFUSED, &[0, 1], 0),
        ("no way", &[(SIX, Fails(Errno::NETUNREACH))], host, &[0], 0),
        ("one is silent", &[(A, Silent), (B, Silent), (C, Takes)], GOOD, &[0, 1, 2], 600),
        ("none there", &[], Some(SampleResult::Bad(Failure::Dns)), &[], 0),
    ] {
        assert_eq!(reached(Turn::Any, ways).await, (expected, tried.to_vec(), millis), "{what}");
    }
}
