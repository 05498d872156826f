//! Where a probe is led, and whom it trusts there: redirects and certificates.

use jiff::Timestamp;

use super::*;
use crate::clock::{Mark, Moment};

#[tokio::test]
async fn tls_against_a_plain_port_is_a_tls_failure() {
    for greeting in ["HTTP/1.1 400 Bad Request\r\n\r\n", "", "SSH-2.0-x\r\n"] {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            let _ = stream.write_all(greeting.as_bytes()).await;
        });
        let probe = probe_of(&format!("https://{address}/"));
        assert_eq!(result(&probe).await, bad(Failure::Tls), "{greeting:?}");
    }
}

/// Redirects each request `from` the table `to` where it says; anything else is 200.
async fn redirecting(
    to: impl Fn(&str) -> Option<String> + Send + Sync + 'static,
) -> (String, Arc<Mutex<Vec<String>>>) {
    let heads = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&heads);
    let url = server(move |mut stream, head| {
        let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
        log.lock().expect("not poisoned").push(head.to_lowercase());
        let answer = match to(&path) {
            Some(location) => {
                format!("HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n")
            }
            None => format!("{HEAD_OK}Content-Length: 2\r\n\r\nok"),
        };
        async move {
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    })
    .await;
    (url, heads)
}

#[tokio::test]
async fn five_redirects_are_followed_and_six_are_not() {
    // /5 leads to /4 and so on to /0, which answers.
    let (url, heads) = redirecting(|path| {
        let left: u32 = path[1..].parse().expect("a number");
        left.checked_sub(1).map(|left| format!("/{left}"))
    })
    .await;
    assert_eq!(result(&containing(&format!("{url}/5"), "ok")).await, GOOD);
    assert_eq!(result(&probe_of(&format!("{url}/6"))).await, bad(Failure::Redirect));
    assert_eq!(heads.lock().expect("not poisoned").len(), 12);
}

#[tokio::test]
async fn a_redirect_loop_is_a_redirect_failure() {
    let (url, heads) = redirecting(|path| Some(path.to_owned())).await;
    assert_eq!(result(&probe_of(&url)).await, bad(Failure::Redirect));
    assert_eq!(heads.lock().expect("not poisoned").len(), MAX_REDIRECTS + 1);
}

#[tokio::test]
async fn a_redirect_to_nowhere_is_a_redirect_failure() {
    let (_socket, dead) = nobody();
    for location in
        [format!("http://{dead}/"), "http://nothing.invalid/".into(), "ftp://x/".into(), "http://[".into()]
    {
        let to = location.clone();
        let (url, _) = redirecting(move |_| Some(to.clone())).await;
        let mut probe = probe_of(&url);
        probe.timeout = Duration::from_secs(60);
        assert_eq!(result(&probe).await, bad(Failure::Redirect), "{location}");
    }
    let url = answering("HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n").await;
    assert_eq!(result(&probe_of(&url)).await, bad(Failure::Status(302)), "no Location");
}

#[tokio::test]
async fn an_expected_redirect_is_the_answer() {
    let (url, heads) = redirecting(|_| Some("http://nothing.invalid/".to_owned())).await;
    let mut probe = probe_of(&url);
    page(&mut probe).expect.status = vec![302];
    assert_eq!(result(&probe).await, GOOD);
    assert_eq!(heads.lock().expect("not poisoned").len(), 1);
}

#[tokio::test]
async fn configured_headers_do_not_follow_a_redirect_to_another_origin() {
    let (other, elsewhere) = redirecting(|_| None).await;
    let (url, here) = redirecting(move |path| match path {
        "/" => Some("/again".to_owned()),
        _ => Some(format!("{other}/")),
    })
    .await;
    let mut probe = probe_of(&url);
    page(&mut probe).headers.insert("X-Api-Key".to_owned(), Header("s3cret".to_owned()));
    assert_eq!(result(&probe).await, GOOD);
    assert!(here.lock().expect("not poisoned").iter().all(|head| head.contains("s3cret")));
    let elsewhere = elsewhere.lock().expect("not poisoned");
    assert!(elsewhere.len() == 1 && !elsewhere[0].contains("s3cret"), "{elsewhere:?}");
}

#[tokio::test]
async fn https_is_not_left_for_http() {
    let secure: Url = "https://shop.example/a".parse().expect("a URL");
    let plain: Url = "http://shop.example/a".parse().expect("a URL");
    let location = |to| HeaderMap::from_iter([(LOCATION, HeaderValue::from_static(to))]);
    let leads = |from: &Url, to| match follow(StatusCode::FOUND, &location(to), from) {
        Follow::To(next) => Some(next.to_string()),
        Follow::Nowhere => None,
        Follow::Answer => panic!("a redirect"),
    };
    assert_eq!(leads(&secure, "http://shop.example/b"), None);
    assert_eq!(leads(&secure, "//cdn.example/b").as_deref(), Some("https://cdn.example/b"));
    assert_eq!(leads(&plain, "https://shop.example/b").as_deref(), Some("https://shop.example/b"));
    assert_eq!(leads(&plain, "b").as_deref(), Some("http://shop.example/b"));
}

/// A TLS server on a thread of its own, with a certificate for localhost that is valid until `year`.
fn tls_server(year: i32) -> (u16, CertificateDer<'static>) {
    let mut params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).expect("a name");
    params.not_before = rcgen::date_time_ymd(2000, 1, 1);
    params.not_after = rcgen::date_time_ymd(year, 1, 1);
    let key = rcgen::KeyPair::generate().expect("a key");
    let cert = params.self_signed(&key).expect("a certificate");
    let trusted = cert.der().clone();
    let _ = rustls::crypto::ring::default_provider().install_default();
    let config = rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], PrivateKeyDer::Pkcs8(key.serialize_der().into()))
        .expect("a certificate and its key");
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    std::thread::spawn(move || {
        use std::io::{Read, Write};
        for stream in listener.incoming().flatten() {
            let session = rustls::ServerConnection::new(Arc::new(config.clone())).expect("a session");
            let mut tls = rustls::StreamOwned::new(session, stream);
            let mut request = [0; 1024];
            if tls.read(&mut request).is_ok() {
                let _ = tls.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
            }
        }
    });
    (port, trusted)
}

async fn result_trusting(port: u16, host: &str, trusted: CertificateDer<'static>) -> SampleResult {
    result_by(clock(), port, host, trusted).await
}

async fn result_by(
    clock: Arc<dyn Clock>,
    port: u16,
    host: &str,
    trusted: CertificateDer<'static>,
) -> SampleResult {
    let mut roots = RootCertStore::empty();
    roots.add(trusted).expect("a certificate");
    let tls = Secure::trusting(roots, clock).expect("roots").speaking("http/1.1").expect("TLS");
    let resolver = Resolver::new();
    let http = Http::new(client(resolver.clone(), tls.clone()).expect("a client"), resolver, tls);
    let mut probe = containing(&format!("https://{host}:{port}/"), "ok");
    http.exchange(page(&mut probe), Turn::Nth(0), &mut None).await
}

#[tokio::test]
async fn a_certificate_must_be_trusted_valid_and_for_the_name() {
    let (port, trusted) = tls_server(4000);
    assert_eq!(result_trusting(port, "localhost", trusted.clone()).await, GOOD);
    assert_eq!(result_trusting(port, "127.0.0.1", trusted).await, bad(Failure::Tls), "another name");
    assert_eq!(
        result(&probe_of(&format!("https://localhost:{port}/"))).await,
        bad(Failure::Tls),
        "not trusted"
    );
    let (port, trusted) = tls_server(2020);
    assert_eq!(result_trusting(port, "localhost", trusted).await, bad(Failure::Tls), "expired");
}

/// A wall clock that shows 1999.
struct Late;

impl Clock for Late {
    fn now(&self) -> Moment {
        Moment::from_millis(0)
    }
    fn wall(&self) -> Timestamp {
        "1999-01-01T00:00:00Z".parse().expect("a time")
    }
    fn mark(&self) -> Mark {
        Mark { at: self.now(), boottime_ms: 0, boot_id: String::new() }
    }
}

#[tokio::test]
async fn a_certificate_that_is_not_valid_yet_speaks_of_our_clock_and_not_of_the_page() {
    let (port, trusted) = tls_server(4000);
    let result = result_by(Arc::new(Late), port, "localhost", trusted).await;
    assert_eq!(result, SampleResult::Unknown(BlindCause::Clock));
}
