//! Counters: two selectors, and what they may amount to.

use super::{duration, headers, url};
use crate::config::leaf::Text;
use crate::config::problem::Spot;
use crate::config::validate::count;
use crate::config::{Absent, CountersAsk, defaults, raw};

/// Nobody has more of them between two scrapes.
const MOST_REQUESTS: u64 = 1_000_000_000;

pub(super) fn counters(spot: &Spot, raw: &raw::Prometheus) -> Option<CountersAsk> {
    if raw.query.is_some() {
        spot.key("query")
            .wrong_key("stands beside errors and requests; allowed is either query, or the two of them");
    }
    if raw.at_least.is_some() {
        spot.key("at_least").wrong_key("stands beside errors and requests; allowed is at_most");
    }
    let selectors = [("errors", &raw.errors), ("requests", &raw.requests)];
    let [errors, requests] = selectors.map(|(key, text)| selector(&spot.key(key), text.as_ref()));
    let at = spot.key("at_most");
    let at_most = raw.at_most.map(|limit| limit.0);
    if let Some(limit) = at_most.filter(|limit| !(0.0..1.0).contains(limit)) {
        at.wrong(format!("{limit} is out of range; allowed is 0 to below 1, such as 0.05"));
        return None;
    }
    let absent = raw.absent.map_or_else(Absent::default, |word| word.0);
    if absent == Absent::Bad {
        spot.key("absent")
            .wrong("bad is no meaning of counters that are not there; allowed are unknown and good");
    }
    let range = 1..=MOST_REQUESTS;
    let min_requests = count(&spot.key("min_requests"), raw.min_requests, defaults::MIN_REQUESTS, &range);
    let max_age = duration(&spot.key("max_age"), raw.max_age, defaults::COUNTED, &defaults::MAX_AGE_RANGE);
    let (url, headers) =
        (url(&spot.key("url"), raw.url.as_ref()), headers(&spot.key("headers"), raw.headers.as_ref()));
    Some(CountersAsk {
        url: url?,
        headers: headers?,
        errors: errors?,
        requests: requests?,
        at_most,
        min_requests: min_requests?,
        none_is_good: absent == Absent::Good,
        max_age: max_age?,
    })
}

fn selector(spot: &Spot, text: Option<&Text>) -> Option<String> {
    let Some(Text(selector)) = text else {
        spot.missing("a selector of counters such as http_requests_total{app=\"shop\"}");
        return None;
    };
    let trimmed = selector.trim();
    // A range is added to it. Whether the rest is right the server knows.
    let last = trimmed.chars().next_back();
    let is_one =
        last.is_some_and(|last| last == '}' || last == '_' || last == ':' || last.is_ascii_alphanumeric());
    if !is_one || !trimmed.chars().all(|letter| letter != '\n') {
        spot.wrong(
            "is not a selector; allowed is one without a range or a function, such as http_requests_total{app=\"shop\"}",
        );
        return None;
    }
    Some(trimmed.to_owned())
}
