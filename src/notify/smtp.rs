//! Mail: one thread an incident, by the ids of its messages.

use std::time::Duration;

use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::message::{Mailbox, Message};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, Tls, TlsParameters};
use lettre::transport::smtp::{AsyncSmtpTransport, Error as SmtpError};
use lettre::{AsyncTransport, Tokio1Executor};
use secrecy::ExposeSecret;

use super::carrier::{Letter, Sent};
use super::notices::hash;
use crate::config::notify::{SmtpConfig, SmtpTls};
use crate::platform::http::{install_tls, one_line};

/// How long the server may take for one answer.
const ANSWER: Duration = Duration::from_secs(10);
/// A subject is cut after so many characters.
const SUBJECT: usize = 150;
/// How much of a reason is shown.
const WORDS: usize = 200;

/// A server, and who writes to whom.
pub(super) struct Smtp {
    config: SmtpConfig,
    /// Certificates that are trusted beside the system's.
    roots: Vec<Certificate>,
}

impl Smtp {
    pub(super) fn new(config: SmtpConfig) -> Self {
        Self { config, roots: Vec::new() }
    }

    pub(super) async fn send(&self, letter: &Letter<'_>) -> Sent {
        let (message, id) = match self.message(letter) {
            Ok(made) => made,
            Err(why) => return Sent::Refused(why),
        };
        let transport = match self.transport() {
            Ok(transport) => transport,
            Err(why) => return Sent::failed(why),
        };
        match transport.send(message).await {
            Ok(_) => Sent::Delivered { mark: Some(letter.mark.map_or(id, str::to_owned)) },
            Err(error) => judged(&error),
        }
    }

    /// The mail, and its id.
    fn message(&self, letter: &Letter<'_>) -> Result<(Message, String), String> {
        let event = letter.event;
        let from: Mailbox = self.config.from.parse().map_err(|_| "no sender".to_owned())?;
        let id = format!("<{}@{}>", hash(&event.key), from.email.domain());
        // Mail programs thread by ids, and some of them by the subject as well.
        let subject = match &event.incident {
            Some(case) => {
                let app = event.app.as_ref().map_or("", |app| app.as_str());
                match &case.rule {
                    Some(rule) => format!("[rearguard] {app}: incident {} (rule {rule})", case.id),
                    None => format!("[rearguard] {app}: incident {} (ordered)", case.id),
                }
            }
            None => format!("[rearguard] {}", event.text),
        };
        let mut builder = Message::builder()
            .from(from)
            .subject(one_line(&subject, SUBJECT))
            .message_id(Some(id.clone()))
            .header(ContentType::TEXT_PLAIN);
        if let Some(first) = letter.mark {
            builder = builder.in_reply_to(first.to_owned()).references(first.to_owned());
        }
        for to in &self.config.to {
            builder = builder.to(to.parse().map_err(|_| "no receiver".to_owned())?);
        }
        let mut message = builder.body(letter.lines().join("\n")).map_err(|error| error.to_string())?;
        let headers = message.headers_mut();
        for (name, value) in [
            (HeaderName::new_from_ascii_str("Auto-Submitted"), "auto-generated"),
            (HeaderName::new_from_ascii_str("X-Rearguard-Event"), event.kind.word()),
            (HeaderName::new_from_ascii_str("X-Rearguard-Key"), event.key.as_str()),
        ] {
            headers.insert_raw(HeaderValue::new(name, value.to_owned()));
        }
        Ok((message, id))
    }

    fn transport(&self) -> Result<AsyncSmtpTransport<Tokio1Executor>, String> {
        let SmtpConfig { host, port, tls, login, .. } = &self.config;
        let parameters = || {
            install_tls();
            let trusted = self.roots.iter().cloned();
            let builder = TlsParameters::builder(host.clone());
            let builder = trusted.fold(builder, |builder, root| builder.add_root_certificate(root));
            builder.build().map_err(|error| one_line(&error.to_string(), WORDS))
        };
        let tls = match tls {
            SmtpTls::Starttls => Tls::Required(parameters()?),
            SmtpTls::Implicit => Tls::Wrapper(parameters()?),
            SmtpTls::None => Tls::None,
        };
        let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(host.clone())
            .port(*port)
            .tls(tls)
            .timeout(Some(ANSWER));
        if let Some((user, password)) = login {
            let password = password.read().map_err(|error| error.to_string())?;
            builder =
                builder.credentials(Credentials::new(user.clone(), password.expose_secret().to_owned()));
        }
        Ok(builder.build())
    }
}

/// What the server's word means for this mail. Who is not let in may be let in later.
fn judged(error: &SmtpError) -> Sent {
    let code = error.status().map(u16::from);
    let why = match code {
        // The server's own words may repeat what was sent.
        Some(code) => format!("the mail server answers {code}"),
        None => one_line(&root(error), WORDS),
    };
    let is_about_us = matches!(code, Some(530 | 534 | 535 | 538));
    if error.is_permanent() && !is_about_us { Sent::Refused(why) } else { Sent::failed(why) }
}

fn root(error: &SmtpError) -> String {
    let first: &(dyn std::error::Error + 'static) = error;
    let chain = std::iter::successors(Some(first), |cause| cause.source());
    chain.last().map_or_else(String::new, ToString::to_string)
}

#[cfg(test)]
mod tests;
