//! How much of a body is read, and what is expected of it.

use super::*;

#[tokio::test]
async fn a_body_that_nobody_expects_is_not_waited_for() {
    let url = server(|mut stream, _| async move {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n").await;
        std::future::pending::<()>().await;
    })
    .await;
    assert_eq!(result(&probe_of(&url)).await, GOOD);
    assert_eq!(result(&short(containing(&url, "ok"))).await, bad(Failure::Timeout));
}

#[tokio::test]
async fn an_endless_body_costs_bounded_bytes_and_fails_only_what_expects_more() {
    let taken = Arc::new(AtomicUsize::new(0));
    let url = endless("HTTP/1.1 200 OK\r\n\r\n", &[b'.'; 8192], Arc::clone(&taken)).await;
    assert_eq!(result(&probe_of(&url)).await, GOOD);
    assert_eq!(result(&containing(&url, "...")).await, GOOD);
    assert_eq!(result(&containing(&url, "ok")).await, bad(Failure::Body));
    // What three connections buffered in the kernel before they were closed comes on top.
    assert!(taken.load(Ordering::SeqCst) < 32 << 20, "{}", taken.load(Ordering::SeqCst));
}

#[tokio::test]
async fn a_body_of_100_mb_is_not_read_to_its_end() {
    let taken = Arc::new(AtomicUsize::new(0));
    let url =
        endless("HTTP/1.1 200 OK\r\nContent-Length: 104857600\r\n\r\n", &[b'.'; 8192], Arc::clone(&taken))
            .await;
    assert_eq!(result(&containing(&url, "ok")).await, bad(Failure::Body));
    assert!(taken.load(Ordering::SeqCst) < 16 << 20, "{}", taken.load(Ordering::SeqCst));
}

#[tokio::test]
async fn a_body_that_breaks_off_is_a_protocol_failure_unless_what_counts_was_there() {
    let table = [
        ("length promised", "Content-Length: 100\r\n\r\nall ok so far"),
        ("chunks promised", "Transfer-Encoding: chunked\r\n\r\nd\r\nall ok so far\r\n"),
    ];
    for (what, rest) in table {
        let url = answering(format!("{HEAD_OK}{rest}")).await;
        assert_eq!(result(&containing(&url, "absent")).await, bad(Failure::Protocol), "{what}");
        assert_eq!(result(&containing(&url, "ok")).await, GOOD, "{what}");
    }
    // Without either, the end of the connection is the end of the body.
    let url = answering(format!("{HEAD_OK}\r\nall ok so far")).await;
    assert_eq!(result(&containing(&url, "absent")).await, bad(Failure::Body));
}

#[tokio::test]
async fn an_error_page_with_status_200_is_a_body_failure() {
    let url = answering(format!("{HEAD_OK}\r\n<h1>Something went wrong</h1>")).await;
    assert_eq!(result(&probe_of(&url)).await, GOOD);
    assert_eq!(result(&containing(&url, "healthy")).await, bad(Failure::Body));
}

#[tokio::test]
async fn a_body_need_not_be_text() {
    let mut bytes = format!("{HEAD_OK}\r\n").into_bytes();
    bytes.extend(b"\xff\xfe\x00 healthy \x80");
    let url = answering(bytes).await;
    assert_eq!(result(&containing(&url, "healthy")).await, GOOD);
    assert_eq!(result(&containing(&url, "absent")).await, bad(Failure::Body));
}

#[tokio::test]
async fn json_is_judged_at_its_pointer() {
    let url = answering(format!("{HEAD_OK}\r\n{{\"checks\":[{{\"db\":\"up\"}}]}}")).await;
    for (pointer, equals, expected) in [
        ("/checks/0/db", json!("up"), GOOD),
        ("/checks/0/db", json!(true), bad(Failure::Body)),
        ("/checks/1/db", json!("up"), bad(Failure::Body)),
    ] {
        let mut probe = probe_of(&url);
        page(&mut probe).expect.json =
            Some(ExpectJson { pointer: pointer.to_owned(), value: ExpectValue::Equals(equals) });
        assert_eq!(result(&probe).await, expected, "{pointer}");
    }
}
