//! A mail server, and who writes to whom.

use lettre::message::Mailbox;

use super::source;
use crate::config::leaf::{Text, Word};
use crate::config::notify::{CarrierConfig, SmtpConfig, SmtpTls};
use crate::config::problem::Spot;
use crate::config::raw;
use crate::config::validate::{count, items, some};

pub(super) fn smtp(spot: &Spot, raw: &raw::Channel) -> Option<CarrierConfig> {
    let tls = raw.tls.map_or(SmtpTls::Starttls, |Word(tls)| tls);
    let host = host(&spot.key("host"), raw.host.as_ref());
    if tls == SmtpTls::None && host.as_ref().is_some_and(|host| !is_here(host)) {
        spot.key("tls")
            .wrong("none would send mail in clear; allowed are starttls and implicit, or a loopback host");
    }
    let usual = match tls {
        SmtpTls::Starttls => 587,
        SmtpTls::Implicit => 465,
        SmtpTls::None => 25,
    };
    let port = count(&spot.key("port"), raw.port, usual, &(1..=65_535));
    let password = source(spot, ("password_file", &raw.password_file), ("password_env", &raw.password_env))?;
    let login = match (&raw.username, password) {
        (Some(Text(user)), Some(password)) => Some((user.clone(), password)),
        (None, None) => None,
        (Some(_), None) => {
            spot.key("password_file").missing("password_file or password_env, beside username");
            return None;
        }
        (None, Some(_)) => {
            spot.key("username").missing("the user whose password that is");
            return None;
        }
    };
    let from = mailbox(&spot.key("from"), raw.from.as_ref());
    let at = spot.key("to");
    some(&at, raw.to.as_ref(), "a list of at least one address");
    let to = items(&at, raw.to.as_ref()).into_iter().filter_map(|(spot, text)| mailbox(&spot, Some(text)));
    let to = to.collect();
    Some(CarrierConfig::Smtp(SmtpConfig {
        host: host?,
        port: u16::try_from(port?).ok()?,
        tls,
        login,
        from: from?,
        to,
    }))
}

fn host(spot: &Spot, text: Option<&Text>) -> Option<String> {
    let Some(Text(host)) = text else {
        spot.missing("the name of a mail server");
        return None;
    };
    let is_host = !host.is_empty() && url::Host::parse(host).is_ok();
    if !is_host {
        spot.wrong("is not a host; allowed is the name of a mail server, without a port");
        return None;
    }
    Some(host.clone())
}

fn is_here(host: &str) -> bool {
    match url::Host::parse(host) {
        Ok(url::Host::Ipv4(address)) => address.is_loopback(),
        Ok(url::Host::Ipv6(address)) => address.is_loopback(),
        Ok(url::Host::Domain(name)) => name == "localhost",
        Err(_) => false,
    }
}

fn mailbox(spot: &Spot, text: Option<&Text>) -> Option<String> {
    let allowed = "an address such as ops@example.com or Operations <ops@example.com>";
    match text {
        None => spot.missing(allowed),
        Some(Text(text)) if text.parse::<Mailbox>().is_err() => {
            spot.wrong(format!("is not an address; allowed is {allowed}"));
        }
        Some(Text(text)) => return Some(text.clone()),
    }
    None
}
