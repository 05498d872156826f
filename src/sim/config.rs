//! The configuration file of a course, which people change as it goes.

use std::fmt::Write as _;

use super::course::{COOLDOWN_MS, Course, MIN_SAMPLES, RECONCILE_MS, SOAK_MS};
use super::life::parsed;
use super::machine::{EPOCH_MS, lock};
use super::run::{Run, Shape};
use crate::config::Config;
use crate::lab::AppKind;

impl Run {
    /// What the configuration file says now.
    pub(super) fn config(&self) -> Config {
        let text = self.text();
        lock(&self.configs).entry(text).or_insert_with_key(|text| parsed(text)).clone()
    }

    /// In the file.
    fn text(&self) -> String {
        if let Some(setting) = &self.course.setting {
            return setting.text(self);
        }
        let Course {
            budget, rules, on_unhealthy, migrations, has_controls, pace: (watch, burst), poll, ..
        } = &self.course;
        let mut text = format!(
            "listen: 127.0.0.1:0\nstate: {}\nlimits: {{ concurrent_rollbacks: {} }}\nplatforms:\n  - {{ name: cloud, \
             {}, token_file: /the/token, poll: {poll}, timeout: 5s, reconcile: {RECONCILE_MS}ms }}\n",
            self.disk.file.display(),
            self.course.at_once(),
            match self.course.kind {
                AppKind::DigitalOcean => "kind: digitalocean, api: 'https://lab.test', bandwidth: 0s",
                AppKind::Sevalla { .. } => "kind: sevalla, api: 'https://lab.test/v3'",
            },
        );
        if *has_controls {
            text.push_str("control_probes:\n  - { url: 'https://lab.test/up', period: 5s, timeout: 2s }\n");
        }
        if let Some((from, to)) = self.course.frozen {
            let shown = |minute| clock_at(EPOCH_MS + 60_000 * minute);
            writeln!(text, "freeze: [{{ name: frozen, from: '{}', to: '{}' }}]", shown(from), shown(to))
                .expect("text");
        }
        let other = self.course.other_probe.map(|probe| format!(", {probe}")).unwrap_or_default();
        let restart = if self.course.restart_first { "restart_first: 10s\n    " } else { "" };
        text.push_str("apps:\n");
        for Shape { site, id, name, mode, .. } in self.shapes.iter().filter(|shape| shape.is_there) {
            writeln!(
                text,
                "  - name: {name}\n    platform: cloud\n    id: {id}\n    mode: {mode}\n    watch: 60s\n    \
                 accept_platform_choice: true\n    {restart}\
                 probes: [{{ name: home, url: 'https://lab.test/sites/{site}/healthz', period: 10s, watch_period: {watch}, \
                 burst: {burst}, timeout: 2s }}{other}]\n    rules: {rules}\n    rollback: {{ migrations: {migrations} }}\n    \
                 soak: {{ period: {SOAK_MS}ms, min_samples: {MIN_SAMPLES}, on_unhealthy: {on_unhealthy} }}\n    \
                 limits: {{ cooldown: {COOLDOWN_MS}ms, max_rollbacks: {budget}, per: 1h }}"
            )
            .expect("text");
        }
        text
    }
}

/// The time of day, in UTC.
fn clock_at(wall_ms: i64) -> String {
    jiff::Timestamp::from_millisecond(wall_ms).expect("a time of this century").strftime("%H:%M").to_string()
}
