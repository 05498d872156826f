//! Notices that the configuration file changed, by reading and hashing it: a mounted ConfigMap is swapped by a
//! symlink two levels up and editors rename over the file, and neither is seen by watching the file.

use std::path::{Path, PathBuf};
use std::time::Duration;

use sha2::{Digest, Sha256};

use super::Problems;

/// Time between two looks. A change is believed at the second look that sees it, so it is reported after at most
/// twice this; 10 s are promised.
pub const EVERY: Duration = Duration::from_secs(2);

/// Watches one file. The caller looks every [`EVERY`], on a thread that may block.
#[derive(Debug)]
pub struct Watcher {
    path: PathBuf,
    settling: Settling,
}

impl Watcher {
    /// A watcher of a file whose text, as last read, was `text`.
    pub fn new(path: &Path, text: &str) -> Self {
        Self { path: path.into(), settling: Settling::new(Sight::of(&Ok(text.to_owned()))) }
    }

    /// The file that is watched.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Looks at the file: the new text when it changed and stayed so for two looks. A file that cannot be read
    /// any more is such a change too, and is reported once.
    pub fn look(&mut self) -> Option<Result<String, Problems>> {
        let read = super::read(&self.path);
        self.settling.see(Sight::of(&read)).then_some(read)
    }

    /// The file was read by other means, on SIGHUP: what was read is no news any more, and what was known before
    /// would be.
    pub fn saw(&mut self, read: &Result<String, Problems>) {
        self.settling = Settling::new(Sight::of(read));
    }

    /// What was reported last was not taken, since the file said something else by then: whatever it comes to is news.
    pub fn forget(&mut self) {
        self.settling.known = None;
    }
}

/// What the file was at one look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Sight([u8; 32]);

impl Sight {
    fn of(read: &Result<String, Problems>) -> Self {
        let mut hash = Sha256::new();
        match read {
            Ok(text) => hash.update(text),
            // No text has this byte, so no file can look like a file that cannot be read.
            Err(problems) => hash.update([b"\xff", problems.to_string().as_bytes()].concat()),
        }
        Self(hash.finalize().into())
    }
}

/// Believes a change when two looks in a row see the same: the first one may see a file that is half written.
#[derive(Debug)]
struct Settling {
    /// None where whatever lasts is news.
    known: Option<Sight>,
    before: Sight,
}

impl Settling {
    fn new(known: Sight) -> Self {
        Self { known: Some(known), before: known }
    }

    /// Whether this is news that lasts.
    fn see(&mut self, sight: Sight) -> bool {
        let lasts = sight == std::mem::replace(&mut self.before, sight);
        let news = lasts && self.known != Some(sight);
        if news {
            self.known = Some(sight);
        }
        news
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_news_once_and_only_when_it_lasts() {
        let cases = [
            ("a a a", vec![]),
            ("a b b b", vec!["b"]),
            ("a b c c", vec!["c"]),
            ("a b a a", vec![]),
            ("a b b a a", vec!["b", "a"]),
            ("b b", vec!["b"]),
        ];
        for (looks, expected) in cases {
            let sight = |text: &str| Sight::of(&Ok(text.to_owned()));
            let mut settling = Settling::new(sight("a"));
            let news: Vec<&str> = looks.split(' ').filter(|text| settling.see(sight(text))).collect();
            assert_eq!(news, expected, "{looks}");
        }
    }

    #[test]
    fn a_swapped_symlink_a_rename_and_a_missing_file_are_seen() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        for (version, text) in [("v1", "one"), ("v2", "two")] {
            std::fs::create_dir(at(version)).unwrap();
            std::fs::write(at(version).join("f.yaml"), text).unwrap();
        }
        std::os::unix::fs::symlink(at("v1"), at("data")).unwrap();
        std::os::unix::fs::symlink(at("data").join("f.yaml"), at("f.yaml")).unwrap();
        let mut watcher = Watcher::new(&at("f.yaml"), "one");
        let mut looks = |change: &dyn Fn()| {
            change();
            [watcher.look(), watcher.look(), watcher.look()].map(|look| look.map(Result::ok))
        };
        assert_eq!(looks(&|| ()), [None, None, None]);
        let swapped = looks(&|| {
            std::os::unix::fs::symlink(at("v2"), at("new")).unwrap();
            std::fs::rename(at("new"), at("data")).unwrap();
        });
        assert_eq!(swapped, [None, Some(Some("two".to_owned())), None]);
        let renamed = looks(&|| {
            std::fs::write(at("edited"), "three").unwrap();
            std::fs::rename(at("edited"), at("f.yaml")).unwrap();
        });
        assert_eq!(renamed, [None, Some(Some("three".to_owned())), None]);
        let missing = looks(&|| std::fs::remove_file(at("f.yaml")).unwrap());
        assert_eq!(missing, [None, Some(None), None]);
    }

    #[test]
    fn what_was_not_taken_is_news_again() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("f.yaml");
        std::fs::write(&path, "new").unwrap();
        let mut watcher = Watcher::new(&path, "old");
        let mut looks = || [watcher.look(), watcher.look()].map(|look| look.and_then(Result::ok));
        assert_eq!(looks(), [None, Some("new".to_owned())]);
        assert_eq!(looks(), [None, None]);
        watcher.forget();
        let mut looks = || [watcher.look(), watcher.look()].map(|look| look.and_then(Result::ok));
        assert_eq!(looks(), [Some("new".to_owned()), None]);
    }

    #[test]
    fn what_was_read_by_other_means_is_no_news() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("f.yaml");
        std::fs::write(&path, "new").unwrap();
        let mut watcher = Watcher::new(&path, "old");
        assert!(watcher.look().is_none());
        watcher.saw(&Ok("new".to_owned()));
        assert!(watcher.look().is_none() && watcher.look().is_none());
        // Back to what was in force at first: that is news, since something else was read meanwhile.
        std::fs::write(&path, "old").unwrap();
        assert!(watcher.look().is_none());
        assert_eq!(watcher.look().and_then(Result::ok).as_deref(), Some("old"));
    }
}
