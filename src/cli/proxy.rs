//! What a proxy in the environment means for what is guarded.

use url::Url;

use crate::config::Config;
use crate::platform::http::is_proxied;

/// Which accounts cannot say that our network works, where nobody else is asked: a sentence each.
pub(super) fn concerns(config: &Config) -> Vec<String> {
    told(config, is_proxied)
}

fn told(config: &Config, is_proxied: impl Fn(&Url) -> bool) -> Vec<String> {
    if !config.control_probes.is_empty() {
        return Vec::new();
    }
    let proxied = config.platforms.iter().filter(|platform| is_proxied(&platform.api));
    proxied
        .map(|platform| {
            format!(
                "platform {}: its API is reached through a proxy, so what it answers says nothing of the way that probes take, \
                 which use none: without control_probes an app that fails is believed to only while another app is good; name \
                 control_probes",
                platform.name
            )
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;

    #[test]
    fn an_account_behind_a_proxy_is_warned_of_where_there_are_no_control_probes() {
        let bare = include_str!("../../config/minimal.yaml");
        let config =
            |text: &str| config::parse("f.yaml", text).unwrap_or_else(|problems| panic!("{problems}"));
        let is_proxied = |api: &Url| api.host_str() == Some("api.digitalocean.com");
        let said = told(&config(bare), is_proxied);
        let begin = "platform ocean: its API is reached through a proxy";
        assert!(
            said.len() == 1 && said[0].starts_with(begin) && said[0].contains("control_probes"),
            "{said:?}"
        );
        assert_eq!(told(&config(bare), |_| false), [""; 0]);
        let controlled = format!("{bare}\ncontrol_probes: [{{ url: 'https://www.example.com/' }}]\n");
        assert_eq!(told(&config(&controlled), is_proxied), [""; 0]);
    }
}
