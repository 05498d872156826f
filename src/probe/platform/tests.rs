use super::*;
use crate::config::Limits;

/// The platform's clock at the question.
const NOW: i64 = 1_795_262_400_000;
const GOOD: SampleResult = SampleResult::Good;
const BAD: SampleResult = SampleResult::Bad(Failure::Value);
const ABSENT: SampleResult = SampleResult::Unknown(BlindCause::Absent);
const BEFORE: SampleResult = SampleResult::Unknown(BlindCause::Before);

fn ask(figure: Figure, at_most: f64) -> PlatformAsk {
    PlatformAsk {
        figure,
        component: None,
        limits: Limits { at_least: None, at_most: Some(at_most) },
        absent: Absent::Unknown,
        max_age: Duration::from_secs(300),
    }
}

/// A series whose points are at so many seconds before now.
fn line(component: &str, label: &str, points: &[(i64, f64)]) -> Series {
    let points = points.iter().map(|(ago, value)| (NOW - ago * 1_000, *value)).collect();
    Series { component: component.to_owned(), label: label.to_owned(), points }
}

fn measured(series: Vec<Series>) -> Measured {
    Measured { at_ms: Some(NOW), series }
}

/// Live for so many seconds.
fn lived(seconds: u64) -> Lived {
    Lived { time: Duration::from_secs(seconds), settle: Duration::ZERO, past: Past::Excuses }
}

#[test]
fn the_newest_value_of_the_release_counts_and_the_worst_of_all_components() {
    let cpu = ask(Figure::CpuPercentage, 80.0);
    let judged = |series: &[Series]| judge(&cpu, &measured(series.to_vec()), lived(600));
    let web = |points: &[(i64, f64)]| line("web", "web-0", points);
    for (what, series, expected) in [
        ("within", vec![web(&[(90, 99.0), (30, 20.0)])], GOOD),
        ("at the limit", vec![web(&[(30, 80.0)])], GOOD),
        ("above", vec![web(&[(90, 20.0), (30, 80.5)])], BAD),
        ("one of two instances", vec![web(&[(30, 20.0)]), line("web", "web-1", &[(30, 99.0)])], BAD),
        ("one of two components", vec![web(&[(30, 20.0)]), line("job", "job-0", &[(30, 99.0)])], BAD),
        ("an instance that is gone", vec![web(&[(30, 20.0)]), line("web", "web-1", &[(400, 99.0)])], GOOD),
        ("stale", vec![web(&[(301, 99.0)])], ABSENT),
        ("not stale yet", vec![web(&[(300, 99.0)])], BAD),
        ("no point", vec![web(&[])], ABSENT),
        ("no series", vec![], ABSENT),
    ] {
        assert_eq!(judged(&series), expected, "{what}");
    }
    let undated = Measured { at_ms: None, series: vec![web(&[(30, 99.0)])] };
    assert_eq!(judge(&cpu, &undated, lived(600)), SampleResult::Unknown(BlindCause::Source));
    let of_job = PlatformAsk { component: Some("job".to_owned()), ..cpu };
    assert_eq!(judge(&of_job, &measured(vec![web(&[(30, 99.0)])]), lived(600)), ABSENT);
}

#[test]
fn what_was_measured_before_the_release_was_live_and_settled_is_not_its_own() {
    let cpu = ask(Figure::CpuPercentage, 80.0);
    let high = |ago| measured(vec![line("web", "web-0", &[(ago, 99.0)])]);
    for (what, ago, settle, expected) in [
        ("before it", 61, 0, ABSENT),
        ("in the doubt around it", 58, 0, ABSENT),
        ("right after it", 57, 0, BAD),
        ("before it settled", 30, 30, ABSENT),
        ("once it settled", 27, 30, BAD),
    ] {
        let lived = Lived { settle: Duration::from_secs(settle), ..lived(60) };
        assert_eq!(judge(&cpu, &high(ago), lived), expected, "{what}");
    }
}

#[test]
fn what_was_as_bad_before_the_release_says_nothing_of_it_unless_it_was_gone_back_from() {
    let cpu = ask(Figure::CpuPercentage, 80.0);
    let web = line("web", "web-0", &[(90, 95.0), (30, 99.0)]);
    let job = line("job", "job-0", &[(90, 10.0), (30, 99.0)]);
    let fine = line("job", "job-0", &[(90, 10.0), (30, 10.0)]);
    let long_ago = line("web", "web-0", &[(420, 95.0), (30, 99.0)]);
    assert_eq!(judge(&cpu, &measured(vec![web.clone()]), lived(60)), BEFORE);
    assert_eq!(judge(&cpu, &measured(vec![web.clone(), fine]), lived(60)), BEFORE);
    assert_eq!(judge(&cpu, &measured(vec![web.clone(), job]), lived(60)), BAD, "another one is worse now");
    assert_eq!(judge(&cpu, &measured(vec![long_ago]), lived(60)), BAD, "what was long before is forgotten");
    let back = Lived { past: Past::Ignored, ..lived(60) };
    assert_eq!(judge(&cpu, &measured(vec![web]), back), BAD);
    let restarts = ask(Figure::RestartCount, 2.0);
    let crashing = line("web", "web-0", &[(290, 1.0), (90, 9.0), (30, 10.0), (10, 14.0)]);
    assert_eq!(judge(&restarts, &measured(vec![crashing]), lived(60)), BEFORE);
    let exits = ask(Figure::ExitCodes, 1.0);
    let ends = line("web", "web", &[(200, 1.0), (100, 1.0), (40, 137.0), (10, 1.0)]);
    assert_eq!(judge(&exits, &measured(vec![ends]), lived(60)), BEFORE);
    let errors = ask(Figure::ServerErrors, 0.05);
    let codes =
        vec![line("", "200", &[(120, 50.0), (30, 50.0)]), line("", "503", &[(120, 50.0), (30, 50.0)])];
    assert_eq!(judge(&errors, &measured(codes), lived(60)), BEFORE);
}

#[test]
fn restarts_are_counted_from_the_release_on() {
    let restarts = ask(Figure::RestartCount, 2.0);
    let old = line("web", "web-old", &[(200, 7.0), (70, 7.0)]);
    for (what, series, expected) in [
        ("none", vec![line("web", "web-0", &[(90, 5.0), (50, 5.0), (10, 5.0)])], GOOD),
        ("as many as may be", vec![line("web", "web-0", &[(90, 5.0), (50, 5.0), (10, 7.0)])], GOOD),
        ("too many", vec![line("web", "web-0", &[(90, 5.0), (50, 5.0), (10, 8.0)])], BAD),
        ("those of before", vec![line("web", "web-0", &[(90, 1.0), (50, 9.0), (10, 9.0)])], GOOD),
        ("its name kept, its count not", vec![line("web", "web-0", &[(90, 5.0), (50, 0.0), (10, 3.0)])], BAD),
        ("an instance of its own", vec![old.clone(), line("web", "web-new", &[(10, 3.0)])], BAD),
        ("nobody measured before", vec![line("web", "web-new", &[(50, 3.0), (10, 5.0)])], GOOD),
        ("one that fell", vec![line("web", "web-0", &[(50, 9.0), (30, 0.0), (10, 9.0)])], ABSENT),
        ("to and fro", vec![line("web", "web-0", &[(50, 0.0), (40, 9.0), (30, 0.0), (20, 9.0)])], ABSENT),
        ("the old one alone", vec![old.clone()], ABSENT),
        (
            "one that fell beside one that is bad",
            vec![line("a", "a", &[(50, 9.0), (30, 0.0)]), line("b", "b", &[(50, 0.0), (30, 9.0)])],
            BAD,
        ),
    ] {
        assert_eq!(judge(&restarts, &measured(series), lived(60)), expected, "{what}");
    }
    // A fall that is older than a value may be is where the count begins.
    let long = |count| measured(vec![line("web", "web-0", &[(900, 4.0), (500, 0.0), (10, count)])]);
    assert_eq!(judge(&restarts, &long(2.0), lived(1_000)), GOOD);
    assert_eq!(judge(&restarts, &long(3.0), lived(1_000)), BAD);
}

#[test]
fn ends_that_nobody_minds_are_not_counted_and_none_is_good() {
    let exits = ask(Figure::ExitCodes, 1.0);
    let judged =
        |points: &[(i64, f64)]| judge(&exits, &measured(vec![line("web", "web", points)]), lived(600));
    assert_eq!(judged(&[]), GOOD);
    assert_eq!(judged(&[(500, 0.0), (400, 143.0), (300, 0.0), (10, 137.0)]), GOOD);
    assert_eq!(judged(&[(500, 1.0), (10, 137.0)]), BAD);
    assert_eq!(judge(&exits, &measured(vec![]), lived(600)), ABSENT, "no process is listed");
}

#[test]
fn the_share_of_errors_is_of_all_answers_of_the_time_and_none_without_an_answer() {
    let errors = ask(Figure::ServerErrors, 0.05);
    let judged = |series: Vec<Series>| judge(&errors, &measured(series), lived(600));
    let ok = line("", "200", &[(70, 80.0), (10, 10.0)]);
    assert_eq!(judged(vec![ok.clone(), line("", "500", &[(10, 4.0)]), line("", "503", &[(70, 1.0)])]), BAD);
    assert_eq!(judged(vec![ok.clone(), line("", "500", &[(10, 4.0)]), line("", "404", &[(10, 50.0)])]), GOOD);
    assert_eq!(judged(vec![ok, line("", "5", &[(10, 50.0)])]), GOOD, "no status");
    assert_eq!(judged(vec![line("", "200", &[])]), ABSENT);
}

#[test]
fn health_is_a_word_and_what_the_platform_does_not_know_is_unknown() {
    let limits = Limits { at_least: Some(1.0), at_most: None };
    let health = PlatformAsk { limits, ..ask(Figure::Health, 0.0) };
    let judged = |series: Vec<Series>| judge(&health, &measured(series), lived(600));
    let (web, job) = (line("web", "web", &[(0, 1.0)]), line("job", "job", &[(0, 0.0)]));
    assert_eq!(judged(vec![web.clone()]), GOOD);
    assert_eq!(judged(vec![web.clone(), job.clone()]), SampleResult::Bad(Failure::Unhealthy));
    assert_eq!(judged(vec![web.clone(), line("job", "job", &[])]), ABSENT);
    assert_eq!(judged(vec![job, line("web", "web", &[])]), SampleResult::Bad(Failure::Unhealthy));
    assert_eq!(judged(vec![]), ABSENT);
    let early = Lived { settle: Duration::from_secs(60), ..lived(30) };
    assert_eq!(judge(&health, &measured(vec![web]), early), ABSENT);
}

#[test]
fn no_value_means_what_the_operator_says_once_there_could_be_one() {
    for (absent, expected) in
        [(Absent::Unknown, ABSENT), (Absent::Good, GOOD), (Absent::Bad, SampleResult::Bad(Failure::Absent))]
    {
        let cpu = PlatformAsk { absent, ..ask(Figure::CpuPercentage, 80.0) };
        let judged = |lived| judge(&cpu, &measured(vec![]), lived);
        assert_eq!(judged(lived(304)), expected);
        assert_eq!(judged(lived(302)), ABSENT, "it is too early for that");
        assert_eq!(judged(Lived { settle: Duration::from_secs(60), ..lived(330) }), ABSENT);
    }
    // A count that fell is no verdict, whatever no value means.
    let fallen = measured(vec![line("web", "web-0", &[(50, 9.0), (30, 0.0)])]);
    let restarts = PlatformAsk { absent: Absent::Bad, ..ask(Figure::RestartCount, 2.0) };
    assert_eq!(judge(&restarts, &fallen, lived(600)), ABSENT);
}
