//! What a probe asks, and what a good answer is, as it is written.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::config::defaults::STATUS_RANGE;
use crate::config::leaf::{Count, Json, List, Number, Span, Text, Word};
use crate::config::{Absent, Figure};

/// What a good answer looks like: everything that is written here holds.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(
    deny_unknown_fields,
    expecting = "an expectation; allowed is a mapping with status, body_contains or json"
)]
pub(in crate::config) struct Expect {
    /// The statuses that are good, each from 100 to 599. Default: any from 200 to 299
    #[schemars(extend(
        "minItems" = 1,
        "items" = { "type": "integer", "minimum": STATUS_RANGE.start(), "maximum": STATUS_RANGE.end() }
    ))]
    pub(in crate::config) status: Option<List<Count>>,
    /// Text within the first 64 KiB of the body. Default: any body
    #[schemars(extend("minLength" = 1))]
    pub(in crate::config) body_contains: Option<Text>,
    /// A value in a JSON body. Default: any body
    pub(in crate::config) json: Option<ExpectJson>,
}

/// Where an answer names the version that gave it.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "the place of a version; allowed is a mapping with header or json")]
#[schemars(extend("oneOf" = [{ "required": ["header"] }, { "required": ["json"] }]))]
pub(in crate::config) struct ExpectVersion {
    /// A response header, such as x-version. Either this or json.
    #[schemars(extend("minLength" = 1))]
    pub(in crate::config) header: Option<Text>,
    /// Where in a JSON body, as an RFC 6901 pointer such as /version. The body is read to its end for it.
    pub(in crate::config) json: Option<Text>,
}

/// A value in a JSON body.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(
    deny_unknown_fields,
    expecting = "a JSON expectation; allowed is a mapping with pointer, and equals, at_least or at_most"
)]
#[schemars(extend(
    "required" = ["pointer"],
    "anyOf" = [{ "required": ["equals"] }, { "required": ["at_least"] }, { "required": ["at_most"] }]
))]
pub(in crate::config) struct ExpectJson {
    /// Where, as an RFC 6901 pointer such as /status; empty for the whole body.
    pub(in crate::config) pointer: Option<Text>,
    /// The value that has to stand there. Either this, or limits.
    #[serde(default, deserialize_with = "Json::written")]
    pub(in crate::config) equals: Option<Json>,
    /// A number that is not below this has to stand there.
    pub(in crate::config) at_least: Option<Number>,
    /// A number that is not above this has to stand there.
    pub(in crate::config) at_most: Option<Number>,
}

/// How long the certificates are good for that an app presents: a TLS handshake, and nothing else. They have to be trusted
/// by this machine, and be for the name.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(
    deny_unknown_fields,
    expecting = "a look at certificates; allowed is a mapping with address, at_least and server_name"
)]
#[schemars(extend("required" = ["address"]))]
pub(in crate::config) struct Tls {
    /// Host and port, such as shop.example.com:443.
    pub(in crate::config) address: Option<Text>,
    /// Good while the certificates stay valid for at least this long, up to 1y; 0s for those that are valid now. Rules on it
    /// are consecutive_failures and failure_ratio. Default: 7d
    pub(in crate::config) at_least: Option<Span>,
    /// The name that is asked for, and that the certificate has to be for. Default: the host of address
    pub(in crate::config) server_name: Option<Text>,
}

/// Whether a gRPC server says of itself that it serves: grpc.health.v1.Health/Check. A server without that service says
/// nothing.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(
    deny_unknown_fields,
    expecting = "a question for health over gRPC; allowed is a mapping with url, service and headers"
)]
#[schemars(extend("required" = ["url"]))]
pub(in crate::config) struct Grpc {
    /// The server, such as `https://shop.example.com` or `http://127.0.0.1:50051`, without a path. HTTP/2 in either case.
    pub(in crate::config) url: Option<Text>,
    /// Whose health is asked for. Default: the whole server's
    #[schemars(extend("minLength" = 1))]
    pub(in crate::config) service: Option<Text>,
    /// Extra metadata. Their values are never shown. Default: none
    pub(in crate::config) headers: Option<BTreeMap<String, Text>>,
}

/// A figure that the app's own platform has of it, of every component unless one is named; the worst counts. DigitalOcean
/// has health, restart_count, cpu_percentage and memory_percentage (monitoring:read, but for health), Sevalla
/// status_codes_5xx, response_time, exit_codes, cpu_usage and memory_usage.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(
    deny_unknown_fields,
    expecting = "a figure of the platform; allowed is a mapping with figure, and at_least or at_most"
)]
#[schemars(extend("required" = ["figure"]))]
pub(in crate::config) struct OfPlatform {
    /// Which. health is healthy or not, and takes no limits. restart_count is of each instance since the release went live,
    /// exit_codes how many processes of a kind ended badly since; status_codes_5xx is the share of max_age, response_time
    /// the 95th percentile in milliseconds, cpu_usage in cores, memory_usage in bytes. Rules on it are
    /// consecutive_failures and failure_ratio.
    pub(in crate::config) figure: Option<Word<Figure>>,
    /// The value is good when it is not below this.
    pub(in crate::config) at_least: Option<Number>,
    /// The value is good when it is not above this.
    pub(in crate::config) at_most: Option<Number>,
    /// The component, or on sevalla the process, by its name. Default: every one
    #[schemars(extend("minLength" = 1))]
    pub(in crate::config) component: Option<Text>,
    /// What it means when there is no value of the release although there could be one: unknown, good or bad. A platform
    /// that does not answer is always unknown. Default: unknown
    pub(in crate::config) absent: Option<Word<Absent>>,
    /// How old the newest value may be, from 5s to 1h; an older one is absent. As far back is looked for whether the
    /// figure was as bad before the release. Default: 5m
    pub(in crate::config) max_age: Option<Span>,
}
