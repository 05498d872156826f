//! A mail server as small as one can be.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::config::TokenSource;
use crate::notify::event::{Event, Kind};

type Mails = Arc<Mutex<Vec<String>>>;

/// Takes mail for `ops@example.com`, and no other.
async fn server() -> (SmtpConfig, Mails) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let mails = Mails::default();
    let kept = Arc::clone(&mails);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, Arc::clone(&kept)));
        }
    });
    let config = SmtpConfig {
        host: "127.0.0.1".to_owned(),
        port,
        tls: SmtpTls::None,
        login: None,
        from: "rearguard <guard@example.com>".to_owned(),
        to: vec!["ops@example.com".to_owned()],
    };
    (config, mails)
}

async fn serve(mut stream: TcpStream, mails: Mails) -> std::io::Result<()> {
    stream.write_all(b"220 mail.example.com\r\n").await?;
    take_mail(stream, mails).await
}

/// The session after its greeting.
async fn take_mail<S: AsyncRead + AsyncWrite>(stream: S, mails: Mails) -> std::io::Result<()> {
    let (read, mut write) = tokio::io::split(stream);
    let mut lines = BufReader::new(read).lines();
    let mut mail = None::<String>;
    while let Some(line) = lines.next_line().await? {
        if let Some(text) = &mut mail {
            if line == "." {
                mails.lock().unwrap().push(mail.take().unwrap());
                write.write_all(b"250 taken\r\n").await?;
            } else {
                text.push_str(&line);
                text.push('\n');
            }
            continue;
        }
        let answer = match line.split([' ', ':']).next().unwrap_or_default() {
            "EHLO" => "250-mail.example.com\r\n250-AUTH PLAIN\r\n250 8BITMIME",
            "AUTH" => "235 come in",
            "RCPT" if line.contains("busy@") => "451 later",
            "RCPT" if line.contains("nobody@") => "550 no such user here",
            "DATA" => {
                mail = Some(String::new());
                "354 go on"
            }
            "QUIT" => "221 bye",
            _ => "250 fine",
        };
        write.write_all(format!("{answer}\r\n").as_bytes()).await?;
    }
    Ok(())
}

fn letter<'a>(event: &'a Event, mark: Option<&'a str>) -> Letter<'a> {
    Letter { event, text: None, mark, wall: jiff::Timestamp::UNIX_EPOCH }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_mails_of_an_incident_are_one_thread() {
    let (config, mails) = server().await;
    let smtp = Smtp::new(config);
    let (fired, held) = (Event::sample(Kind::Fired), Event::sample(Kind::Held));
    let Sent::Delivered { mark: Some(first) } = smtp.send(&letter(&fired, None)).await else {
        panic!("not sent")
    };
    let second = smtp.send(&letter(&held, Some(&first))).await;
    assert_eq!(second, Sent::Delivered { mark: Some(first.clone()) }, "the first mail stays the thread's");
    let mails = mails.lock().unwrap();
    let (one, two) = (&mails[0], &mails[1]);
    assert!(first.ends_with("@example.com>"), "{first}");
    for part in [
        format!("Message-ID: {first}"),
        "From: rearguard <guard@example.com>".to_owned(),
        "To: ops@example.com".to_owned(),
        "Subject: [rearguard] shop: incident shop-1a2b3c4d (rule down)".to_owned(),
        "X-Rearguard-Event: fired".to_owned(),
        format!("X-Rearguard-Key: {}", fired.key),
        "Auto-Submitted: auto-generated".to_owned(),
        "shop on ocean: rule down fired".to_owned(),
    ] {
        assert!(one.contains(&part), "no {part} in\n{one}");
    }
    assert!(!one.contains("In-Reply-To"), "{one}");
    for part in [format!("In-Reply-To: {first}"), format!("References: {first}")] {
        assert!(two.contains(&part), "no {part} in\n{two}");
    }
    assert!(!two.contains(&format!("Message-ID: {first}")), "each has an id of its own:\n{two}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_that_is_refused_is_told_from_a_server_that_is_not_there() {
    let (config, _) = server().await;
    let event = Event::sample(Kind::Fired);
    let to = |to: &str| SmtpConfig { to: vec![to.to_owned()], ..config.clone() };
    let said = Smtp::new(to("nobody@example.com")).send(&letter(&event, None)).await;
    assert_eq!(said, Sent::Refused("the mail server answers 550".to_owned()));
    let said = Smtp::new(to("busy@example.com")).send(&letter(&event, None)).await;
    assert_eq!(said, Sent::failed("the mail server answers 451"));
    // Nothing is said in clear to a server that knows no TLS.
    let said =
        Smtp::new(SmtpConfig { tls: SmtpTls::Starttls, ..config.clone() }).send(&letter(&event, None)).await;
    assert!(matches!(&said, Sent::Failed { .. }), "{said:?}");
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let said = Smtp::new(SmtpConfig { port: closed, ..config }).send(&letter(&event, None)).await;
    assert!(matches!(&said, Sent::Failed { why, .. } if why.contains("refused")), "{said:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_headline_of_others_makes_no_header_of_its_own() {
    let (config, mails) = server().await;
    let mut event = Event::sample(Kind::Storm);
    event.text = "storm\r\nBcc: everybody@example.com\r\n.\r\nMAIL FROM:<x@example.com>".to_owned();
    let sent = Smtp::new(config).send(&letter(&event, None)).await;
    assert!(matches!(sent, Sent::Delivered { .. }), "{sent:?}");
    let mails = mails.lock().unwrap();
    let (head, _) = mails[0].split_once("\n\n").unwrap();
    assert!(!head.lines().any(|line| line.starts_with("Bcc")), "{head}");
    assert_eq!(mails.len(), 1);
}

const PASSWORD: &str = "letmein-0123456789";

/// A mail server that goes over to TLS when it is asked to.
struct Secure {
    config: SmtpConfig,
    /// Its certificate.
    root: Certificate,
    mails: Mails,
    /// What was said to it before TLS.
    clear: Mails,
    _folder: tempfile::TempDir,
}

/// How a server stands to TLS.
#[derive(Clone, Copy, PartialEq)]
enum Way {
    Offers,
    /// As one does of which somebody in between takes the offer away.
    DoesNotOffer,
    /// From the first byte on.
    Wraps,
}

impl Secure {
    async fn start(way: Way) -> Self {
        install_tls();
        let params = rcgen::CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        let key = rcgen::KeyPair::generate().unwrap();
        let own = params.self_signed(&key).unwrap().der().clone();
        let secret = rustls::pki_types::PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let tls = rustls::ServerConfig::builder().with_no_client_auth();
        let tls = Arc::new(tls.with_single_cert(vec![own.clone()], secret).unwrap());
        let acceptor = tokio_rustls::TlsAcceptor::from(tls);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (mails, clear) = (Mails::default(), Mails::default());
        let kept = (Arc::clone(&mails), Arc::clone(&clear));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(Self::serve(stream, way, acceptor.clone(), kept.clone()));
            }
        });
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("password");
        std::fs::write(&file, PASSWORD).unwrap();
        let config = SmtpConfig {
            host: "127.0.0.1".to_owned(),
            port,
            tls: if way == Way::Wraps { SmtpTls::Implicit } else { SmtpTls::Starttls },
            login: Some(("ops".to_owned(), TokenSource::File(file))),
            from: "rearguard <guard@example.com>".to_owned(),
            to: vec!["ops@example.com".to_owned()],
        };
        let root = Certificate::from_der(own.to_vec()).unwrap();
        Self { config, root, mails, clear, _folder: folder }
    }

    async fn serve(
        stream: TcpStream,
        way: Way,
        acceptor: tokio_rustls::TlsAcceptor,
        (mails, clear): (Mails, Mails),
    ) -> std::io::Result<()> {
        let mut stream = BufReader::new(stream);
        if way == Way::Wraps {
            let mut stream = acceptor.accept(stream.into_inner()).await?;
            stream.write_all(b"220 mail.example.com\r\n").await?;
            return take_mail(stream, mails).await;
        }
        stream.write_all(b"220 mail.example.com\r\n").await?;
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line).await? == 0 {
                return Ok(());
            }
            let word = line.split_ascii_whitespace().next().unwrap_or_default().to_owned();
            clear.lock().unwrap().push(word.clone());
            let answer = match (word.as_str(), way) {
                ("EHLO", Way::Offers) => "250-mail.example.com\r\n250-AUTH PLAIN\r\n250 STARTTLS\r\n",
                ("EHLO", _) => "250-mail.example.com\r\n250 AUTH PLAIN\r\n",
                ("STARTTLS", Way::Offers) => "220 go on\r\n",
                _ => "250 fine\r\n",
            };
            stream.write_all(answer.as_bytes()).await?;
            if word == "STARTTLS" {
                let stream = acceptor.accept(stream.into_inner()).await?;
                return take_mail(stream, mails).await;
            }
        }
    }

    /// What comes of a mail to it, and how many it then has.
    async fn told(&self, is_trusted: bool) -> (Sent, usize) {
        let mut smtp = Smtp::new(self.config.clone());
        smtp.roots.extend(is_trusted.then(|| self.root.clone()));
        let sent = smtp.send(&letter(&Event::sample(Kind::Fired), None)).await;
        (sent, self.mails.lock().unwrap().len())
    }

    fn clear(&self) -> Vec<String> {
        self.clear.lock().unwrap().clone()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_but_a_greeting_is_said_before_tls() {
    let server = Secure::start(Way::Offers).await;
    let (sent, mails) = server.told(true).await;
    assert!(matches!(sent, Sent::Delivered { .. }), "{sent:?}");
    assert_eq!((mails, server.clear()), (1, vec!["EHLO".to_owned(), "STARTTLS".to_owned()]));
    let server = Secure::start(Way::Wraps).await;
    let (sent, mails) = server.told(true).await;
    assert!(matches!(sent, Sent::Delivered { .. }), "{sent:?}");
    assert_eq!((mails, server.clear()), (1, Vec::new()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_tls_or_with_a_certificate_that_nobody_vouches_for_gets_no_mail_and_no_password() {
    let server = Secure::start(Way::DoesNotOffer).await;
    let (sent, mails) = server.told(true).await;
    assert!(matches!(&sent, Sent::Failed { .. }), "{sent:?}");
    assert_eq!(mails, 0);
    assert!(
        server.clear().iter().all(|word| ["EHLO", "QUIT"].contains(&word.as_str())),
        "{:?}",
        server.clear()
    );
    for way in [Way::Offers, Way::Wraps] {
        let server = Secure::start(way).await;
        let (sent, mails) = server.told(false).await;
        let Sent::Failed { why, .. } = &sent else { panic!("{sent:?}") };
        assert!(why.contains("certificate") && !why.contains(PASSWORD), "{why}");
        assert_eq!(mails, 0);
        let said = server.clear();
        assert!(said.iter().all(|word| ["EHLO", "STARTTLS"].contains(&word.as_str())), "{said:?}");
    }
}
