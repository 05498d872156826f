//! Which apps a person paused, by a word or by a file: one set, written by the API, read right before every write.
//!
//! The file lies next to the journal: `paused` pauses everything while it exists, `paused-APP` that app. What is in it does not
//! matter. `touch` works when nothing else does.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;
use tokio::sync::{Mutex, MutexGuard, watch};

use crate::clock::{Clock, Moment};
use crate::config::AppConfig;
use crate::ids::PlatformAppId;
use crate::journal::{Journal, JournalError, Pause};

/// Stands for all apps.
pub(super) const ALL: &str = "*";

/// The name of the file, in the journal's folder.
pub(crate) const FILE: &str = "paused";

/// The paused apps, by the platform's ids of them. Clones see the same set.
#[derive(Clone, Default)]
pub(super) struct Paused {
    known: Arc<watch::Sender<Known>>,
    turns: Arc<Mutex<()>>,
    file: Option<Arc<PathBuf>>,
}

/// Until the journal was read nobody knows who is paused.
#[derive(Default)]
struct Known {
    apps: BTreeMap<String, Pause>,
    /// Those of them that the journal does not have yet.
    unwritten: BTreeSet<String>,
    is_complete: bool,
    /// What the files say, when they were looked at last.
    file: InFile,
}

impl Known {
    /// The pause that stands for it, or for all of them, and lasts longer than `until`.
    fn longer(&self, key: &str, until: Option<Moment>, now: Moment) -> Option<Pause> {
        let pause = self.apps.get(key).filter(|pause| !pause.is_over(now))?;
        let is_longer = match (pause.until, until) {
            (None, until) => until.is_some(),
            (Some(_), None) => false,
            (Some(stands), Some(until)) => stands > until,
        };
        is_longer.then(|| pause.clone())
    }

    /// The journal has this pause, unless another one is in force by now.
    fn is_written(&mut self, key: &str, written: &Pause) {
        if self.apps.get(key) == Some(written) {
            self.unwritten.remove(key);
        }
    }
}

/// Whom the files pause.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum InFile {
    #[default]
    Nobody,
    Everybody,
    /// By the names of the configuration.
    Named(BTreeSet<String>),
}

impl InFile {
    fn has(&self, app: &AppConfig) -> bool {
        match self {
            Self::Nobody => false,
            Self::Everybody => true,
            Self::Named(names) => names.contains(app.name.as_str()),
        }
    }
}

/// Why an app is paused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// A person's word.
    Word {
        pause: Pause,
        /// It is of every app.
        all: bool,
    },
    /// The file.
    File,
    /// The journal could not be read yet.
    Unknown,
}

impl Paused {
    /// With the file at `path`.
    pub(super) fn with_file(path: PathBuf) -> Self {
        let paused = Self { file: Some(Arc::new(path)), ..Self::default() };
        paused.look_at_files();
        paused
    }

    /// What the journal remembers, besides what was asked for meanwhile.
    pub(super) fn recall(&self, apps: Vec<(String, Pause)>) {
        self.known.send_modify(|known| {
            for (app, pause) in apps {
                known.apps.entry(app).or_insert(pause);
            }
            known.is_complete = true;
        });
    }

    /// Whether nothing may be written for `app` now: so it is for everybody while nobody knows.
    pub(super) fn is_paused(&self, app: &AppConfig, now: Moment) -> bool {
        self.why(app, now).is_some()
    }

    /// The same with a look at the file itself: the last word before a write.
    pub(super) fn is_paused_at_last(&self, app: &AppConfig, now: Moment) -> bool {
        self.look_at_files();
        self.is_paused(app, now)
    }

    /// Why `app` is paused, if it is.
    pub(super) fn why(&self, app: &AppConfig, now: Moment) -> Option<Why> {
        let known = self.known.borrow();
        let word = |key: &str| known.apps.get(key).filter(|pause| !pause.is_over(now)).cloned();
        if let Some(pause) = word(ALL) {
            return Some(Why::Word { pause, all: true });
        }
        if let Some(pause) = word(app.id.as_str()) {
            return Some(Why::Word { pause, all: false });
        }
        if known.file.has(app) {
            return Some(Why::File);
        }
        (!known.is_complete).then_some(Why::Unknown)
    }

    /// Whether a word pauses everything.
    pub(super) fn is_all(&self, now: Moment) -> bool {
        self.known.borrow().apps.get(ALL).is_some_and(|pause| !pause.is_over(now))
    }

    /// Pauses an app, or all of them, unless a pause stands that lasts longer, which is given. In force before it is
    /// written.
    pub(super) fn pause(&self, app: Option<&PlatformAppId>, pause: Pause, now: Moment) -> Result<(), Pause> {
        let key = key(app);
        let mut stands = None;
        self.known.send_if_modified(|known| {
            stands = known.longer(key, pause.until, now);
            if stands.is_none() {
                known.unwritten.insert(key.to_owned());
                known.apps.insert(key.to_owned(), pause);
            }
            stands.is_none()
        });
        stands.map_or(Ok(()), Err)
    }

    /// The same at once, and again when it is its turn: whoever waits for the journal holds up none of it, and may undo
    /// it. Gives the turn, in which it is to be written.
    pub(super) async fn pause_in_turn(
        &self,
        app: Option<&PlatformAppId>,
        pause: Pause,
        clock: &dyn Clock,
    ) -> Result<MutexGuard<'_, ()>, Pause> {
        // What stands now may be about to end: only in turn is that the last word.
        let _ = self.pause(app, pause.clone(), clock.now());
        let turn = self.turn().await;
        self.pause(app, pause, clock.now()).map(|()| turn)
    }

    /// Resumes an app, or all of them and each.
    pub(super) fn resume(&self, app: Option<&PlatformAppId>) {
        self.known.send_modify(|known| match app {
            Some(app) => {
                known.unwritten.remove(app.as_str());
                known.apps.remove(app.as_str());
            }
            None => {
                known.unwritten.clear();
                known.apps.clear();
            }
        });
    }

    /// Whether a word pauses this one, be everything paused or not.
    pub(super) fn has(&self, app: &PlatformAppId, now: Moment) -> bool {
        self.known.borrow().apps.get(app.as_str()).is_some_and(|pause| !pause.is_over(now))
    }

    /// The file that pauses this app, if one does.
    pub(super) fn file_that_pauses(&self, app: &AppConfig) -> Option<PathBuf> {
        let file = self.file.as_deref()?;
        match &self.known.borrow().file {
            InFile::Everybody => Some(file.clone()),
            InFile::Named(names) if names.contains(app.name.as_str()) => {
                Some(file.with_file_name(format!("{FILE}-{}", app.name)))
            }
            InFile::Nobody | InFile::Named(_) => None,
        }
    }

    /// What files name that is none of these apps.
    pub(super) fn strangers(&self, apps: &BTreeSet<&str>) -> BTreeSet<String> {
        match &self.known.borrow().file {
            InFile::Named(names) => {
                names.iter().filter(|name| !apps.contains(name.as_str())).cloned().collect()
            }
            InFile::Nobody | InFile::Everybody => BTreeSet::new(),
        }
    }

    /// The journal may have none of it.
    pub(super) fn is_unwritten(&self) {
        self.known.send_modify(|known| known.unwritten = known.apps.keys().cloned().collect());
    }

    /// The journal has it.
    pub(super) fn is_written(&self, app: Option<&PlatformAppId>, written: &Pause) {
        self.known.send_modify(|known| known.is_written(key(app), written));
    }

    /// Writes the pauses that the journal does not have yet, and ends those whose time is over.
    ///
    /// # Errors
    /// The journal's, which was logged.
    pub(super) async fn keep(
        &self,
        journal: &dyn Journal,
        (now, wall): (Moment, Timestamp),
    ) -> Result<(), JournalError> {
        self.look_at_files();
        let _turn = self.turn().await;
        let (unwritten, over) = {
            let known = self.known.borrow();
            let unwritten: Vec<_> =
                known.unwritten.iter().filter_map(|app| known.apps.get_key_value(app)).collect();
            let unwritten: Vec<(String, Pause)> =
                unwritten.into_iter().map(|(app, pause)| (app.clone(), pause.clone())).collect();
            let over = known.apps.iter().filter(|(_, pause)| pause.is_over(now));
            (unwritten, over.map(|(app, _)| app.clone()).collect::<Vec<_>>())
        };
        for (app, pause) in unwritten {
            match journal.pause(&app, pause.clone()).await {
                Ok(()) => self.known.send_modify(|known| known.is_written(&app, &pause)),
                Err(error) => {
                    tracing::error!("failed to {error}; a pause is in force and not durable");
                    return Err(error);
                }
            }
        }
        for app in over {
            match journal.end_pause(&app, None, wall).await {
                Ok(()) => {
                    self.known.send_modify(|known| {
                        // Another one may be in force by now.
                        if known.apps.get(&app).is_some_and(|pause| pause.is_over(now)) {
                            known.apps.remove(&app);
                        }
                    });
                    let what = if app == ALL { "everything" } else { &app };
                    tracing::warn!("the pause of {what} is over: its time has run out");
                }
                Err(error) => {
                    tracing::warn!("failed to {error}; a pause that is over stays in it");
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    /// Looks which files are there. What is in them, and what they are, does not matter: somebody put them there.
    pub(super) fn look_at_files(&self) {
        let Some(path) = &self.file else { return };
        // What cannot be looked at is as it was.
        let Some(Ok(entries)) = path.parent().map(std::fs::read_dir) else { return };
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let mut found = InFile::Nobody;
        for name in names {
            match (name.strip_prefix(FILE), &mut found) {
                (Some(""), _) => {
                    found = InFile::Everybody;
                    break;
                }
                (Some(rest), found) => {
                    let Some(app) = rest.strip_prefix('-') else { continue };
                    match found {
                        InFile::Named(names) => drop(names.insert(app.to_owned())),
                        _ => *found = InFile::Named([app.to_owned()].into()),
                    }
                }
                (None, _) => {}
            }
        }
        let is_news = self.known.borrow().file != found;
        if is_news {
            let who = match &found {
                InFile::Nobody => "nothing any more".to_owned(),
                InFile::Everybody => "everything".to_owned(),
                InFile::Named(names) => names.iter().map(String::as_str).collect::<Vec<_>>().join(", "),
            };
            tracing::warn!("the files beside the journal are to pause {who}");
            self.known.send_modify(|known| known.file = found);
        }
    }

    /// Waits until nobody else changes the set.
    pub(super) async fn turn(&self) -> MutexGuard<'_, ()> {
        self.turns.lock().await
    }
}

/// How the journal calls it.
fn key(app: Option<&PlatformAppId>) -> &str {
    app.map_or(ALL, PlatformAppId::as_str)
}

#[cfg(test)]
mod tests;
