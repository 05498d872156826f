//! What breaks: the platform's answers, the apps' sites, the network, the token, the configuration.

use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

use rearguard::lab::{Fault, GUARD_TOKEN, Kind, LabConfig, Operation, Target, When};

use crate::ground::{BUSY, Ground, Variant, busy, configuration, idle};

/// Lays faults of the platform and of sites.
pub(crate) async fn lay_for_ever(ground: Arc<Ground>, seed: u64) {
    let mut dice = fastrand::Rng::with_seed(99 + seed);
    while ground.nap(dice.u64(300..1_200)).await {
        if dice.u32(0..5) == 0 {
            on_a_site(&ground, &mut dice).await;
        } else {
            on_the_api(&ground, &mut dice).await;
        }
    }
    ground.lab.clear_faults();
}

async fn on_the_api(ground: &Ground, dice: &mut fastrand::Rng) {
    let on = Target::Call(match dice.u32(0..12) {
        0 => Operation::ValidateRollback,
        1..5 => Operation::CreateRollback,
        5..7 => Operation::CommitRollback,
        7 => Operation::RevertRollback,
        8 | 9 => Operation::GetApp,
        10 => Operation::ListDeployments,
        // Each of these slows the poll of all apps down, and with it everything else.
        _ => Operation::ListApps,
    });
    let kind = answer_kind(dice);
    ground.count(format!("fault: {}", word(&kind)));
    let id = ground.lab.fault(Fault::on(on, kind).when(When::First(dice.u64(1..3))));
    ground.nap(dice.u64(500..2_500)).await;
    ground.lab.remove_fault(id);
}

fn answer_kind(dice: &mut fastrand::Rng) -> Kind {
    let applied = dice.bool();
    match dice.u32(0..22) {
        0..4 => Kind::Status { code: dice.choice([500, 502, 503, 504, 408]).unwrap(), applied },
        4 => Kind::Status { code: dice.choice([400, 404, 409, 422]).unwrap(), applied: false },
        5 => Kind::Status { code: dice.choice([401, 403]).unwrap(), applied: false },
        6 | 7 => {
            // Without the header, rearguard waits for the platform's hour as long as five minutes.
            let retry_after = dice.choice(["0", "1", "2"]).unwrap();
            Kind::TooManyRequests { retry_after: Some(retry_after.to_owned()) }
        }
        8 => Kind::Html { code: dice.choice([200, 502]).unwrap() },
        9 | 10 => Kind::Hang { applied },
        11 | 12 => Kind::Reset { applied },
        13 => Kind::AppliedLate { after_ms: dice.choice([500, 1_500, 5_000]).unwrap() },
        14 => Kind::Delay { ms: dice.choice([300, 800, 3_000]).unwrap() },
        15 | 16 => Kind::Truncated,
        17 => Kind::Huge { bytes: 4 << 20 },
        18 => Kind::SlowLoris { every_ms: 20 },
        19 => dice.choice([Kind::Empty, Kind::NoContent, Kind::InvalidUtf8, Kind::WrongTypes]).unwrap(),
        20 => {
            dice.choice([Kind::UnknownFields, Kind::Reordered, Kind::Duplicated, Kind::WrongTotal]).unwrap()
        }
        _ => dice.choice([Kind::MissingIds, Kind::RedirectLoop]).unwrap(),
    }
}

async fn on_a_site(ground: &Ground, dice: &mut fastrand::Rng) {
    let app = if dice.bool() { busy(dice.usize(0..BUSY)) } else { idle(dice.usize(0..ground.apps - BUSY)) };
    let kind = match dice.u32(0..7) {
        0 => Kind::Status { code: 503, applied: false },
        1 => Kind::Hang { applied: false },
        2 => Kind::Reset { applied: false },
        3 => Kind::Truncated,
        4 => Kind::Huge { bytes: 8 << 20 },
        5 => Kind::SlowLoris { every_ms: 100 },
        _ => Kind::RedirectLoop,
    };
    ground.count(format!("fault: of a site, {}", word(&kind)));
    let from = ground.now_ms();
    let id = ground.lab.fault(Fault::on(Target::Site, kind).of_app(&app));
    ground.nap(dice.u64(500..4_000)).await;
    ground.lab.remove_fault(id);
    ground.trouble.lock().unwrap().entry(app).or_default().push((from, ground.now_ms()));
}

fn word(kind: &Kind) -> String {
    match serde_json::to_value(kind) {
        Ok(serde_json::Value::String(word)) => word,
        Ok(serde_json::Value::Object(object)) => object.keys().next().cloned().unwrap_or_default(),
        _ => String::new(),
    }
}

/// Cuts the network off, the platform, the sites and the controls alike.
pub(crate) async fn cut_off_for_ever(ground: Arc<Ground>) {
    let mut dice = fastrand::Rng::with_seed(7);
    while ground.nap(dice.u64(20_000..60_000)).await {
        let from = ground.now_ms();
        ground.lab.set_network(false);
        ground.nap(dice.u64(300..5_000)).await;
        ground.lab.set_network(true);
        ground.cuts.lock().unwrap().push((from, ground.now_ms()));
        ground.count("fault: network cut off");
    }
}

/// Revokes the token, and gives it back.
pub(crate) async fn revoke_for_ever(ground: Arc<Ground>) {
    let tokens = LabConfig::default().tokens;
    while ground.nap(170_000).await {
        ground.lab.set_tokens(tokens.iter().filter(|token| token.value != GUARD_TOKEN).cloned().collect());
        ground.nap(2_000).await;
        ground.lab.set_tokens(tokens.clone());
        ground.count("fault: token revoked");
    }
}

/// Changes the configuration and back, by turns with SIGHUP and by the file alone.
pub(crate) async fn reconfigure_for_ever(ground: Arc<Ground>, folder: PathBuf, port: u16, pid: u32) {
    let variants =
        [Variant::Second, Variant::First, Variant::Wrong, Variant::First, Variant::Stormy, Variant::First];
    let put = |variant: Variant| {
        let text = configuration(&ground.lab, &ground.lab_base, ground.apps, (&folder, port), variant);
        let draft = folder.join("draft");
        std::fs::write(&draft, text).unwrap();
        std::fs::rename(draft, folder.join("rearguard.yaml")).unwrap();
    };
    for (n, variant) in variants.into_iter().cycle().enumerate() {
        if !ground.nap(45_000).await {
            break;
        }
        put(variant);
        if n % 3 != 2 {
            let hangup = Command::new("kill").args(["-HUP", &pid.to_string()]).status();
            assert!(hangup.unwrap().success(), "the daemon is gone");
        }
        ground.count(format!("configuration: {variant:?}").to_lowercase());
        if variant == Variant::Stormy {
            ground.nap(12_000).await;
            put(Variant::First);
            // The breaker is closed by a person, and only once more apps than two may act again.
            ground.nap(8_000).await;
            if ground.post("/api/v1/resume").await {
                ground.count("operator: resume all");
            }
        }
    }
    put(Variant::First);
}
