//! Whether a rollback is permitted now: pause, freeze, cooldown, budget.

use super::effect::Reason;
use super::observation::Operator;
use super::policy::Limits;
use super::state::Ledger;
use crate::clock::Moment;

/// The first limit that speaks against a rollback at `now`.
pub fn permit(limits: &Limits, ledger: &Ledger, operator: &Operator, now: Moment) -> Result<(), Reason> {
    if operator.paused {
        return Err(Reason::Paused);
    }
    if operator.freeze.rollback {
        return Err(Reason::Freeze);
    }
    if ledger.rollbacks.iter().any(|made| now.since(*made) < limits.cooldown) {
        return Err(Reason::Cooldown);
    }
    let recent = ledger.rollbacks.iter().filter(|made| now.since(**made) < limits.per).count();
    if recent >= usize::try_from(limits.max_rollbacks).unwrap_or(usize::MAX) {
        return Err(Reason::Budget);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decision::observation::Freeze;
    use std::time::Duration;

    #[test]
    fn each_limit_refuses_by_its_name() {
        let limits = Limits {
            cooldown: Duration::from_secs(1_800),
            max_rollbacks: 2,
            per: Duration::from_secs(86_400),
        };
        let hour = |h: i64| Moment::from_millis(h * 3_600_000);
        let run = |rollbacks: &[Moment], paused, now| {
            let ledger = Ledger { rollbacks: rollbacks.to_vec(), ..Ledger::default() };
            permit(&limits, &ledger, &Operator { paused, ..Operator::default() }, now)
        };
        assert_eq!(run(&[], false, hour(1)), Ok(()));
        assert_eq!(run(&[], true, hour(1)), Err(Reason::Paused));
        let frozen =
            |rollback, commit| Operator { freeze: Freeze { rollback, commit }, ..Operator::default() };
        let none = Ledger::default();
        assert_eq!(permit(&limits, &none, &frozen(true, false), hour(1)), Err(Reason::Freeze));
        assert_eq!(permit(&limits, &none, &frozen(false, true), hour(1)), Ok(()));
        assert_eq!(run(&[hour(1)], false, hour(1)), Err(Reason::Cooldown));
        assert_eq!(run(&[hour(1)], false, hour(2)), Ok(()));
        assert_eq!(run(&[hour(1), hour(3)], false, hour(20)), Err(Reason::Budget));
        assert_eq!(run(&[hour(1), hour(3)], false, hour(25)), Ok(()));
    }

    #[test]
    fn a_cooldown_and_a_period_end_to_the_millisecond() {
        let limits =
            Limits { cooldown: Duration::from_secs(60), max_rollbacks: 2, per: Duration::from_secs(3_600) };
        let ledger = Ledger {
            rollbacks: vec![Moment::from_millis(0), Moment::from_millis(100_000)],
            ..Ledger::default()
        };
        let run = |now| permit(&limits, &ledger, &Operator::default(), Moment::from_millis(now));
        assert_eq!(run(159_999), Err(Reason::Cooldown));
        assert_eq!(run(160_000), Err(Reason::Budget), "the cooldown is over");
        assert_eq!(run(3_599_999), Err(Reason::Budget));
        assert_eq!(run(3_600_000), Ok(()));
    }
}
