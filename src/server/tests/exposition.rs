//! What is scraped can be read.

use std::collections::BTreeSet;

use super::fake::{Trouble, start};

/// Checks the text format 0.0.4 as a strict reader would; gives the names of the families.
fn check(text: &str) -> BTreeSet<String> {
    let mut helped = BTreeSet::new();
    let mut typed = BTreeSet::new();
    let mut series = BTreeSet::new();
    let mut current = String::new();
    assert!(text.ends_with('\n'));
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            current = rest.split(' ').next().unwrap().to_owned();
            assert!(helped.insert(current.clone()), "a second HELP: {line}");
            assert!(current.starts_with("rearguard_") || current.starts_with("process_"), "{line}");
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert_eq!(name, current, "TYPE belongs to the HELP above it");
            assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
            assert!(typed.insert(name.to_owned()), "a second TYPE: {line}");
        } else {
            let (labelled, value) = line.rsplit_once(' ').unwrap();
            let name = labelled.split('{').next().unwrap();
            let suffixes = ["_bucket", "_sum", "_count"];
            let base = suffixes.iter().find_map(|suffix| name.strip_suffix(suffix)).unwrap_or(name);
            assert!(name == current || base == current, "{line} stands under {current}");
            assert!(typed.contains(&current), "a sample before its TYPE: {line}");
            assert!(value.parse::<f64>().is_ok(), "{line}");
            assert!(series.insert(labelled.to_owned()), "a second series: {line}");
        }
    }
    typed
}

#[tokio::test]
async fn metrics_are_what_a_prometheus_can_read() {
    let server = start(Trouble::None).await;
    let answer = server.get("/metrics").await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.headers["content-type"], "text/plain; version=0.0.4; charset=utf-8");
    let families = check(&answer.body);
    for family in ["rearguard_build_info", "rearguard_platform_requests_total", "process_open_fds"] {
        assert!(families.contains(family), "{family} is missing");
    }
}

#[test]
#[should_panic(expected = "a second series")]
fn the_check_notices_a_series_that_stands_twice() {
    check(
        "# HELP rearguard_a A.\n# TYPE rearguard_a gauge\nrearguard_a{x=\"1\"} 1\nrearguard_a{x=\"1\"} 2\n",
    );
}
