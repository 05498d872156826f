//! How an error is shown where it ends up: the whole chain on one line.

use std::error::Error;

/// `failed to OPERATION: CAUSE: CAUSE`, without the `failed to`, which the place that logs it adds.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("open the journal")]
    struct Outer(#[source] std::io::Error);

    #[test]
    fn the_whole_chain_stands_on_one_line() {
        let error = Outer(std::io::Error::other("disk on fire"));
        assert_eq!(chain(&error), "open the journal: disk on fire");
    }
}
