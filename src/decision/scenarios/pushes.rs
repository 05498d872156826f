//! Pushes are paused for a rollback where nothing else pins, and let go again, by us and once.

use super::calls::{APPLIED, LOST};
use super::named::SITE;
use super::picks::{BY_CODE, PICKS, accepting, changes, steady, with_bad_release};
use super::platform::Who;
use super::world::{Reply, World, minutes, secs};
use crate::decision::capability::{Capabilities, PinKind, Pushes};
use crate::decision::effect::{Guard, Reason, Rejection};
use crate::decision::observation::{Cause, Phase, ReadFault};
use crate::decision::policy::{Mode, OnHealthy};
use crate::decision::state::{Outcome, SoftPin};
use crate::ids::IncidentId;

/// Told of a pause that may be of a rollback's doing.
const PERHAPS_BY_US: &str = "pushes are paused: by somebody, or by what rearguard asked for";

/// Runs on until pushes are nothing of ours any more.
pub(super) fn run_until_let_go(world: &mut World) {
    world.run_until(|world| world.state.ledger.soft_pin.is_none());
}

#[test]
fn a_pause_whose_answer_was_lost_is_let_go_however_long_nobody_could_look_or_act() {
    type Trouble = fn(&mut World, bool);
    let troubles: [Trouble; 3] = [
        |world, is_on| world.operator.paused = is_on,
        |world, is_on| world.fault = is_on.then_some(ReadFault::Unreachable),
        |world, is_on| world.policy.mode = if is_on { Mode::Observe } else { Mode::Enforce },
    ];
    for (n, trouble) in troubles.into_iter().enumerate() {
        let mut world = with_bad_release(accepting(), PICKS);
        world.reply("pin", APPLIED);
        world.latency = secs(4);
        world.run_until(|world| world.count("pin") == 1);
        trouble(&mut world, true);
        world.bad.clear();
        world.run(minutes(75));
        assert_eq!(world.platform.pushes, Some(Pushes::Paused), "{n}: {}", world.transcript());
        trouble(&mut world, false);
        world.run(minutes(3));
        assert_eq!(world.platform.pushes, Some(Pushes::Deploy), "{n}: {}", world.transcript());
        // What a person pauses after that is theirs.
        world.run(minutes(70));
        let at = world.at;
        world.platform.set_pushes(Who::Person, Pushes::Paused, at);
        world.run(minutes(10));
        assert_eq!(world.platform.pushes, Some(Pushes::Paused), "{n}: {}", world.transcript());
    }
}

#[test]
fn a_pause_that_was_refused_is_not_told_to_be_there() {
    for (replies, said) in [
        (vec![], "pushes are not deployed meanwhile"),
        (vec![Reply::Refused { status: 403, applied: false }], "nothing keeps other deployments away"),
    ] {
        let mut world = with_bad_release(accepting(), PICKS);
        for reply in replies {
            world.reply("pin", reply);
        }
        world.run_to_stage("soaking");
        assert!(world.transcript().contains(said), "{}", world.transcript());
    }
}

#[test]
fn a_pause_whose_answer_is_lost_is_found_or_asked_for_again() {
    for (replies, asked) in [(vec![APPLIED], 1), (vec![LOST], 2), (vec![LOST, LOST], 3)] {
        let mut world = with_bad_release(accepting(), PICKS);
        for reply in replies {
            world.reply("pin", reply);
        }
        assert_eq!(world.run_to_close(), (Outcome::Committed, Reason::SoakHealthy), "{}", world.transcript());
        run_until_let_go(&mut world);
        assert_eq!(world.count("pin"), asked);
        assert_eq!(changes(&world), ["pause", "rollback", "let go"]);
    }
}

#[test]
fn a_pause_that_is_not_to_be_had_leaves_the_rollback() {
    for refusal in [Reply::Refused { status: 403, applied: false }, LOST] {
        let mut world = with_bad_release(accepting(), PICKS);
        for _ in 0..3 {
            world.reply("pin", refusal.clone());
        }
        assert_eq!(world.run_to_close(), (Outcome::Committed, Reason::SoakHealthy), "{}", world.transcript());
        assert_eq!((changes(&world), world.platform.pushes), (vec!["rollback"], Some(Pushes::Deploy)));
        assert!(world.transcript().contains("pushes could not be kept from being deployed"));
    }
}

#[test]
fn what_the_rollback_itself_paused_is_let_go_where_ours_may_have_and_told_where_not() {
    let busy = Reply::Not(Rejection::RateLimited, None);
    for (reply, asked, is_ours) in
        [(Reply::Refused { status: 403, applied: false }, 1, true), (busy, 3, false)]
    {
        let mut world = with_bad_release(accepting(), PICKS);
        (0..asked).for_each(|_| world.reply("pin", reply.clone()));
        world.run_until(|world| world.count("create_rollback") == 1);
        world.platform.pushes = Some(Pushes::Paused);
        assert_eq!(world.run_to_close(), (Outcome::Committed, Reason::SoakHealthy), "{}", world.transcript());
        world.run(minutes(5));
        let told = world.transcript();
        assert_eq!(told.contains(PERHAPS_BY_US), !is_ours);
        let left = if is_ours { Pushes::Deploy } else { Pushes::Paused };
        assert_eq!((world.count("pin"), world.platform.pushes), (asked, Some(left)), "{told}");
    }
}

#[test]
fn what_a_rollback_that_is_carried_out_late_pauses_itself_is_told() {
    for (is_let_go_by_others, after, is_told) in [
        (false, 3, true),
        (true, 3, true),
        (false, 50, true),
        (true, 50, true),
        (false, 70, false),
        (true, 70, false),
    ] {
        let mut world = with_bad_release(accepting(), PICKS);
        world.reply("create_rollback", LOST);
        world.run_until(|world| world.count("create_rollback") == 1);
        if is_let_go_by_others {
            // Noticed by the first read that can be from after the pause.
            world.run(secs(20));
            world.platform.set_pushes(Who::Person, Pushes::Deploy, world.at);
        }
        assert_eq!(world.run_to_close(), (Outcome::Held, Reason::RollbackFailed), "{}", world.transcript());
        world.run(minutes(after));
        assert_eq!(world.platform.pushes, Some(Pushes::Deploy), "{}", world.transcript());
        world.platform.pushes = Some(Pushes::Paused);
        world.run(minutes(5));
        assert_eq!(world.transcript().contains(PERHAPS_BY_US), is_told, "{}", world.transcript());
        assert_eq!(world.platform.pushes, Some(Pushes::Paused), "{}", world.transcript());
    }
}

#[test]
fn what_a_late_rollback_pauses_itself_is_told_where_pushes_were_let_go_before_its_incident_ended() {
    let mut world = with_bad_release(accepting(), PICKS);
    world.platform.says_code_late = true;
    world.reply("create_rollback", LOST);
    world.run_until(|world| world.count("create_rollback") == 1);
    // What may be ours is waited for.
    world.platform.make(Cause::Release, None, world.at);
    world.run(secs(20));
    world.platform.set_pushes(Who::Person, Pushes::Deploy, world.at);
    assert_eq!(world.run_to_close(), (Outcome::Held, Reason::RollbackFailed), "{}", world.transcript());
    world.platform.pushes = Some(Pushes::Paused);
    world.run(minutes(3));
    assert!(world.transcript().contains(PERHAPS_BY_US), "{}", world.transcript());
}

#[test]
fn a_person_s_pause_after_an_incident_is_left_alone_whatever_rollback_was_lost_before_it() {
    let mut world = with_bad_release(accepting(), SITE);
    world.reply("create_rollback", LOST);
    assert_eq!(world.run_to_close(), (Outcome::Committed, Reason::SoakHealthy), "{}", world.transcript());
    world.run(minutes(31));
    let pin = world.state.ledger.soft_pin.clone();
    assert!(pin.is_some_and(|pin| pin.rollback_at.is_some()), "{}", world.transcript());
    world.release_bad();
    world.run_until(|world| world.count("unpin") == 2);
    world.run(secs(30));
    world.platform.set_pushes(Who::Person, Pushes::Paused, world.at);
    world.run(minutes(10));
    assert_eq!(world.platform.pushes, Some(Pushes::Paused), "{}", world.transcript());
    assert_eq!(world.count("unpin"), 2, "{}", world.transcript());
}

#[test]
fn a_pause_that_comes_about_an_age_later_is_let_go_as_well() {
    let mut world = with_bad_release(accepting(), PICKS);
    for after in [minutes(40), minutes(40), minutes(40)] {
        world.reply("pin", Reply::Lost { applied_after: Some(after) });
    }
    assert_eq!(world.run_to_close(), (Outcome::Committed, Reason::SoakHealthy), "{}", world.transcript());
    world.run(minutes(60));
    assert_eq!(world.platform.pushes, Some(Pushes::Deploy), "{}", world.transcript());
    assert_eq!(changes(&world).last(), Some(&"let go"));
}

#[test]
fn what_could_not_be_let_go_yet_goes_on_for_the_next_incident_and_is_not_to_be_let_go_meanwhile() {
    let mut world = with_bad_release(accepting(), Capabilities { pin: PinKind::Soft, ..BY_CODE });
    world.reply("create_rollback", Reply::Not(Rejection::RateLimited, Some(secs(50))));
    world.run_until(|world| world.count("pin") == 1);
    world.operator.paused = true;
    assert_eq!(world.run_to_close(), (Outcome::Refused, Reason::Paused), "{}", world.transcript());
    world.operator.paused = false;
    (0..3).for_each(|_| world.reply("unpin", Reply::Not(Rejection::RateLimited, Some(secs(60)))));
    // It heals, and what comes next does not.
    world.bad.clear();
    world.run(secs(90));
    assert!(world.state.ledger.soft_pin.as_ref().is_some_and(|pin| pin.release.is_some()));
    world.release_bad();
    world.run_until(|world| world.count("create_rollback") == 2);
    let pin = world.state.ledger.soft_pin.as_ref().expect("it goes on");
    assert_eq!((world.count("pin"), &pin.release), (1, &None), "{}", world.transcript());
}

#[test]
fn a_pause_that_was_refused_and_is_there_all_the_same_protects_the_rollback_that_is_held() {
    let mut policy = accepting();
    policy.soak.on_healthy = OnHealthy::Hold;
    let mut world = with_bad_release(policy, PICKS);
    // It is seen after the rollback was made.
    world.lag = secs(10);
    world.reply("pin", Reply::Refused { status: 409, applied: true });
    assert_eq!(world.run_to_close(), (Outcome::Held, Reason::SoakHealthy), "{}", world.transcript());
    world.run(minutes(20));
    assert_eq!((changes(&world), world.platform.pushes), (vec!["pause", "rollback"], Some(Pushes::Paused)));
}

#[test]
fn every_end_of_an_incident_lets_pushes_go() {
    type Then = fn(&mut World);
    let ends: [(&str, Then, (Outcome, Reason)); 4] = [
        (
            "failed",
            |world| {
                let made = world.platform.rollback_under_way().expect("under way");
                let at = world.at;
                world.platform.finish(&made, Phase::Error, at);
            },
            (Outcome::Failed, Reason::RollbackFailed),
        ),
        ("superseded", |world| drop(world.release()), (Outcome::Superseded, Reason::Superseded)),
        (
            "held and then a new release",
            |world| {
                world.roll_out = Some(secs(4));
                world.outage = true;
                world.policy.soak.on_unhealthy = crate::decision::policy::OnUnhealthy::Hold;
            },
            (Outcome::Held, Reason::SoakUnhealthy),
        ),
        ("restart", World::restart, (Outcome::Committed, Reason::SoakHealthy)),
    ];
    for (what, then, end) in ends {
        let mut world = with_bad_release(accepting(), PICKS);
        world.roll_out = Some(secs(30));
        world.run_until(|world| world.platform.rollback_under_way().is_some());
        world.run(secs(8));
        then(&mut world);
        assert_eq!(world.run_to_close(), end, "{what}: {}", world.transcript());
        if end.0 == Outcome::Held {
            world.run(minutes(5));
            assert_eq!(world.platform.pushes, Some(Pushes::Paused), "{what}");
            world.outage = false;
            world.release();
        }
        run_until_let_go(&mut world);
        assert_eq!(world.platform.pushes, Some(Pushes::Deploy), "{what}: {}", world.transcript());
        assert_eq!(changes(&world), ["pause", "rollback", "let go"], "{what}");
    }
}

#[test]
fn a_hold_of_a_healthy_rollback_keeps_pushes_paused_until_a_person_has_acted() {
    let mut policy = accepting();
    policy.soak.on_healthy = OnHealthy::Hold;
    let mut world = with_bad_release(policy, PICKS);
    assert_eq!(world.run_to_close(), (Outcome::Held, Reason::SoakHealthy));
    world.run(minutes(30));
    world.restart();
    world.run(minutes(5));
    assert_eq!((world.state.word(), world.platform.pushes), ("held", Some(Pushes::Paused)));
    // Letting them go is an answer, as a commit is elsewhere.
    let at = world.at;
    world.platform.set_pushes(Who::Person, Pushes::Deploy, at);
    run_until_let_go(&mut world);
    assert_ne!(world.state.word(), "held", "{}", world.transcript());
    assert_eq!(changes(&world), ["pause", "rollback"]);
}

#[test]
fn nothing_is_let_go_while_paused_or_observed_and_all_of_it_afterwards() {
    for observed in [true, false] {
        let mut world = with_bad_release(accepting(), PICKS);
        world.run_to_stage("soaking");
        world.reply("unpin", Reply::Guarded(Guard::Paused));
        assert_eq!(world.run_to_close(), (Outcome::Committed, Reason::SoakHealthy));
        (world.operator.paused, world.policy.mode) =
            if observed { (false, Mode::Observe) } else { (true, Mode::Enforce) };
        world.run(minutes(10));
        assert_eq!(world.platform.pushes, Some(Pushes::Paused), "{}", world.transcript());
        (world.operator.paused, world.policy.mode) = (false, Mode::Enforce);
        run_until_let_go(&mut world);
        assert_eq!(changes(&world), ["pause", "rollback", "let go"]);
    }
}

#[test]
fn the_end_of_a_pause_is_asked_for_until_it_is_seen() {
    let replies = [
        LOST,
        Reply::Not(Rejection::Denied, None),
        Reply::Not(Rejection::NotConnected, None),
        Reply::Refused { status: 500, applied: false },
        APPLIED,
    ];
    let mut world = with_bad_release(accepting(), PICKS);
    for reply in replies {
        world.reply("unpin", reply);
    }
    world.run_to_close();
    run_until_let_go(&mut world);
    assert_eq!((world.count("unpin"), world.platform.pushes), (5, Some(Pushes::Deploy)));
    assert!(world.transcript().contains("unpin was applied after all"), "{}", world.transcript());
    // A process that dies with the request under way asks again.
    let mut world = with_bad_release(accepting(), PICKS);
    world.latency = secs(4);
    world.reply("unpin", LOST);
    world.run_until(|world| world.count("unpin") == 1);
    world.restart();
    run_until_let_go(&mut world);
    assert_eq!((world.count("unpin"), world.platform.pushes), (2, Some(Pushes::Deploy)));
}

#[test]
fn another_incident_takes_a_pause_over_that_was_not_let_go_yet() {
    let mut policy = accepting();
    policy.limits.cooldown = secs(0);
    let mut world = with_bad_release(policy, PICKS);
    world.run_to_stage("soaking");
    for _ in 0..600 {
        world.reply("unpin", Reply::Not(Rejection::Denied, None));
    }
    world.run_to_close();
    world.run(secs(30));
    world.release_bad();
    assert_eq!(world.run_to_close(), (Outcome::Committed, Reason::SoakHealthy), "{}", world.transcript());
    world.script.clear();
    run_until_let_go(&mut world);
    assert_eq!(changes(&world), ["pause", "rollback", "rollback", "let go"], "{}", world.transcript());
}

#[test]
fn what_is_still_looked_out_for_of_an_earlier_pause_does_not_end_a_later_one() {
    let mut world = steady(accepting(), PICKS);
    // Somebody let an earlier pause go, which is looked out for a little longer.
    let earlier = IncidentId::of(&"shop".into(), &"earlier".into());
    let pin = SoftPin { until: world.at + secs(90), ..SoftPin::of(earlier) };
    world.state.ledger.soft_pin = Some(SoftPin { over_at: world.at, seen_absent: true, ..pin });
    world.release_bad();
    world.run_to_stage("rolling_back");
    let pin = world.state.ledger.soft_pin.clone().expect("a pause");
    let mine = world.state.incident().expect("open").id.clone();
    assert_eq!((pin.incident, pin.is_there), (mine, true));
    assert_eq!(world.run_to_close(), (Outcome::Committed, Reason::SoakHealthy), "{}", world.transcript());
}

#[test]
fn what_a_hold_protects_is_known_without_a_read() {
    let mut policy = accepting();
    policy.soak.on_healthy = OnHealthy::Hold;
    let mut world = with_bad_release(policy, PICKS);
    world.run_to_stage("soaking");
    world.fault = Some(ReadFault::Unreachable);
    world.restart();
    assert_eq!(world.run_to_close(), (Outcome::Held, Reason::SoakHealthy), "{}", world.transcript());
    let held = world.state.situation.clone();
    world.fault = None;
    world.run(minutes(10));
    assert_eq!(world.state.situation, held, "{}", world.transcript());
    assert_eq!(world.platform.pushes, Some(Pushes::Paused), "{}", world.transcript());
}
