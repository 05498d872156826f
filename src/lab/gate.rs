//! Whether a call is let in, which is alike in every dialect: counted, met by faults, then the rate limit, the token
//! and the app, in this order \[inferred\].

use super::app::{Who, uuid};
use super::fault::{Kind, Met};
use super::kind::{Dialect, Shelf};
use super::ledger::Operation;
use super::model::Refusal;
use super::world::World;
use super::{Scope, Token};

/// A call the API knows, before anybody looks at what it asks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Knock<'a> {
    pub(crate) shelf: Shelf,
    pub(crate) operation: Operation,
    pub(crate) app: Option<&'a str>,
    pub(crate) token: Option<&'a Token>,
    /// It is over a rate limit.
    pub(crate) is_limited: bool,
}

/// What became of it.
pub(crate) struct Admission {
    /// The fault that strikes it.
    pub(crate) fault: Option<Kind>,
    /// Who calls, and the place of the app it is about; or why it is not let in, which is in the ledger by now.
    pub(crate) outcome: Result<(Who, Option<usize>), Refusal>,
}

pub(crate) fn admit(world: &mut World, knock: Knock<'_>) -> Admission {
    world.ledger.count(knock.operation);
    let place = knock.app.map(|id| world.model.on_shelf(knock.shelf, id));
    let name = place.flatten().map(|place| world.model.apps[place].name.clone());
    let met = Met::Call(knock.operation);
    let fault = if knock.is_limited { None } else { world.strike(met, name.as_deref()) };
    let dialect = knock.shelf.dialect();
    let outcome = permitted(knock).and_then(|who| match place {
        Some(None) => Err((who, 404)),
        place => Ok((who, place.flatten())),
    });
    let outcome = outcome.map_err(|(who, status)| {
        let refusal = Refusal::new(status, words(dialect, status));
        if !knock.operation.is_read() {
            let app = name.as_deref().or(knock.app).unwrap_or_default();
            world.refuse(app, knock.operation, who, &refusal);
        }
        refusal
    });
    Admission { fault, outcome }
}

/// Who calls, if the limit and the token allow it. Without a token it is nobody, recorded as a person.
fn permitted(knock: Knock<'_>) -> Result<Who, (Who, u16)> {
    let who = knock.token.map_or(Who::Person, |token| token.who);
    match knock.token {
        _ if knock.is_limited => Err((who, 429)),
        None => Err((who, 401)),
        Some(token) if knock.operation.needs_update() && token.scope == Scope::Read => Err((who, 403)),
        Some(_) => Ok(who),
    }
}

/// Each platform's own words.
fn words(dialect: Dialect, status: u16) -> &'static str {
    match (dialect, status) {
        (Dialect::DigitalOcean, 401) => "Unable to authenticate you",
        (Dialect::DigitalOcean, 403) => "You are not authorized to perform this operation",
        (Dialect::DigitalOcean, 429) => "API Rate limit exceeded.",
        (Dialect::DigitalOcean, _) => "The resource you requested could not be found.",
        (Dialect::Sevalla, 401) => "Unauthorized",
        (Dialect::Sevalla, 403) => "Forbidden",
        (Dialect::Sevalla, 429) => "Too many requests",
        (Dialect::Sevalla, _) => "Not found",
    }
}

impl World {
    /// The id of the next answer.
    pub(crate) fn request_id(&mut self) -> String {
        self.requests += 1;
        uuid(0, "request", usize::try_from(self.requests).unwrap_or(0))
    }

    /// The token that was sent, if the lab knows it.
    pub(crate) fn token(&self, sent: Option<&str>) -> Option<Token> {
        sent.and_then(|sent| self.tokens.iter().find(|token| token.value == sent).cloned())
    }
}
