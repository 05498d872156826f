//! What is printed at the end.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::process::Command;
use std::time::Duration;

use tokio::time::Instant;

use crate::Asked;
use crate::gauges::{GAUGES, Sample};
use crate::ground::{BUSY, Ground};
use crate::guard::Daemon;
use crate::judge::{self, Broken, Found};
use crate::trend::{Stands, Trend, Verdict};
use crate::visitors::{Scrape, sums};

/// A change of this share of the mean in an hour is as good as none.
const MARGIN: f64 = 0.05;
/// Samples are averaged over this time before a line is drawn through them.
const BLOCK: Duration = Duration::from_secs(60);
/// The least sample is looked for in this time: half of a round of configurations, whose changes are what memory
/// rises by.
const LONG_BLOCK: Duration = Duration::from_secs(145);

/// A run that measures for so long has to tell of each figure whether it grows, and that it does not by more than this share of
/// the mean in an hour: that no slope is seen says nothing where any could hide.
const LONG: Duration = Duration::from_secs(45 * 60);
const MOST: f64 = 0.2;

/// What is promised of a figure.
#[derive(Clone, Copy, PartialEq)]
enum Bounded {
    /// That it stays where it is.
    Flat,
    /// That it never exceeds this. The write-ahead log stays as large as it ever was: it is written over, not cut
    /// off, up to the limit that the journal sets.
    Below(f64),
    /// Nothing: how much time something takes is up to the machine as well.
    Shown,
}

/// The table.
pub(crate) fn figures(
    asked: &Asked,
    began: Instant,
    samples: &[Sample],
    scrapes: &[Scrape],
    broken: &mut Broken,
) {
    let minutes = |span: Duration| (span.as_secs_f64() / 6.0).round() / 10.0;
    println!(
        "\n{} apps, {BUSY} of them busy; {} min, the first {} of them warm-up",
        asked.apps,
        minutes(asked.length),
        minutes(asked.warm_up)
    );
    let hours = |at: Instant| at.duration_since(began).as_secs_f64() / 3_600.0;
    let warm = asked.warm_up.as_secs_f64() / 3_600.0;
    println!(
        "{:<26} {:>9} {:>9} {:>9} {:>9} {:>22} {:>18}",
        "", "1st quart.", "last", "mean", "most", "slope an hour, 95 %", "in % of the mean"
    );
    let is_long = asked.length.saturating_sub(asked.warm_up) >= LONG;
    let mut row = |name: &str, stands: Stands, points: Vec<(f64, f64)>, bounded: Bounded| {
        let points: Vec<_> = points.into_iter().filter(|(at, _)| *at >= warm).collect();
        let block = if stands == Stands::Least { LONG_BLOCK } else { BLOCK };
        let Some(trend) = Trend::of(&points, block.as_secs_f64() / 3_600.0, stands) else {
            println!("{name:<26} too short for a slope");
            if is_long {
                broken.0.push(format!("[I30] nothing is known of {}", name.trim()));
            }
            return;
        };
        let verdict = trend.verdict(MARGIN);
        let share = |value: f64| if trend.mean == 0.0 { 0.0 } else { 100.0 * value / trend.mean };
        println!(
            "{name:<26} {:>9.2} {:>9.2} {:>9.2} {:>9.2} {:>12.3} ± {:<7.3} {:>8.2} ± {:<6.2}  {} ({} blocks)",
            trend.first,
            trend.last,
            trend.mean,
            trend.most,
            trend.slope,
            trend.doubt,
            share(trend.slope),
            share(trend.doubt),
            verdict.word(),
            trend.blocks
        );
        match bounded {
            Bounded::Flat if verdict == Verdict::Grows => {
                broken.0.push(format!("[I30] {} grows", name.trim()))
            }
            Bounded::Flat if is_long && trend.slope + trend.doubt > MOST * trend.mean => {
                broken.0.push(format!(
                    "[I30] {} may grow by {:.0} % of its mean an hour for all that can be told",
                    name.trim(),
                    share(trend.slope + trend.doubt)
                ))
            }
            Bounded::Below(limit) if trend.most > limit => {
                broken.0.push(format!("[I30] {} exceeds {limit}", name.trim()));
            }
            _ => {}
        }
    };
    for (name, read) in GAUGES {
        let bounded = match name.trim() {
            "CPU, cores" => Bounded::Shown,
            "its write-ahead log, MB" => Bounded::Below(17.0),
            _ => Bounded::Flat,
        };
        row(
            name,
            Stands::Mean,
            samples.iter().map(|sample| (hours(sample.at), read(sample))).collect(),
            bounded,
        );
    }
    for (least, gauge) in [("least memory in 145 s, MB", 1), ("least descriptors in 145 s", 2)] {
        let read = GAUGES[gauge].1;
        let points = samples.iter().map(|sample| (hours(sample.at), read(sample))).collect();
        row(least, Stands::Least, points, Bounded::Flat);
    }
    let of =
        |read: fn(&Scrape) -> f64| scrapes.iter().map(|scrape| (hours(scrape.at), read(scrape))).collect();
    row("series in a scrape", Stands::Mean, of(|scrape| scrape.series), Bounded::Flat);
    row("bytes of a scrape, MB", Stands::Mean, of(|scrape| scrape.bytes / 1e6), Bounded::Flat);
    row("time of a scrape, ms", Stands::Mean, of(|scrape| scrape.millis), Bounded::Shown);
    println!(
        "flat: the slope's interval lies within ±{:.0} % of the mean an hour. no slope seen: it has zero in it and is wider; \
         after {} min of measuring its upper end has to be below {:.0} %",
        MARGIN * 100.0,
        LONG.as_secs() / 60,
        MOST * 100.0
    );
}

/// The same before the first release and after the last one.
pub(crate) fn at_rest(before: &Sample, after: &Sample) {
    println!("\nat rest:                    before     after");
    for (name, read) in GAUGES {
        println!("{name:<26} {:>8.2}  {:>8.2}", read(before), read(after));
    }
}

/// Which series came and went since the warm-up.
pub(crate) fn cardinality(known: &BTreeSet<String>, now: &BTreeSet<String>) {
    let new: Vec<_> = now.difference(known).collect();
    let gone = known.difference(now).count();
    println!("\nseries since the warm-up: {} new, {gone} gone", new.len());
    new.iter().take(8).for_each(|series| println!("    new: {series}"));
}

/// What the lab's ledger has.
pub(crate) fn ledger(found: &Found, pins: usize) {
    let Found { rollbacks, commits, reverts, late_pairs, slow, crossed, alike } = found;
    println!(
        "\nthe guard's writes in the lab's ledger: {rollbacks} rollbacks, {commits} commits, {reverts} reverts"
    );
    println!("pins left: {pins}");
    println!("second rollbacks of a release, the first carried out after its time: {late_pairs}");
    println!(
        "healthy releases rolled back from: {slow} that were measured to be slow, {crossed} that went live meanwhile"
    );
    println!("rollbacks of a person's that were taken for ours, the network being cut off: {}", alike.len());
    alike.iter().take(2).for_each(|story| println!("    {story}"));
}

/// What was done, and what came of it.
pub(crate) fn tallies(ground: &Ground, text: &str) {
    let list = |name: &str, sums: Vec<(String, f64)>| {
        let line: Vec<String> =
            sums.into_iter().filter(|(_, n)| *n > 0.0).map(|(word, n)| format!("{word} {n:.0}")).collect();
        println!("{name}: {}", line.join(", "));
    };
    list("incidents closed", sums(text, "rearguard_incidents_total", "outcome"));
    list("their rollbacks", sums(text, "rearguard_rollbacks_total", "outcome"));
    list("decisions by reason", sums(text, "rearguard_decisions_total", "reason"));
    list("calls of the platform", sums(text, "rearguard_platform_requests_total", "code"));
    list("samples", sums(text, "rearguard_probes_total", "result"));
    let tally = ground.tally.lock().unwrap();
    for kind in ["release", "fault", "person", "operator", "configuration", "visitor"] {
        let of = |(what, n): (&String, &u64)| {
            Some((what.strip_prefix(kind)?.strip_prefix(": ")?.to_owned(), *n as f64))
        };
        let sums: Vec<(String, f64)> = tally.iter().filter_map(of).collect();
        let all: f64 = sums.iter().map(|(_, n)| n).sum();
        list(&format!("{kind}, {all:.0} in all"), sums);
    }
}

/// Ends the daemon and looks at what it leaves.
pub(crate) fn end(mut daemon: Daemon, text: &str, broken: &mut Broken) {
    let pid = daemon.process.0.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    let ended = daemon.process.0.wait().unwrap();
    if ended.code() != Some(0) {
        broken.0.push(format!("the daemon ended with {ended}"));
    }
    judge::secrets(daemon.folder.path(), text, broken);
    println!();
    for (what, count) in judge::journal(daemon.folder.path(), broken) {
        println!("{what:<36} {count:>9}");
    }
    let log = std::fs::read_to_string(daemon.folder.path().join("log")).unwrap();
    let mut kinds: BTreeMap<String, usize> = BTreeMap::new();
    for line in log.lines() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap_or_default();
        // Up to the first number or place, so that lines of a kind fall together.
        let words = line["message"].as_str().unwrap_or("?").split(|c: char| c.is_ascii_digit() || c == '/');
        let kind =
            format!("{} {}", line["level"].as_str().unwrap_or("?"), words.into_iter().next().unwrap_or("?"));
        *kinds.entry(kind.trim_end().chars().take(100).collect()).or_default() += 1;
    }
    println!("log, {} lines:", log.lines().count());
    for (kind, count) in kinds {
        println!("{count:>9}  {kind}");
    }
}

/// The samples, for whoever wants to look at them otherwise.
pub(crate) fn write_csv(asked: &Asked, began: Instant, samples: &[Sample]) {
    let Some(file) = &asked.csv else { return };
    let mut text = format!("seconds,{}\n", GAUGES.map(|(name, _)| name.trim().replace(',', "")).join(","));
    for sample in samples {
        let values = GAUGES.map(|(_, read)| read(sample).to_string()).join(",");
        writeln!(text, "{},{values}", sample.at.duration_since(began).as_secs_f64()).unwrap();
    }
    std::fs::write(file, text).unwrap();
}
