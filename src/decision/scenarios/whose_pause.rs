//! Whose pause of pushes it is, and who ended it: what a person does stays theirs, and what was read before a pause says
//! nothing of its end.

use super::calls::LOST;
use super::picks::{PICKS, accepting, changes, with_bad_release};
use super::platform::Who;
use super::pushes::run_until_let_go;
use super::world::{Reply, World, minutes, secs};
use crate::decision::capability::Pushes;
use crate::decision::effect::{Guard, Reason, Rejection};
use crate::decision::observation::ReadFault;
use crate::decision::state::{Outcome, Stage};

#[test]
fn pushes_that_somebody_paused_before_are_left_as_they_are() {
    let mut world = with_bad_release(accepting(), PICKS);
    world.platform.pushes = Some(Pushes::Paused);
    assert_eq!(world.run_to_close(), (Outcome::Committed, Reason::SoakHealthy), "{}", world.transcript());
    world.run(minutes(10));
    assert_eq!((changes(&world), world.platform.pushes), (vec!["rollback"], Some(Pushes::Paused)));
    let said = world.transcript();
    assert!(said.contains("to d2; pushes are not deployed meanwhile"), "{said}");
}

#[test]
fn pushes_that_somebody_pauses_right_before_we_would_are_left_as_they_are() {
    for guard in [Guard::Changed, Guard::Interrupted] {
        let mut world = with_bad_release(accepting(), PICKS);
        world.latency = secs(4);
        world.reply("pin", Reply::Guarded(guard));
        world.run_until(|world| world.count("pin") == 1);
        // A read shows it before our own request would be sent, which is not sent then.
        let at = world.at;
        world.platform.set_pushes(Who::Person, Pushes::Paused, at);
        world.reply("pin", Reply::Guarded(Guard::Changed));
        world.read();
        assert_eq!(world.run_to_close(), (Outcome::Committed, Reason::SoakHealthy), "{}", world.transcript());
        world.run(minutes(10));
        assert_eq!((changes(&world), world.platform.pushes), (vec!["rollback"], Some(Pushes::Paused)));
    }
}

#[test]
fn pushes_that_somebody_lets_go_meanwhile_are_left_alone() {
    let mut world = with_bad_release(accepting(), PICKS);
    world.run_to_stage("soaking");
    world.run(secs(20));
    let at = world.at;
    world.platform.set_pushes(Who::Person, Pushes::Deploy, at);
    assert_eq!(world.run_to_close(), (Outcome::Superseded, Reason::Superseded), "{}", world.transcript());
    run_until_let_go(&mut world);
    // Whatever they do with them from now on is their affair.
    let at = world.at;
    world.platform.set_pushes(Who::Person, Pushes::Paused, at);
    world.run(minutes(90));
    assert_eq!((changes(&world), world.platform.pushes), (vec!["pause", "rollback"], Some(Pushes::Paused)));
}

#[test]
fn pushes_that_somebody_pauses_while_we_wait_to_do_so_are_left_as_they_are() {
    let mut world = with_bad_release(accepting(), PICKS);
    world.reply("pin", Reply::Not(Rejection::RateLimited, Some(secs(50))));
    world.run_until(|world| world.count("pin") == 1);
    world.run(secs(10));
    let at = world.at;
    world.platform.set_pushes(Who::Person, Pushes::Paused, at);
    assert_eq!(world.run_to_close(), (Outcome::Committed, Reason::SoakHealthy), "{}", world.transcript());
    world.run(minutes(10));
    assert_eq!((changes(&world), world.platform.pushes), (vec!["rollback"], Some(Pushes::Paused)));
    assert_eq!(world.count("pin"), 1, "{}", world.transcript());
}

#[test]
fn what_somebody_pauses_while_we_wait_to_do_so_is_looked_at_again_before_it_is_relied_on() {
    let mut world = with_bad_release(accepting(), PICKS);
    world.reply("pin", Reply::Not(Rejection::RateLimited, Some(secs(50))));
    world.run_until(|world| world.count("pin") == 1);
    let until = world.at + secs(50);
    world.platform.set_pushes(Who::Person, Pushes::Paused, until);
    world.run(secs(8));
    // They let pushes go again while nobody can look.
    world.fault = Some(ReadFault::Unreachable);
    world.platform.set_pushes(Who::Person, Pushes::Deploy, until);
    world.run_until(|world| world.at + secs(2) == until);
    (world.fault, world.polled_at) = (None, world.at);
    let mut dark = world.clone();
    assert_eq!(world.run_to_close(), (Outcome::Committed, Reason::SoakHealthy), "{}", world.transcript());
    assert_eq!(changes(&world)[..2], ["pause", "rollback"], "{}", world.transcript());
    // Not for ever, where nobody can look.
    dark.fault = Some(ReadFault::Denied);
    dark.run(minutes(1));
    assert_eq!(dark.waiting, Some(Reason::Denied), "{}", dark.transcript());
    let Some(Stage::Pinning { deadline, .. }) = dark.state.incident().map(|incident| incident.stage.clone())
    else {
        panic!("{}", dark.transcript())
    };
    dark.run_until(|dark| dark.count("create_rollback") == 1 || dark.stage() != "rolling_back");
    assert_eq!(dark.at, deadline, "{}", dark.transcript());
}

#[test]
fn a_read_from_before_our_pause_ends_no_hold() {
    let mut world = with_bad_release(accepting(), PICKS);
    world.platform.picks = Some(world.platform.deployments[0].id.clone());
    world.roll_out = Some(secs(4));
    assert_eq!(world.run_to_close(), (Outcome::Held, Reason::WrongTarget), "{}", world.transcript());
    world.run(secs(10));
    world.lag = secs(20);
    world.run(secs(4));
    assert_eq!(world.app.value().and_then(|view| view.pushes), Some(Pushes::Deploy));
    assert_eq!(world.state.word(), "held", "{}", world.transcript());
    world.lag = secs(0);
    world.run(minutes(5));
    assert_eq!((world.state.word(), world.platform.pushes), ("held", Some(Pushes::Paused)));
    // Once it is old enough a person's word is heard.
    let at = world.at;
    world.platform.set_pushes(Who::Person, Pushes::Deploy, at);
    world.run(secs(10));
    assert_ne!(world.state.word(), "held", "{}", world.transcript());
}

/// Pushes are paused, the rollback has to wait, and a person lets them go long enough after that to be told apart.
fn let_go_before_the_rollback() -> World {
    let mut world = with_bad_release(accepting(), PICKS);
    world.reply("create_rollback", Reply::Not(Rejection::RateLimited, Some(secs(120))));
    world.run_until(|world| world.count("pin") == 1);
    world.run(secs(100));
    let at = world.at;
    world.platform.set_pushes(Who::Person, Pushes::Deploy, at);
    world
}

#[test]
fn what_is_paused_once_more_is_there_since_then() {
    let mut world = let_go_before_the_rollback();
    world.reply("create_rollback", Reply::Not(Rejection::RateLimited, Some(secs(120))));
    world.run_until(|world| world.count("pin") == 2);
    world.run(secs(4));
    world.operator.paused = true;
    assert_eq!(world.run_to_close(), (Outcome::Refused, Reason::Paused), "{}", world.transcript());
    world.lag = secs(20);
    world.run(secs(10));
    world.fault = Some(ReadFault::Unreachable);
    world.run(minutes(20));
    (world.fault, world.lag, world.operator.paused) = (None, secs(0), false);
    world.run(secs(10));
    let last = (changes(&world).last().copied(), world.platform.pushes);
    assert_eq!(last, (Some("let go"), Some(Pushes::Deploy)), "{}", world.transcript());
}

#[test]
fn what_is_paused_once_more_and_refused_all_the_same_is_let_go_whatever_reads_from_before_it_say() {
    let mut world = let_go_before_the_rollback();
    world.reply("pin", Reply::Refused { status: 409, applied: true });
    world.reply("create_rollback", Reply::Guarded(Guard::Paused));
    world.run_until(|world| world.count("pin") == 2);
    world.lag = secs(20);
    world.run(secs(10));
    assert_eq!(world.ended(), (Outcome::Refused, Reason::Paused), "{}", world.transcript());
    world.lag = secs(0);
    world.run(minutes(1));
    assert_eq!(world.platform.pushes, Some(Pushes::Deploy), "{}", world.transcript());
}

#[test]
fn a_pause_of_a_person_after_ours_was_let_go_is_theirs_where_ours_could_not_be_asked_for_again() {
    let mut world = let_go_before_the_rollback();
    world.reply("pin", Reply::Not(Rejection::RateLimited, Some(secs(50))));
    world.run_until(|world| world.count("pin") == 2);
    world.run(secs(20));
    let at = world.at;
    world.platform.set_pushes(Who::Person, Pushes::Paused, at);
    assert_eq!(world.run_to_close(), (Outcome::Committed, Reason::SoakHealthy), "{}", world.transcript());
    world.run(minutes(10));
    assert_eq!(world.platform.pushes, Some(Pushes::Paused), "{}", world.transcript());
}

#[test]
fn a_pause_of_a_person_after_ours_was_let_go_is_theirs_although_we_are_about_to_ask_for_it_again() {
    let mut world = with_bad_release(accepting(), PICKS);
    world.reply("create_rollback", Reply::Not(Rejection::RateLimited, Some(secs(120))));
    world.run_until(|world| world.count("pin") == 1);
    for pushes in [Pushes::Deploy, Pushes::Paused] {
        world.run(secs(if pushes == Pushes::Deploy { 100 } else { 10 }));
        let at = world.at;
        world.platform.set_pushes(Who::Person, pushes, at);
    }
    assert_eq!(world.run_to_close(), (Outcome::Committed, Reason::SoakHealthy), "{}", world.transcript());
    world.run(minutes(10));
    assert_eq!((world.count("pin"), world.platform.pushes), (1, Some(Pushes::Paused)));
    let told = world.transcript().matches("somebody has let pushes be deployed again").count();
    assert_eq!(told, 1, "{}", world.transcript());
}

#[test]
fn reads_from_before_our_pause_end_no_incident() {
    let mut world = with_bad_release(accepting(), PICKS);
    world.run_until(|world| world.stage() == "rolling_back");
    world.run(secs(6));
    world.lag = secs(20);
    world.run(secs(10));
    world.lag = secs(0);
    assert_eq!(world.run_to_close(), (Outcome::Committed, Reason::SoakHealthy), "{}", world.transcript());
}

#[test]
fn a_read_from_before_our_pause_is_nobody_s_letting_go() {
    let mut world = with_bad_release(accepting(), PICKS);
    world.reply("create_rollback", Reply::Not(Rejection::RateLimited, Some(secs(50))));
    world.run_until(|world| world.count("pin") == 1);
    world.run(secs(4));
    assert_eq!(world.platform.pushes, Some(Pushes::Paused));
    world.operator.paused = true;
    assert_eq!(world.run_to_close(), (Outcome::Refused, Reason::Paused), "{}", world.transcript());
    // Reads lag all of a sudden, and then nobody can look for minutes.
    world.lag = secs(30);
    world.run(secs(10));
    world.fault = Some(ReadFault::Unreachable);
    world.run(minutes(5));
    (world.fault, world.lag, world.operator.paused) = (None, secs(0), false);
    world.run(secs(10));
    assert_eq!((changes(&world), world.platform.pushes), (vec!["pause", "let go"], Some(Pushes::Deploy)));
    assert!(!world.transcript().contains("somebody has let pushes"), "{}", world.transcript());
}

#[test]
fn what_a_person_pauses_hours_after_our_requests_were_lost_is_theirs_however_long_the_incident_takes() {
    let mut policy = accepting();
    policy.soak.period = minutes(180);
    let mut world = with_bad_release(policy, PICKS);
    for _ in 0..3 {
        world.reply("pin", LOST);
    }
    world.run_to_stage("soaking");
    world.run(minutes(125));
    let at = world.at;
    world.platform.set_pushes(Who::Person, Pushes::Paused, at);
    assert_eq!(world.run_to_close(), (Outcome::Committed, Reason::SoakHealthy), "{}", world.transcript());
    world.run(minutes(10));
    assert_eq!(world.platform.pushes, Some(Pushes::Paused), "{}", world.transcript());
    assert!(!world.transcript().contains("perhaps"), "{}", world.transcript());
}

#[test]
fn a_person_who_lets_pushes_go_while_our_own_end_of_it_waits_and_pauses_them_again_keeps_their_pause() {
    let after_a_while = Reply::Not(Rejection::RateLimited, Some(secs(60)));
    // The last of so many tries, after which the next one is a while away.
    let waits = [
        (after_a_while, 1),
        (Reply::Not(Rejection::Denied, None), 5),
        (Reply::Guarded(Guard::Paused), 5),
        (LOST, 5),
    ];
    for (reply, tries) in waits {
        let mut world = with_bad_release(accepting(), PICKS);
        for _ in 0..6 {
            world.reply("unpin", reply.clone());
        }
        assert_eq!(world.run_to_close(), (Outcome::Committed, Reason::SoakHealthy), "{}", world.transcript());
        world.run_until(|world| world.count("unpin") == tries);
        for pushes in [Pushes::Deploy, Pushes::Paused] {
            world.run(secs(6));
            let at = world.at;
            world.platform.set_pushes(Who::Person, pushes, at);
        }
        world.run(minutes(10));
        let said = world.transcript();
        assert_eq!(world.platform.pushes, Some(Pushes::Paused), "{reply:?}\n{said}");
        let told = said.matches("somebody has let pushes be deployed again").count();
        assert_eq!(told, usize::from(reply != LOST), "{reply:?}\n{said}");
    }
}
