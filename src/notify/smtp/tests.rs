//! A mail server as small as one can be.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use super::*;
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

async fn serve(stream: TcpStream, mails: Mails) -> std::io::Result<()> {
    let (read, mut write) = stream.into_split();
    let mut lines = BufReader::new(read).lines();
    write.write_all(b"220 mail.example.com\r\n").await?;
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
            "EHLO" => "250-mail.example.com\r\n250 8BITMIME",
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
