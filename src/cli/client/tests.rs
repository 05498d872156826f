use std::io::Write;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;
use crate::cli::ExitCode;

fn args(server: &str) -> ServerArgs {
    ServerArgs { server: Some(server.to_owned()), config: None }
}

/// Answers one request with these bytes; gives what was asked.
async fn answering(answer: &'static str) -> (String, tokio::task::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let task = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut asked = vec![0; 4096];
        let length = stream.read(&mut asked).await.unwrap();
        stream.write_all(answer.as_bytes()).await.unwrap();
        String::from_utf8(asked[..length].to_vec()).unwrap()
    });
    (url, task)
}

#[tokio::test]
async fn names_are_encoded_into_the_path() {
    let (url, task) = answering("HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}").await;
    let client = Client::open(&args(&url)).unwrap();
    client.get(&["apps", "a/b c"], &[("limit", "3".to_owned())]).await.unwrap();
    assert!(task.await.unwrap().starts_with("GET /api/v1/apps/a%2Fb%20c?limit=3 HTTP/1.1\r\n"));
}

#[tokio::test]
async fn the_daemons_refusal_is_shown_with_what_helps() {
    let refusal = "HTTP/1.1 401 Unauthorized\r\ncontent-length: 69\r\nconnection: close\r\n\r\n\
        {\"error\":{\"code\":\"unauthorized\",\"message\":\"this call needs a token\"}}  ";
    let (url, _task) = answering(refusal).await;
    let error =
        Client::open(&args(&url)).unwrap().post(&["pause"], serde_json::Map::new()).await.unwrap_err();
    assert_eq!(error.exit_code(), ExitCode::Failed);
    insta::assert_snapshot!(error.to_string(), @r#"
    this call needs a token
    the token is taken from $REARGUARD_ADMIN_TOKEN, or from admin_token_file in --config FILE
    "#);
}

#[tokio::test]
async fn a_daemon_that_is_not_there_is_named_with_how_to_name_another() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let error = Client::open(&args(&url)).unwrap().get(&["apps"], &[]).await.unwrap_err().to_string();
    assert!(error.starts_with(&format!("no daemon answers at {url}/: ")), "{error}");
    assert!(error.contains("onnection refused") && error.contains("--server URL"), "{error}");
}

#[tokio::test]
async fn something_else_at_the_address_is_not_taken_for_a_daemon() {
    for answer in [
        "HTTP/1.1 200 OK\r\ncontent-length: 6\r\nconnection: close\r\n\r\n<html>",
        "HTTP/1.1 500 Oh\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
        "HTTP/1.1 302 Found\r\nlocation: /login\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
    ] {
        let (url, _task) = answering(answer).await;
        let error = Client::open(&args(&url)).unwrap().get(&["apps"], &[]).await.unwrap_err();
        assert!(matches!(error, Error::Gibberish { .. }), "{error}");
    }
}

#[tokio::test]
async fn a_word_that_gets_no_answer_may_have_been_taken_and_one_that_was_never_sent_was_not() {
    let proxy = "HTTP/1.1 502 Bad Gateway\r\ncontent-length: 6\r\nconnection: close\r\n\r\n<html>";
    let in_json = "HTTP/1.1 504 Gateway Timeout\r\nconnection: close\r\n\r\n\
        {\"error\":{\"code\":\"upstream\",\"message\":\"the upstream is slow\"}}";
    let no_code_of_ours = "HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\n\r\n\
        {\"error\":{\"code\":\"no_healthy_upstream\",\"message\":\"none\"}}";
    let in_no_time = "HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\n\r\n\
        {\"error\":{\"code\":\"timeout\",\"message\":\"no answer in time\"}}";
    for (answer, why) in [
        ("", "closed"),
        (in_no_time, "no answer in time"),
        (proxy, "what stands before it says 502 Bad Gateway"),
        (in_json, "what answers says 504 Gateway Timeout: the upstream is slow"),
        (no_code_of_ours, "what answers says 503 Service Unavailable: none"),
        ("HTTP/1.1 500 Oh\r\ncontent-length: 0\r\nconnection: close\r\n\r\n", "500"),
        ("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n<html>", "what answers is no daemon"),
        ("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n[]", "does not speak as a rearguard daemon"),
    ] {
        let (url, _task) = answering(answer).await;
        let client = Client::open(&args(&url)).unwrap();
        let error = client.post(&["pause"], serde_json::Map::new()).await.unwrap_err();
        assert!(matches!(error, Error::Unanswered { .. }) && !error.is_silence(), "{error}");
        let said = error.to_string();
        assert!(said.contains("whether it was taken is not known") && said.contains(why), "{said}");
    }
    // What a daemon says itself it knows.
    let own = "HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\n\r\n\
        {\"error\":{\"code\":\"journal_unavailable\",\"message\":\"nothing was done\"}}";
    let (url, _task) = answering(own).await;
    let error =
        Client::open(&args(&url)).unwrap().post(&["pause"], serde_json::Map::new()).await.unwrap_err();
    assert_eq!(error.to_string(), "nothing was done");
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let error =
        Client::open(&args(&url)).unwrap().post(&["pause"], serde_json::Map::new()).await.unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }), "{error}");
    // A question may be asked again.
    for answer in [proxy, in_json] {
        let (url, _task) = answering(answer).await;
        let error = Client::open(&args(&url)).unwrap().get(&["apps"], &[]).await.unwrap_err();
        assert!(matches!(error, Error::Unavailable { .. }) && error.is_silence(), "{error}");
    }
}

#[tokio::test]
async fn the_token_goes_along_with_a_question_only_where_there_is_no_room_without_it() {
    let token = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(token.path(), "abc\n").unwrap();
    let busy = r#"{"error":{"code":"too_many_connections","message":"all connections are taken"}}"#;
    for (answers, asked) in
        [(&[(200, "{}")][..], &[false][..]), (&[(503, busy), (200, "{}")], &[false, true])]
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut file = tempfile::NamedTempFile::new().unwrap();
        let (listen, path) = (listener.local_addr().unwrap(), token.path().display());
        write!(file, "listen: {listen}\nadmin_token_file: {path}\n").unwrap();
        let client = Client::open(&ServerArgs { server: None, config: Some(file.path().into()) }).unwrap();
        let serve = async {
            let mut had = Vec::new();
            for (status, body) in answers {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut asked = vec![0; 4096];
                let length = stream.read(&mut asked).await.unwrap();
                let head = format!(
                    "HTTP/1.1 {status} x\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
                    body.len()
                );
                stream.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
                had.push(String::from_utf8_lossy(&asked[..length]).contains("authorization: Bearer abc\r\n"));
            }
            had
        };
        let both = async { tokio::join!(client.get(&["apps"], &[]), serve) };
        let (answer, had) =
            tokio::time::timeout(Duration::from_secs(10), both).await.expect("as many questions");
        assert!(answer.is_ok() && had == asked, "{answer:?}, {had:?}");
    }
}

#[tokio::test]
async fn who_has_no_token_is_told_that_one_gets_through_where_there_is_no_room() {
    let busy = "HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\n\r\n\
        {\"error\":{\"code\":\"too_many_connections\",\"message\":\"all connections are taken\"}}";
    for (token, hint) in [
        ("", "$REARGUARD_ADMIN_TOKEN, or admin_token_file in --config FILE"),
        ("admin_token_file: /not/there", "failed to read the admin token from /not/there: No such file"),
    ] {
        let (url, _task) = answering(busy).await;
        let mut file = tempfile::NamedTempFile::new().unwrap();
        writeln!(file, "{token}").unwrap();
        let args = ServerArgs { server: Some(url), config: Some(file.path().into()) };
        let error = Client::open(&args).unwrap().get(&["apps"], &[]).await.unwrap_err();
        let said = error.to_string();
        assert!(
            said.starts_with("all connections are taken; with the admin token it gets through: "),
            "{said}"
        );
        assert!(said.contains(hint) && error.is_silence(), "{said}");
    }
}

#[tokio::test]
async fn a_connection_that_is_not_made_in_time_is_told_from_an_answer_that_is_not() {
    // Whoever listens and accepts nothing has room for a few; the rest are not made.
    let listener = socket_with_no_room();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let mut held = Vec::new();
    let full = Duration::from_millis(300);
    while let Ok(made) = std::net::TcpStream::connect_timeout(&listener.local_addr().unwrap(), full) {
        held.push(made);
    }
    let error =
        Client::open(&args(&url)).unwrap().post(&["pause"], serde_json::Map::new()).await.unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }), "{error}");
}

/// Listens with the shortest queue there is.
fn socket_with_no_room() -> std::net::TcpListener {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    socket.listen(1).unwrap().into_std().unwrap()
}

#[tokio::test]
async fn a_token_that_cannot_be_sent_is_said_to_be_none_and_is_not_shown() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    let token = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(token.path(), "sec\nret\n").unwrap();
    write!(file, "listen: 127.0.0.1:1\nadmin_token_file: {}\n", token.path().display()).unwrap();
    let client = Client::open(&ServerArgs { server: None, config: Some(file.path().into()) }).unwrap();
    let error = client.post(&["pause"], serde_json::Map::new()).await.unwrap_err().to_string();
    assert!(error.contains("it holds characters that no token has"), "{error}");
    assert!(!error.contains("sec") && !error.contains("ret\n"), "{error}");
}

#[test]
fn the_configuration_says_where_the_daemon_is_even_when_the_rest_of_it_is_wrong() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    writeln!(file, "listen: 0.0.0.0:1234\nadmin_token_file: /run/token\napps: nonsense").unwrap();
    let client = Client::open(&ServerArgs { server: None, config: Some(file.path().into()) }).unwrap();
    assert_eq!(client.base.as_str(), "http://127.0.0.1:1234/");
    assert_eq!(client.token_file.as_deref(), Some(Path::new("/run/token")));
    let elsewhere = ServerArgs { server: Some("https://x".to_owned()), config: Some(file.path().into()) };
    assert_eq!(Client::open(&elsewhere).unwrap().base.as_str(), "https://x/");
}

#[test]
fn a_daemon_on_any_free_port_is_to_be_named_and_how_is_said() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    writeln!(file, "listen: 127.0.0.1:0").unwrap();
    let error = Client::open(&ServerArgs { server: None, config: Some(file.path().into()) }).err().unwrap();
    assert_eq!(error.exit_code(), ExitCode::Failed);
    insta::assert_snapshot!(error.to_string(), @r#"listen is 127.0.0.1:0, which is any free port: where the daemon is stands in its log ("rearguard is up"), and is told by --server URL or $REARGUARD_SERVER"#);
    let named = ServerArgs { server: Some("http://x:1".to_owned()), config: Some(file.path().into()) };
    assert_eq!(Client::open(&named).unwrap().base.as_str(), "http://x:1/");
}

#[test]
fn what_is_no_server_and_no_configuration_is_said_so() {
    let error = Client::open(&args("localhost:9797")).err().unwrap();
    assert_eq!(error.exit_code(), ExitCode::Usage);
    let missing = ServerArgs { server: None, config: Some("/no/such/file".into()) };
    let error = Client::open(&missing).err().unwrap().to_string();
    assert!(error.starts_with("failed to read /no/such/file: No such file"), "{error}");
}
