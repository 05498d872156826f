//! Whose fault things were, beside what was said.

use std::collections::BTreeMap;
use std::fmt;

use super::scenario::Label;

/// How often what was said of trouble of each label.
#[derive(Clone, Debug, Default)]
pub(super) struct Matrix {
    counts: BTreeMap<(Label, Option<Label>), u32>,
}

impl Matrix {
    pub(super) fn add(&mut self, is: Label, said: Option<Label>) {
        *self.counts.entry((is, said)).or_default() += 1;
    }

    fn sum(&self, which: impl Fn(Label, Option<Label>) -> bool) -> f64 {
        let counted = self.counts.iter().filter(|((is, said), _)| which(*is, *said));
        f64::from(counted.map(|(_, count)| count).sum::<u32>())
    }

    /// Of the releases that were accused, the share that did it.
    pub(super) fn precision(&self) -> f64 {
        let accused = |said| said == Some(Label::Release);
        self.sum(|is, said| accused(said) && is == Label::Release) / self.sum(|_, said| accused(said))
    }

    /// Of those that did it, the share that was accused.
    pub(super) fn recall(&self) -> f64 {
        let did = |is| is == Label::Release;
        self.sum(|is, said| did(is) && said == Some(Label::Release)) / self.sum(|is, _| did(is))
    }
}

impl fmt::Display for Matrix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns = Label::ALL.into_iter().filter(|label| *label != Label::Nobody).map(Some).chain([None]);
        let columns: Vec<Option<Label>> = columns.collect();
        write!(f, "{:>12} |", "is \\ said")?;
        for said in &columns {
            write!(f, "{:>11}", said.map_or("nothing", Label::word))?;
        }
        for is in Label::ALL {
            write!(f, "\n{:>12} |", is.word())?;
            for said in &columns {
                write!(f, "{:>11}", self.counts.get(&(is, *said)).copied().unwrap_or(0))?;
            }
        }
        write!(f, "\n\"the release did it\": precision {:.4}, recall {:.4}", self.precision(), self.recall())
    }
}
