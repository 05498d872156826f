//! Where people are told, as it is written.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::config::leaf::{Count, List, Span, Text, Unread, Word};
use crate::config::notify::{ChannelKind, SmtpTls};
use crate::notify::event::Kind;

/// A place where people are told. Secrets do not stand here; what may be one is read from a file or the environment.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a channel; allowed is a mapping with name and kind")]
#[schemars(extend("required" = ["name", "kind"]))]
pub(in crate::config) struct Channel {
    /// Name of the channel in metrics and logs: letters, digits, - and _, at most 63.
    #[schemars(extend("pattern" = crate::config::validate::NAME_PATTERN))]
    pub(in crate::config) name: Option<Text>,
    /// What it speaks.
    pub(in crate::config) kind: Option<Word<ChannelKind>>,
    /// Where events go: for webhook and slack the whole URL, for alertmanager the server without /api/v2. Of a webhook
    /// only scheme, host and port are ever shown.
    pub(in crate::config) url: Option<Text>,
    /// File with the URL of a webhook or of an incoming webhook of Slack, where it is a secret.
    pub(in crate::config) url_file: Option<Text>,
    /// Environment variable with that URL.
    pub(in crate::config) url_env: Option<Text>,
    /// webhook: file with the secret that events are signed with. Default: not signed
    pub(in crate::config) secret_file: Option<Text>,
    /// webhook: environment variable with that secret.
    pub(in crate::config) secret_env: Option<Text>,
    /// slack: file with a bot's token that has chat:write, for one thread an incident. Either this, or a URL.
    pub(in crate::config) token_file: Option<Text>,
    /// slack: environment variable with that token.
    pub(in crate::config) token_env: Option<Text>,
    /// slack: the channel's id or name, with a token.
    pub(in crate::config) channel: Option<Text>,
    /// slack: base URL of the API. Default: `https://slack.com/api`
    pub(in crate::config) api: Option<Text>,
    /// smtp: the mail server.
    pub(in crate::config) host: Option<Text>,
    /// smtp: its port, from 1 to 65535. Default: 587, with tls implicit 465, with tls none 25
    #[schemars(extend("minimum" = 1, "maximum" = 65535))]
    pub(in crate::config) port: Option<Count>,
    /// smtp: how the session is kept secret; none to this machine only. Default: starttls
    pub(in crate::config) tls: Option<Word<SmtpTls>>,
    /// smtp: the user, where the server wants one.
    pub(in crate::config) username: Option<Text>,
    /// smtp: file with the user's password.
    pub(in crate::config) password_file: Option<Text>,
    /// smtp: environment variable with that password.
    pub(in crate::config) password_env: Option<Text>,
    /// smtp: the sender, such as `rearguard <rearguard@example.com>`.
    pub(in crate::config) from: Option<Text>,
    /// smtp: the receivers.
    pub(in crate::config) to: Option<List<Text>>,
    /// Tell of these kinds of events only. Default: all
    #[schemars(extend("minItems" = 1))]
    pub(in crate::config) only: Option<List<Word<Kind>>>,
    /// Tell of these apps only. Default: all, and what concerns all of them
    #[schemars(extend("minItems" = 1))]
    pub(in crate::config) apps: Option<List<Text>>,
    /// Makes the text of an event, in the language of Jinja, of the keys of the event. Default: the event's own text
    pub(in crate::config) template: Option<Text>,
    /// An event that could not be delivered for so long is given up, and the next one of its incident goes out. From 1m to
    /// 30d. Default: 3d
    pub(in crate::config) give_up: Option<Span>,
    #[schemars(skip)]
    pub(in crate::config) token: Option<Unread>,
    #[schemars(skip)]
    pub(in crate::config) secret: Option<Unread>,
    #[schemars(skip)]
    pub(in crate::config) password: Option<Unread>,
}
