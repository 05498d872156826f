//! A webhook: the event as JSON, with a key to tell it by and a signature.

use hmac::{Hmac, KeyInit, Mac};
use secrecy::ExposeSecret;
use sha2::Sha256;

use super::carrier::{Letter, Sent};
use super::wire::Wire;
use crate::config::TokenSource;
use crate::config::notify::UrlSource;

/// Where events go.
pub(super) struct Webhook {
    url: UrlSource,
    secret: Option<TokenSource>,
    wire: Wire,
}

impl Webhook {
    pub(super) fn new(url: UrlSource, secret: Option<TokenSource>) -> Self {
        Self { url, secret, wire: Wire::default() }
    }

    pub(super) async fn send(&self, letter: &Letter<'_>) -> Sent {
        let url = match self.url.read() {
            Ok(url) => url,
            Err(error) => return Sent::failed(error),
        };
        let mut event = letter.event.clone();
        if let Some(text) = &letter.text {
            event.text.clone_from(text);
        }
        let Ok(body) = serde_json::to_vec(&event) else { return Sent::Refused("it is not JSON".to_owned()) };
        let mut headers =
            vec![("idempotency-key", event.key.as_str()), ("x-rearguard-event", event.kind.word())];
        let signature;
        if let Some(secret) = &self.secret {
            match secret.read() {
                Ok(secret) => {
                    let at = letter.wall.as_second();
                    signature = signed(secret.expose_secret(), at, &body);
                    headers.push(("x-rearguard-signature", signature.as_str()));
                }
                Err(error) => return Sent::failed(error.to_string()),
            }
        }
        match self.wire.post(url, &headers, body).await {
            Ok(answer) => answer.judged(None),
            Err(why) => Sent::failed(why),
        }
    }
}

/// The signature's header: HMAC-SHA256 over the time, a dot and the body.
fn signed(secret: &str, at: i64, body: &[u8]) -> String {
    // A key may have any length.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.as_bytes()) else { return String::new() };
    mac.update(at.to_string().as_bytes());
    mac.update(b".");
    mac.update(body);
    let hex: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("t={at},v1={hex}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_what_others_compute() {
        // printf '1800000000.{"schema":1}' | openssl dgst -sha256 -hmac open-sesame
        let expected = "t=1800000000,v1=2bc4e9758815165cb23203831d043ad2b92d67f8a77d3fed69f3146aae22a903";
        assert_eq!(signed("open-sesame", 1_800_000_000, b"{\"schema\":1}"), expected);
    }
}
