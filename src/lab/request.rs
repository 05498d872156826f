//! A request of an API as it came in, whichever platform's.

/// A request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request<'a> {
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
    pub(crate) query: &'a str,
    pub(crate) host: &'a str,
    pub(crate) token: Option<&'a str>,
    pub(crate) body: &'a [u8],
}

/// Every value of a repeated key as it was sent: what needs decoding is the caller's to decode.
pub(crate) fn values<'a>(query: &'a str, key: &'a str) -> impl Iterator<Item = &'a str> {
    query.split('&').filter_map(|pair| pair.split_once('=')).filter(move |(k, _)| *k == key).map(|(_, v)| v)
}

pub(crate) fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}
