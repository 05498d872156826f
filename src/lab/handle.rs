//! What one can do with a lab in process; the control API does the same over HTTP.

use std::collections::BTreeMap;
use std::sync::PoisonError;
use std::time::Duration;

use super::control::{self, Action};
use super::world::{Network, World};
use super::{
    AppKind, AppState, Fate, Fault, Health, Lab, LabError, Ledger, RateLimit, Release, Sleep, Token,
    Unknowns, Vitals,
};

impl Lab {
    /// Everything, brought to now.
    pub(super) fn world<T>(&self, look: impl FnOnce(&mut World) -> T) -> T {
        let mut world = self.shared.world.lock().unwrap_or_else(PoisonError::into_inner);
        world.advance((self.shared.clock)());
        look(&mut world)
    }

    /// A new app, live with this release from the start.
    ///
    /// # Errors
    /// If the name is taken or not fit for a URL.
    pub fn create_app(&self, name: &str, release: Release) -> Result<AppState, LabError> {
        self.create_app_of(name, AppKind::DigitalOcean, release)
    }

    /// A new app of this kind, live with this release from the start.
    ///
    /// # Errors
    /// If the name is taken or not fit for a URL.
    pub fn create_app_of(&self, name: &str, kind: AppKind, release: Release) -> Result<AppState, LabError> {
        self.world(|world| world.create_app(name, kind, release))
    }

    /// That many healthy apps, `{prefix}-00000` and on.
    ///
    /// # Errors
    /// If a name is taken.
    pub fn create_apps(&self, prefix: &str, count: usize) -> Result<(), LabError> {
        self.create_apps_of(prefix, count, AppKind::DigitalOcean)
    }

    /// The same, of this kind.
    ///
    /// # Errors
    /// If a name is taken.
    pub fn create_apps_of(&self, prefix: &str, count: usize, kind: AppKind) -> Result<(), LabError> {
        self.world(|world| {
            (0..count).try_for_each(|nth| {
                world.create_app(&format!("{prefix}-{nth:05}"), kind, Release::good("v1")).map(drop)
            })
        })
    }

    /// Deletes an app: the platform does not find it any more.
    ///
    /// # Errors
    /// If there is none of that name.
    pub fn delete_app(&self, name: &str) -> Result<(), LabError> {
        self.world(|world| world.place(name).map(|place| world.model.delete_app(place)))
    }

    /// A person pushes a release. Gives the new deployment's id, or none if the push waits for the pin to go, or the
    /// app does not deploy pushes.
    ///
    /// # Errors
    /// If there is no such app, or it is pinned.
    pub fn push(&self, app: &str, release: Release) -> Result<Option<String>, LabError> {
        self.person(app, Action::Push { release: Box::new(release) })
    }

    /// A person, or the platform itself, does something. Gives the id of the deployment concerned.
    ///
    /// # Errors
    /// If there is no such app or deployment, or the platform refuses.
    pub fn person(&self, app: &str, action: Action) -> Result<Option<String>, LabError> {
        self.world(|world| control::act(world, app, action))
    }

    /// Imposes a health on whatever is live, until the next deployment goes live.
    ///
    /// # Errors
    /// If there is no such app.
    pub fn set_health(&self, app: &str, health: Health) -> Result<(), LabError> {
        self.world(|world| world.impose_health(app, health))
    }

    /// Imposes what the platform measures of whatever is live, until the next deployment goes live.
    ///
    /// # Errors
    /// If there is no such app.
    pub fn set_vitals(&self, app: &str, vitals: Vitals) -> Result<(), LabError> {
        self.world(|world| world.impose_vitals(app, vitals))
    }

    /// What comes of the rollback deployments made from now on.
    ///
    /// # Errors
    /// If there is no such app.
    pub fn set_rollback_fate(&self, app: &str, fate: Fate) -> Result<(), LabError> {
        self.world(|world| world.set_rollback_fate(app, fate))
    }

    /// Puts an app to sleep whenever nobody asks it anything for long enough, or never.
    ///
    /// # Errors
    /// If there is no such app.
    pub fn set_sleep(&self, app: &str, habit: Option<Sleep>) -> Result<(), LabError> {
        self.world(|world| world.set_sleep(app, habit))
    }

    /// Moves an app to another region: its older deployments can then not be rolled back to.
    ///
    /// # Errors
    /// If there is no such app.
    pub fn set_region(&self, app: &str, region: &str) -> Result<(), LabError> {
        self.world(|world| world.change(app, |app, _| region.clone_into(&mut app.region)))
    }

    /// Answers the open questions otherwise from now on.
    pub fn set_unknowns(&self, change: impl FnOnce(&mut Unknowns)) {
        self.world(|world| {
            let mut unknowns = world.model.unknowns;
            change(&mut unknowns);
            world.set_unknowns(unknowns);
        });
    }

    /// Changes who may call: revokes, rotates, narrows.
    pub fn set_tokens(&self, tokens: Vec<Token>) {
        self.world(|world| world.tokens = tokens);
    }

    /// Changes what each token may call.
    pub fn set_rate_limit(&self, limit: RateLimit) {
        self.world(|world| world.rate_limit = limit);
    }

    /// Adds a fault. Gives its id.
    pub fn fault(&self, fault: Fault) -> u64 {
        self.world(|world| world.faults.add(fault))
    }

    /// Removes a fault; whether there was one of that id.
    pub fn remove_fault(&self, id: u64) -> bool {
        self.world(|world| world.faults.remove(id))
    }

    /// How often each kind of fault struck a request, by its word.
    pub fn struck(&self) -> BTreeMap<String, usize> {
        self.world(|world| world.faults.struck())
    }

    /// Removes every fault.
    pub fn clear_faults(&self) {
        self.world(|world| world.faults.clear());
    }

    /// Takes the network away from the API, the sites and `/up` alike, or brings it back. The control API stays.
    pub fn set_network(&self, up: bool) {
        self.world(|world| world.network = if up { Network::Up } else { Network::Down });
    }

    /// What was asked and what was done so far.
    pub fn ledger(&self) -> Ledger {
        self.world(|world| world.ledger.clone())
    }

    /// Writes into the ledger what did not happen, to see whether a judge notices.
    #[cfg(test)]
    pub(crate) fn forge(&self, forge: impl FnOnce(&mut Vec<super::ledger::Entry>)) {
        self.world(|world| forge(&mut world.ledger.entries));
    }

    /// The app as it is, not as a lagging read shows it.
    ///
    /// # Errors
    /// If there is none of that name.
    pub fn app(&self, name: &str) -> Result<AppState, LabError> {
        self.world(|world| world.place(name).map(|place| AppState::from(&world.model.apps[place])))
    }

    /// What became of an app, deleted or not.
    #[cfg(test)]
    pub(crate) fn record(&self, name: &str) -> AppState {
        self.world(|world| {
            AppState::from(world.model.apps.iter().find(|app| app.name == name).expect("an app"))
        })
    }

    /// The live deployment, which is cheaper to ask for than everything about the app.
    #[cfg(test)]
    pub(crate) fn live(&self, name: &str) -> Option<String> {
        self.world(|world| {
            let app = &world.model.apps[world.place(name).ok()?];
            app.active().map(|live| live.id.clone())
        })
    }

    /// The lab's clock, in milliseconds since the Unix epoch.
    pub fn now_ms(&self) -> i64 {
        self.world(|world| world.now())
    }

    /// The version that is live.
    ///
    /// # Errors
    /// If there is no such app.
    pub fn live_version(&self, app: &str) -> Result<Option<String>, LabError> {
        Ok(self.app(app)?.version)
    }

    /// Waits until nothing moves in the app any more: every deployment has ended, or is stuck.
    ///
    /// # Errors
    /// If there is no such app.
    pub async fn settled(&self, app: &str) -> Result<AppState, LabError> {
        while let Some(wait) = self.world(|world| {
            let place = world.place(app)?;
            Ok::<_, LabError>(world.model.next_step(place).map(|due| due - world.now()))
        })? {
            tokio::time::sleep(Duration::from_millis(u64::try_from(wait).unwrap_or(0).max(1))).await;
        }
        self.app(app)
    }
}
