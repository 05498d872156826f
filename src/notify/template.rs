//! Templates of texts: Jinja over the keys of an event. No files, no network, and no end is waited for.

use std::collections::BTreeSet;

use minijinja::value::Serde;
use minijinja::{Environment, UndefinedBehavior};

use super::event::{Event, Kind};

/// How many steps a template may take for one text.
const FUEL: u64 = 50_000;

/// The longest text that is made, in characters.
const LONGEST: usize = 64 * 1024;

/// A template that can be read.
#[derive(Debug)]
pub(crate) struct Template(Environment<'static>);

impl Template {
    /// Reads a template. The error says what is wrong in one line.
    pub(crate) fn new(text: &str) -> Result<Self, String> {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_fuel(Some(FUEL));
        environment.add_template_owned("text", text.to_owned()).map_err(|error| said(&error))?;
        Ok(Self(environment))
    }

    /// The text of an event.
    pub(crate) fn render(&self, event: &Event) -> Result<String, String> {
        let template = self.0.get_template("text").map_err(|error| said(&error))?;
        let text = template.render(Serde(event)).map_err(|error| said(&error))?;
        Ok(if text.len() > LONGEST { text.chars().take(LONGEST).collect() } else { text })
    }

    /// Whether it makes a text of each kind of event among `only`, or of every kind where that is empty.
    pub(crate) fn try_out(&self, only: &BTreeSet<Kind>) -> Result<(), String> {
        let mut all = Kind::WORDS.iter().filter(|(_, kind)| only.is_empty() || only.contains(kind));
        all.try_for_each(|(word, kind)| match self.render(&Event::sample(*kind)) {
            Ok(_) => Ok(()),
            Err(error) => Err(format!("{error}, for an event of the kind {word}")),
        })
    }
}

/// What is wrong, without what stands around it in the template.
fn said(error: &minijinja::Error) -> String {
    let line = error.line().map_or(String::new(), |line| format!(" in line {line}"));
    let detail = error.detail().map_or(String::new(), |detail| format!(" ({detail})"));
    format!("{}{line}{detail}", error.kind())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_makes_its_text_of_the_keys_of_an_event() {
        let text = "{{ text }}{% if incident %} [{{ incident.id }}, {{ incident.outcome or 'open' }}]{% endif %}{% if next %} -> {{ next }}{% endif %}";
        let template = Template::new(text).unwrap();
        template.try_out(&BTreeSet::new()).unwrap();
        let made = template.render(&Event::sample(Kind::Held)).unwrap();
        assert_eq!(made, "shop on ocean: rule down fired [shop-1a2b3c4d, held]");
        let upper = Template::new("{{ kind|upper }} {{ app|default('all apps', true) }}").unwrap();
        assert_eq!(upper.render(&Event::sample(Kind::Storm)).unwrap(), "STORM all apps");
    }

    #[test]
    fn what_is_wrong_with_a_template_is_found_before_it_is_needed() {
        let wrong = |text: &str| {
            Template::new(text).and_then(|template| template.try_out(&BTreeSet::new())).unwrap_err()
        };
        assert!(wrong("{{ text").contains("syntax error in line 1"), "{}", wrong("{{ text"));
        assert!(wrong("{{ txt }}").contains("undefined value in line 1"), "{}", wrong("{{ txt }}"));
        // There is no incident in a storm.
        let storm = wrong("{{ incident.id }}");
        assert!(storm.contains("for an event of the kind"), "{storm}");
        let of_incidents = Template::new("{{ incident.id }}").unwrap();
        of_incidents.try_out(&[Kind::Fired, Kind::Closed].into()).unwrap();
        assert!(wrong("{{ text|shout }}").contains("unknown filter"));
        assert!(
            wrong("{% for a in range(100000) %}{% for b in range(100000) %}x{% endfor %}{% endfor %}").len()
                > 5
        );
    }
}
