//! What the address of an image says of its content.

/// How long an address means the same image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Address {
    /// For ever: it ends with a digest.
    Digest,
    /// Until somebody moves its tag, and whether anybody does is a habit that no name shows: `v2` and a commit stay as a
    /// rule, `stable` does not.
    Tag,
    /// Until the next build: `latest`, or no tag, which is the same.
    Newest,
}

impl Address {
    pub(super) fn of(image: &str) -> Self {
        if image.split_once('@').is_some_and(|(_, digest)| digest.contains(':')) {
            return Self::Digest;
        }
        // What is before the last slash may have a port.
        let name = image.rsplit('/').next().unwrap_or(image);
        match name.split_once(':') {
            None | Some((_, "" | "latest")) => Self::Newest,
            Some(_) => Self::Tag,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_digest_is_the_same_image_for_ever_and_a_port_is_no_tag() {
        let digest = "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
        let table = [
            (format!("shop@{digest}"), Address::Digest),
            (format!("registry.example.com:5000/team/shop:v2@{digest}"), Address::Digest),
            ("shop:v2".to_owned(), Address::Tag),
            ("registry.example.com:5000/team/shop:4f6c71e2".to_owned(), Address::Tag),
            ("shop:stable".to_owned(), Address::Tag),
            ("shop:latest".to_owned(), Address::Newest),
            ("shop".to_owned(), Address::Newest),
            ("shop:".to_owned(), Address::Newest),
            ("registry.example.com:5000/team/shop".to_owned(), Address::Newest),
            ("shop@".to_owned(), Address::Newest),
        ];
        for (image, expected) in table {
            assert_eq!(Address::of(&image), expected, "{image}");
        }
    }
}
