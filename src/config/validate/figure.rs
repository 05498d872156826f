//! A figure of the app's own platform: one that it has, with limits that make sense of it.

use super::ask::limits;
use super::duration;
use crate::config::leaf::{Text, Word};
use crate::config::problem::{Spot, shown};
use crate::config::{Absent, Figure, Limits, PlatformAsk, PlatformKind, defaults, raw};

/// Names of components and processes are shorter.
const COMPONENT_MAX: usize = 120;

/// What is asked of a platform of that kind, where it is known.
pub(super) fn figure(spot: &Spot, raw: &raw::OfPlatform, kind: Option<PlatformKind>) -> Option<PlatformAsk> {
    let at = spot.key("figure");
    let figure = match raw.figure {
        Some(Word(figure)) => is_there(&at, figure, kind).then_some(figure),
        None => {
            let all = kind.map_or_else(|| "a figure of the platform".to_owned(), named);
            at.missing(&all);
            None
        }
    };
    let limits = match raw.figure {
        Some(Word(Figure::Health)) => healthy(spot, raw),
        _ => {
            let limits = limits(spot, raw.at_least, raw.at_most);
            if limits.is_none() && raw.at_least.is_none() && raw.at_most.is_none() && !at.is_broken() {
                spot.key("at_most").missing("a number, here or as at_least");
            }
            limits
        }
    };
    let component = component(&spot.key("component"), raw.component.as_ref(), figure);
    let max_age = duration(&spot.key("max_age"), raw.max_age, defaults::MAX_AGE, &defaults::MAX_AGE_RANGE);
    let absent = raw.absent.map_or_else(Absent::default, |word| word.0);
    Some(PlatformAsk { figure: figure?, component: component?, limits: limits?, absent, max_age: max_age? })
}

fn is_there(spot: &Spot, figure: Figure, kind: Option<PlatformKind>) -> bool {
    let Some(kind) = kind.filter(|kind| !kind.figures().contains(&figure)) else { return true };
    let platform = match kind {
        PlatformKind::DigitalOcean => "digitalocean",
        PlatformKind::Sevalla => "sevalla",
    };
    spot.wrong(format!("{} is no figure of {platform}; allowed are {}", figure.word(), named(kind)));
    false
}

fn named(kind: PlatformKind) -> String {
    kind.figures().iter().map(|figure| figure.word()).collect::<Vec<_>>().join(", ")
}

/// It is a word, and has an age of its own.
fn healthy(spot: &Spot, raw: &raw::OfPlatform) -> Option<Limits> {
    let there = [
        ("at_least", raw.at_least.is_some()),
        ("at_most", raw.at_most.is_some()),
        ("max_age", raw.max_age.is_some()),
    ];
    let mut is_fine = true;
    for (key, _) in there.iter().filter(|(_, there)| *there) {
        spot.key(key).wrong_key("says nothing of health, which is there or not; allowed is to leave it out");
        is_fine = false;
    }
    is_fine.then_some(Limits { at_least: Some(1.0), at_most: None })
}

/// Whose figure it is, where it is not everybody's.
fn component(spot: &Spot, text: Option<&Text>, figure: Option<Figure>) -> Option<Option<String>> {
    let Some(Text(name)) = text else { return (!spot.is_broken()).then_some(None) };
    if let Some(figure) = figure.filter(|figure| figure.is_of_the_whole_app()) {
        spot.wrong_key(format!("{} is of the whole app; allowed is to leave it out", figure.word()));
        return None;
    }
    if name.is_empty() || name.len() > COMPONENT_MAX || name.chars().any(char::is_control) {
        let what = format!("\"{}\" is not the name of a component; allowed is one such as web", shown(name));
        spot.wrong(what);
        return None;
    }
    Some(Some(name.clone()))
}
