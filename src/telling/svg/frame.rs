//! The plot of the picture: where everything is, and the shapes in it.

use std::fmt::Write as _;

use jiff::Timestamp;

use super::super::signal::{Marked, Point, Signal};
use super::super::{Unit, spark};
use super::labels::{self, Label};
use super::{WIDTH, axis, escape};
use crate::decision::rule::Verdict;

pub(super) const LEFT: f64 = 76.0;
const RIGHT: f64 = WIDTH - 28.0;
/// Where the labels of what happened begin.
const HEAD: f64 = 84.0;
/// One row of them.
const ROW: f64 = 19.0;
const PLOT: f64 = 230.0;
/// Above the highest value.
const AIR: f64 = 1.15;
/// With more points than this the good ones are a line alone.
const MANY: usize = 160;

/// Where everything is.
pub(super) struct Frame {
    from: Timestamp,
    seconds: f64,
    peak: f64,
    /// Higher values are drawn here.
    cut: Option<f64>,
    top: f64,
    pub(super) bottom: f64,
    labels: Vec<Label>,
}

impl Frame {
    pub(super) fn of(signal: &Signal) -> Option<Self> {
        let (from, to) = signal.span()?;
        let seconds = to.duration_since(from).as_secs_f64().max(1.0);
        let peak = spark::shown_peak(signal);
        let peak = if peak > 0.0 { peak * AIR } else { 1.0 };
        let cut = spark::cut_at(signal);
        let mut frame = Self { from, seconds, peak, cut, top: HEAD, bottom: HEAD + PLOT, labels: Vec::new() };
        frame.labels = labels::place(&signal.marks, |at| frame.x(at), RIGHT);
        let rows = frame.labels.iter().map(|label| label.row + 1).max().unwrap_or(0);
        frame.top += rows as f64 * ROW;
        frame.bottom = frame.top + PLOT;
        Some(frame)
    }

    fn x(&self, at: Timestamp) -> f64 {
        LEFT + at.duration_since(self.from).as_secs_f64() / self.seconds * (RIGHT - LEFT)
    }

    fn y(&self, value: f64) -> f64 {
        let value = self.cut.map_or(value, |cut| value.min(cut));
        self.bottom - (value / self.peak).clamp(0.0, 1.0) * PLOT
    }

    /// Who was live, and what is not known.
    pub(super) fn bands(&self, svg: &mut String, signal: &Signal) {
        let at = |what| signal.marks.iter().find(|mark| mark.what == what).map(|mark| self.x(mark.at));
        let again = at(Marked::LiveAgain);
        let mut band = |class: &str, from: f64, to: f64| {
            let (top, width) = (self.top, (to - from).max(0.0));
            let _ = write!(
                svg,
                "<rect class=\"{class}\" x=\"{from:.1}\" y=\"{top}\" width=\"{width:.1}\" height=\"{PLOT}\"/>"
            );
        };
        if let Some(live) = at(Marked::Live) {
            band("worse", live, again.unwrap_or(RIGHT));
        }
        if let Some(again) = again {
            band("better", again, RIGHT);
        }
        for (from, to) in self.gaps(signal) {
            band("none", from, to);
        }
    }

    /// Where samples are missing, in the picture.
    pub(super) fn gaps(&self, signal: &Signal) -> Vec<(f64, f64)> {
        let usual = signal.usual_step();
        let pairs = signal.points.windows(2).filter_map(|two| match two {
            [a, b] if a.until(b) > usual => Some((self.x(a.at), self.x(b.at))),
            _ => None,
        });
        pairs.collect()
    }

    pub(super) fn grid(&self, svg: &mut String, signal: &Signal) {
        for value in axis::values(self.peak, signal.unit) {
            let (y, text) = (self.y(value), escape(&signal.unit.show(value)));
            let _ = write!(
                svg,
                "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{RIGHT}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>"
            );
            let (x, y) = (LEFT - 10.0, y + 4.0);
            let _ = write!(svg, "<text class=\"c\" text-anchor=\"end\" x=\"{x}\" y=\"{y:.1}\">{text}</text>");
        }
        let (bottom, tick, text) = (self.bottom, self.bottom + 5.0, self.bottom + 20.0);
        let _ = write!(
            svg,
            "<line class=\"axis\" x1=\"{LEFT}\" x2=\"{RIGHT}\" y1=\"{bottom}\" y2=\"{bottom}\"/>"
        );
        for (at, label) in axis::times(self.from, self.seconds) {
            let x = self.x(at);
            let _ = write!(
                svg,
                "<line class=\"axis\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{bottom}\" y2=\"{tick}\"/>"
            );
            let _ = write!(
                svg,
                "<text class=\"c\" text-anchor=\"middle\" x=\"{x:.1}\" y=\"{text}\">{label}</text>"
            );
        }
        let (day, y) = (self.from.strftime("%Y-%m-%d, UTC"), self.bottom + 38.0);
        let _ = write!(svg, "<text class=\"c\" text-anchor=\"end\" x=\"{RIGHT}\" y=\"{y}\">{day}</text>");
        if let Some(cut) = self.cut {
            let cut = escape(&signal.unit.show(cut));
            let _ =
                write!(svg, "<text class=\"c\" x=\"{LEFT}\" y=\"{y}\">above {cut}: drawn at {cut}</text>");
        }
    }

    pub(super) fn limit(&self, svg: &mut String, signal: &Signal) {
        let y = self.y(signal.threshold);
        let _ =
            write!(svg, "<line class=\"limit\" x1=\"{LEFT}\" x2=\"{RIGHT}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>");
        let noun = if signal.unit == Unit::Failures { " in a row" } else { "" };
        let text = format!("limit {}{noun}", signal.unit.show(signal.threshold));
        let wide = labels::width(&text) + 12.0;
        // Where fewer points are in its way.
        let crowd = |from: f64, to: f64| {
            let near = |point: &&Point| {
                let (x, y_of) = (self.x(point.at), point.value.map_or(0.0, |value| self.y(value)));
                (from..=to).contains(&x) && (y - 24.0..=y + 3.0).contains(&y_of)
            };
            signal.points.iter().filter(near).count()
        };
        let is_left = crowd(LEFT, LEFT + wide) <= crowd(RIGHT - wide, RIGHT);
        let (anchor, x) = if is_left { ("start", LEFT + 6.0) } else { ("end", RIGHT - 6.0) };
        let (y, text) = (y - 6.0, escape(&text));
        let _ = write!(
            svg,
            "<text class=\"t halo\" text-anchor=\"{anchor}\" x=\"{x}\" y=\"{y:.1}\">{text}</text>"
        );
    }

    pub(super) fn line(&self, svg: &mut String, signal: &Signal) {
        let usual = signal.usual_step();
        let mut path = String::new();
        let mut last: Option<&Point> = None;
        for point in &signal.points {
            let Some(value) = point.value else { continue };
            let is_joined = last.is_some_and(|last| last.until(point) <= usual);
            let letter = if is_joined { 'L' } else { 'M' };
            let _ = write!(path, "{letter}{:.1} {:.1}", self.x(point.at), self.y(value));
            last = Some(point);
        }
        let _ = write!(svg, "<path class=\"line\" d=\"{path}\"/>");
        let are_many = signal.points.len() > MANY;
        for point in &signal.points {
            self.dot(svg, point, are_many);
        }
    }

    fn dot(&self, svg: &mut String, point: &Point, are_many: bool) {
        let x = self.x(point.at);
        let y = point.value.map_or(self.bottom, |value| self.y(value));
        let dot = |class: &str, radius: f64| {
            format!("<circle class=\"{class}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{radius}\"/>")
        };
        match point.verdict {
            Verdict::Good if are_many || point.value.is_none() => {}
            Verdict::Good => svg.push_str(&dot("good", 2.5)),
            Verdict::Bad => svg.push_str(&dot("bad", if are_many { 2.0 } else { 3.5 })),
            Verdict::Unknown => {
                let (top, bottom) = (self.bottom - 9.0, self.bottom);
                let _ = write!(
                    svg,
                    "<line class=\"unknown\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{top}\" y2=\"{bottom}\"/>"
                );
            }
        }
    }

    pub(super) fn marks(&self, svg: &mut String) {
        for label in &self.labels {
            let (x, y) = (label.x, HEAD + label.row as f64 * ROW);
            let _ = write!(
                svg,
                "<line class=\"mark\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{:.0}\" y2=\"{}\"/>",
                y - 11.0,
                self.bottom
            );
            let (anchor, x) = if label.leans_left { ("end", x - 5.0) } else { ("start", x + 5.0) };
            let text = &label.text;
            let _ = write!(
                svg,
                "<text class=\"l halo\" text-anchor=\"{anchor}\" x=\"{x:.1}\" y=\"{y:.0}\">{text}</text>"
            );
        }
    }
}
