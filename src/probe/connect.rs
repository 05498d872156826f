//! A connection to the app, by whichever of its addresses takes one.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::future::select_ok;
use tokio::net::TcpStream;
use url::Host;

use super::blame::{blame_io, blame_lookup};
use super::resolve::Resolver;
use crate::decision::sample::{Failure, SampleResult};

/// The next address is tried this much later, whatever became of the one before: it may be that only our way there is
/// broken. RFC 8305 recommends 250 ms, hyper-util waits as long for a page.
const STAGGER: Duration = Duration::from_millis(300);

/// A connection, or what it means that there is none.
pub(super) async fn connect(resolver: &Resolver, host: &Host, port: u16) -> Result<TcpStream, SampleResult> {
    let addresses = match host {
        Host::Ipv4(address) => vec![SocketAddr::from((*address, port))],
        Host::Ipv6(address) => vec![SocketAddr::from((*address, port))],
        Host::Domain(name) => match resolver.addresses(name).await {
            Ok(found) => found.iter().map(|found| SocketAddr::from((found.ip(), port))).collect(),
            Err(error) => return Err(blame_lookup(&error)),
        },
    };
    any_of(addresses).await
}

async fn any_of(addresses: Vec<SocketAddr>) -> Result<TcpStream, SampleResult> {
    let attempts = addresses.into_iter().zip(0..).map(|(address, nth)| {
        Box::pin(async move {
            tokio::time::sleep(STAGGER * nth).await;
            TcpStream::connect(address).await
        })
    });
    let attempts: Vec<_> = attempts.collect();
    if attempts.is_empty() {
        return Err(SampleResult::Bad(Failure::Dns));
    }
    match select_ok(attempts).await {
        Ok((stream, _)) => Ok(stream),
        Err(error) => Err(refused(&error)),
    }
}

fn refused(error: &io::Error) -> SampleResult {
    blame_io(error, false).unwrap_or(SampleResult::Bad(Failure::Connect))
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn a_way_that_is_dead_does_not_hide_one_that_works() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let open = listener.local_addr().expect("an address");
        // Nobody answers there, RFC 5737; or this host has no route, which is as good.
        let dead = SocketAddr::from(([192, 0, 2, 1], 9));
        let result = tokio::time::timeout(Duration::from_secs(2), any_of(vec![dead, open])).await;
        assert!(result.is_ok_and(|stream| stream.is_ok()));
        assert_eq!(any_of(vec![]).await.err(), Some(SampleResult::Bad(Failure::Dns)));
    }
}
