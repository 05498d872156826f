//! What can go wrong with a request, and what is known after it: the line between "surely not done" and
//! "perhaps done" is drawn here and nowhere else.

use std::borrow::Cow;
use std::error::Error;
use std::time::Duration;

use super::super::PlatformError;
use super::super::leave::Withheld;
use super::StartError;

/// The `code` label of a request without a conclusive status. Fixed words.
pub(super) mod code {
    pub(in super::super) const TIMEOUT: &str = "timeout";
    pub(in super::super) const CONNECT: &str = "connect";
    pub(in super::super) const DNS: &str = "dns";
    pub(in super::super) const TLS: &str = "tls";
    pub(in super::super) const RESET: &str = "reset";
    pub(in super::super) const DECODE: &str = "decode";
    pub(in super::super) const TOO_LARGE: &str = "too_large";
    pub(in super::super) const WITHHELD: &str = "withheld";
}

/// Every `code` besides the HTTP statuses: no answer in time; no connection (its own timeout included); no such
/// name; no TLS session; connection broken after the request was sent; unreadable answer; answer over the limit; not
/// sent, though there was a connection, because it may not be any more.
pub const CODES: [&str; 8] = [
    code::TIMEOUT,
    code::CONNECT,
    code::DNS,
    code::TLS,
    code::RESET,
    code::DECODE,
    code::TOO_LARGE,
    code::WITHHELD,
];

/// The most of a platform's words that is kept.
const WORDS: usize = 200;

/// Why there is no answer to work with.
#[derive(Debug)]
pub(super) enum Fault {
    /// No connection, so nothing was sent.
    NotConnected { code: &'static str, why: String },
    /// Sent, perhaps done.
    Lost { code: &'static str, why: String },
    /// Answered with something other than 2xx.
    Status(Refusal),
}

/// An answer other than 2xx.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) status: u16,
    /// From the header.
    pub(super) request_id: Option<String>,
    pub(super) retry_after: Option<Duration>,
    /// `None` where it was broken, late or over the limit.
    pub(super) body: Option<Vec<u8>>,
}

impl Fault {
    pub(super) fn lost(code: &'static str, why: String) -> Self {
        Self::Lost { code, why }
    }

    /// A request that got no answer. reqwest gives a connect error only when the connector failed: name, TCP, proxy
    /// tunnel, TLS handshake or leave. The request is written after that, so nothing was sent; TLS early data is off.
    pub(super) fn sending(error: &reqwest::Error) -> Self {
        if error.is_builder() || error.is_connect() {
            let code = if chain(error).any(|cause| cause.is::<Withheld>()) {
                code::WITHHELD
            } else if error.is_dns() {
                code::DNS
            } else if is_tls(error) {
                code::TLS
            } else {
                code::CONNECT
            };
            return Self::NotConnected { code, why: root(error) };
        }
        Self::lost(code::RESET, format!("connection broken: {}", root(error)))
    }

    /// An answer whose body broke off.
    pub(super) fn receiving(error: &reqwest::Error) -> Self {
        Self::lost(code::RESET, format!("answer broken off: {}", root(error)))
    }

    /// The `code` label.
    pub(super) fn code(&self) -> Cow<'static, str> {
        match self {
            Self::NotConnected { code, .. } | Self::Lost { code, .. } => Cow::Borrowed(code),
            Self::Status(refusal) => Cow::Owned(refusal.status.to_string()),
        }
    }

    /// What it means for the core.
    pub(super) fn class(self, token: &str) -> PlatformError {
        match self {
            Self::NotConnected { why, .. } => PlatformError::NotConnected(words(&why, token, WORDS)),
            Self::Lost { why, .. } => PlatformError::Ambiguous(words(&why, token, WORDS)),
            Self::Status(refusal) => refusal.class(token),
        }
    }
}

impl Refusal {
    fn class(self, token: &str) -> PlatformError {
        let Self { status, request_id, retry_after, body } = self;
        match status {
            429 => return PlatformError::RateLimited { retry_after },
            401 | 403 => return PlatformError::Denied { status },
            _ => {}
        }
        let said = body.as_deref().map(Said::of);
        let id = said.as_ref().and_then(|said| said.request_id.clone()).or(request_id);
        let id = id.filter(|id| !id.contains(token)).map(|id| format!(" (request {id})")).unwrap_or_default();
        match (status, said) {
            // A page comes from a load balancer on the way: it is not the platform's word on anything.
            (400..=407 | 409..=499, Some(said)) if !said.page => {
                if status == 404 {
                    return PlatformError::NotFound;
                }
                PlatformError::Refused { status, message: words(&said.message, token, WORDS) + &id }
            }
            _ => PlatformError::Ambiguous(format!("status {status}{id}")),
        }
    }
}

/// What an error's body says. Platforms document `{id, message, request_id?}` and `{message, status, data: {code?,
/// message?}?}`, but whatever stands between them and us answers as it likes.
struct Said {
    message: String,
    request_id: Option<String>,
    /// It is HTML or XML.
    page: bool,
}

impl Said {
    fn of(body: &[u8]) -> Self {
        let text = String::from_utf8_lossy(body);
        let Ok(json) = serde_json::from_str::<serde_json::Value>(&text) else {
            let page = text.trim_start_matches(['\u{feff}', ' ', '\t', '\r', '\n']).starts_with('<');
            return Self { message: text.into_owned(), request_id: None, page };
        };
        let text = |value: Option<&'_ serde_json::Value>| {
            value.and_then(|value| value.as_str().filter(|text| !text.is_empty()).map(str::to_owned))
        };
        let field = |name| text(json.get(name));
        let detail = |name| text(json.get("data").and_then(|data| data.get(name)));
        let mut message = field("message").or_else(|| field("id"));
        // The outer words are those of the status, the inner ones say what was wrong.
        if let Some(detail) = detail("message").filter(|detail| message.as_ref() != Some(detail)) {
            message = Some(message.map_or_else(|| detail.clone(), |message| format!("{message}: {detail}")));
        }
        let mut message = message.unwrap_or_else(|| "no reason given".to_owned());
        if let Some(code) = detail("code") {
            message = format!("{message} ({code})");
        }
        Self { message, request_id: field("request_id").as_deref().and_then(request_id), page: false }
    }
}

/// The platform's id of a request, if it looks like one.
pub(super) fn request_id(text: &str) -> Option<String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.:/=+".contains(c);
    (!text.is_empty() && text.len() <= 128 && text.chars().all(plain)).then(|| text.to_owned())
}

/// The platform's words: one line, without the token, of at most `limit` characters.
pub(super) fn words(text: &str, token: &str, limit: usize) -> String {
    // First one line, lest a control character in its midst hides the token; shortened last, lest half of it stays.
    let line = one_line(text, usize::MAX);
    one_line(&line.replace(token, "[token]"), limit)
}

/// `text` on one line, without control or direction characters, of at most `limit` characters.
pub fn one_line(text: &str, limit: usize) -> String {
    let hidden = |c: char| {
        matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
            || (c.is_control() && !c.is_whitespace())
    };
    let mut line = String::with_capacity(text.len().min(limit));
    let mut left = limit;
    for word in text.split_whitespace() {
        let gap = usize::from(!line.is_empty());
        let mut shown = word.chars().filter(|c| !hidden(*c)).peekable();
        if shown.peek().is_none() {
            continue;
        }
        if left <= gap {
            break;
        }
        line.extend(std::iter::repeat_n(' ', gap));
        left -= gap;
        for c in shown.take(left) {
            line.push(c);
            left -= 1;
        }
    }
    line
}

/// Why the client could not be made.
pub(super) fn start(error: &reqwest::Error) -> StartError {
    // The verifier gives no error type of its own for this (rustls-platform-verifier 0.7, verification/others.rs).
    if chain(error).any(|cause| cause.to_string().contains("No CA certificates were loaded")) {
        return StartError::NoCertificates;
    }
    StartError::Client(one_line(&root(error), WORDS))
}

fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |cause: &&'a (dyn Error + 'static)| (*cause).source())
}

/// The innermost cause: the ones around it name the URL.
fn root(error: &reqwest::Error) -> String {
    match error.source().and_then(|source| chain(source).last()) {
        Some(cause) => cause.to_string(),
        None => "the request could not be made".to_owned(),
    }
}

fn is_tls(error: &(dyn Error + 'static)) -> bool {
    // An io::Error leaves out of the chain what it wraps, and TLS errors come wrapped twice.
    let wrapped = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
    error.is::<rustls::Error>()
        || wrapped.is_some_and(|wrapped| is_tls(wrapped))
        || error.source().is_some_and(is_tls)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "dop_v1_planted";

    fn class(status: u16, body: &str) -> PlatformError {
        let body = Some(body.as_bytes().to_vec());
        Fault::Status(Refusal { status, request_id: Some("from-header".into()), retry_after: None, body })
            .class(TOKEN)
    }

    #[test]
    fn a_status_tells_what_is_known() {
        let json = r#"{"id":"conflict","message":"already pinned","request_id":"from-body"}"#;
        let table = [
            (301, json, PlatformError::Ambiguous("status 301 (request from-body)".into())),
            (401, json, PlatformError::Denied { status: 401 }),
            (403, "<html>", PlatformError::Denied { status: 403 }),
            (404, json, PlatformError::NotFound),
            (404, "<html>no such host", PlatformError::Ambiguous("status 404 (request from-header)".into())),
            (408, json, PlatformError::Ambiguous("status 408 (request from-body)".into())),
            (429, "<html>", PlatformError::RateLimited { retry_after: None }),
            (500, json, PlatformError::Ambiguous("status 500 (request from-body)".into())),
            (502, " <html>", PlatformError::Ambiguous("status 502 (request from-header)".into())),
            (699, "", PlatformError::Ambiguous("status 699 (request from-header)".into())),
        ];
        for (status, body, expected) in table {
            assert_eq!(class(status, body), expected, "{status} {body}");
        }
        for status in [400, 405, 409, 412, 422, 451] {
            let message = "already pinned (request from-body)".to_owned();
            assert_eq!(class(status, json), PlatformError::Refused { status, message });
        }
    }

    #[test]
    fn an_error_that_is_not_json_is_quoted_and_one_without_words_says_so() {
        let message = |body| match class(412, body) {
            PlatformError::Refused { message, .. } => message,
            other => panic!("{other:?}"),
        };
        assert_eq!(message("no\r\n way"), "no way (request from-header)");
        assert_eq!(message("{}"), "no reason given (request from-header)");
        assert_eq!(
            message(r#"{"message":7,"request_id":"two words"}"#),
            "no reason given (request from-header)"
        );
        assert_eq!(message(r#"{"id":"conflict"}"#), "conflict (request from-header)");
        assert_eq!(
            message(
                r#"{"message":"Bad Request","status":412,"data":{"code":"err-1","message":"no such id"}}"#
            ),
            "Bad Request: no such id (err-1) (request from-header)"
        );
        assert_eq!(
            message(r#"{"message":"no","data":{"message":"no","code":7}}"#),
            "no (request from-header)"
        );
        assert_eq!(message(r#"{"data":{"code":"err-1"}}"#), "no reason given (err-1) (request from-header)");
        assert_eq!(message(r#"{"message":"no","data":["x"]}"#), "no (request from-header)");
        assert_eq!(message(&"x".repeat(5000)).len(), 200 + " (request from-header)".len());
    }

    #[test]
    fn a_token_that_is_echoed_is_scrubbed_even_when_it_is_split_or_would_be_cut() {
        let echoes = [
            format!("bad token {TOKEN}"),
            "bad token dop_v1\u{0}_pla\u{200b}nted".to_owned(),
            format!("{}{TOKEN}", "x".repeat(195)),
        ];
        for echo in echoes {
            let said = words(&echo, TOKEN, WORDS);
            assert!(!said.contains("dop_v1_pla") && !said.contains("nted"), "{said}");
            assert!(said.chars().count() <= WORDS);
        }
        let echoed = format!(r#"{{"message":"no","request_id":"{TOKEN}"}}"#);
        assert_eq!(class(400, &echoed), PlatformError::Refused { status: 400, message: "no".into() });
    }

    #[test]
    fn words_are_kept_on_one_line_of_printable_characters() {
        assert_eq!(one_line("  a\r\n\tb \u{1b}[31mc\u{202e}d\u{2028}e ", 99), "a b [31mcd e");
        assert_eq!(one_line("späte Änderung", 7), "späte Ä");
        assert_eq!(one_line("ab cd", 3), "ab");
        assert_eq!(one_line("", 3), "");
        assert_eq!(one_line("\u{7} \u{7}", 3), "");
    }

    proptest::proptest! {
        #[test]
        fn whatever_a_server_says_neither_the_token_nor_a_control_character_gets_through(
            body in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..300),
            place in 0_usize..300,
            status in 300_u16..600,
        ) {
            let mut body = body;
            let place = place.min(body.len());
            body.splice(place..place, TOKEN.bytes());
            let error = Fault::Status(Refusal { status, request_id: None, retry_after: None, body: Some(body) })
                .class(TOKEN)
                .to_string();
            proptest::prop_assert!(!error.contains(TOKEN) && !error.chars().any(char::is_control), "{error:?}");
        }
    }
}
