//! A picture of the signal against its threshold: one SVG that stands alone, light or dark as the reader has it.
//!
//! No script, no reference to anything outside, nothing but shapes, text and one style sheet; every text from elsewhere is
//! escaped. The colours are never alone in saying something: bad samples are filled, good ones are rings.

mod axis;
mod labels;

use std::fmt::Write as _;

use jiff::Timestamp;

use super::page::clean;
use super::signal::{Marked, Point, Signal};
use super::{Account, Unit, spark};
use crate::decision::rule::Verdict;
use labels::Label;

const WIDTH: f64 = 960.0;
const LEFT: f64 = 76.0;
const RIGHT: f64 = WIDTH - 28.0;
/// Where the labels of what happened begin.
const HEAD: f64 = 84.0;
/// One row of them.
const ROW: f64 = 19.0;
const PLOT: f64 = 230.0;
/// Axis, its caption and the legend.
const FOOT: f64 = 76.0;
/// Above the highest value.
const AIR: f64 = 1.15;
/// With more points than this the good ones are a line alone.
const MANY: usize = 160;

const STYLE: &str = "\
text{font:13px system-ui,-apple-system,'Segoe UI',Roboto,'DejaVu Sans',sans-serif;fill:#3b4252}\
.h{font-size:19px;font-weight:600;fill:#1b2130}.l{fill:#1b2130}.c{font-size:12px;fill:#667085}\
.halo{paint-order:stroke;stroke:#fff;stroke-width:4px;stroke-linejoin:round}\
.bg{fill:#fff}.grid{stroke:#e4e7ec}.axis{stroke:#98a2b3}.mark{stroke:#667085}\
.line{fill:none;stroke:#2f6fde;stroke-width:2;stroke-linejoin:round}\
.good{fill:#fff;stroke:#2f6fde;stroke-width:1.5}.bad{fill:#c8324a;stroke:#c8324a}\
.unknown{stroke:#98a2b3;stroke-width:2}.limit{stroke:#b54708;stroke-width:1.5;stroke-dasharray:7 5}\
.t{fill:#b54708;font-weight:600}.worse{fill:#c8324a;fill-opacity:.09}.better{fill:#12805c;fill-opacity:.10}\
.none{fill:#98a2b3;fill-opacity:.16}\
@media(prefers-color-scheme:dark){text{fill:#c3cad6}.h,.l{fill:#f2f4f8}.c{fill:#98a2b3}\
.halo{stroke:#12161f}.bg{fill:#12161f}.grid{stroke:#262c38}.axis,.mark{stroke:#7a8496}.line{stroke:#7aa7ff}\
.good{fill:#12161f;stroke:#7aa7ff}.bad{fill:#ff7b8f;stroke:#ff7b8f}.unknown{stroke:#7a8496}\
.limit{stroke:#f5a15b}.t{fill:#f5a15b}.worse{fill:#ff7b8f;fill-opacity:.13}.better{fill:#4fd0a0;fill-opacity:.12}}";

/// The picture; none where there is no signal.
pub(crate) fn svg(account: &Account) -> Option<String> {
    let signal = account.signal()?;
    let frame = Frame::of(signal)?;
    let height = frame.bottom + FOOT;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" \
         height=\"{height}\" role=\"img\" aria-labelledby=\"title desc\">"
    );
    let title = format!("{}: {}", account.record.app, signal.measure);
    let _ = write!(svg, "<title id=\"title\">{}</title>", escape(&title));
    let desc = format!("{} {}.", account.headline, spark::caption(signal));
    let _ = write!(svg, "<desc id=\"desc\">{}</desc><style>{STYLE}</style>", escape(&desc));
    let _ = write!(svg, "<rect class=\"bg\" width=\"{WIDTH}\" height=\"{height}\" rx=\"8\"/>");
    heading(&mut svg, account, signal, &title);
    frame.bands(&mut svg, signal);
    frame.grid(&mut svg, signal);
    frame.marks(&mut svg);
    frame.line(&mut svg, signal);
    frame.limit(&mut svg, signal);
    legend(&mut svg, &frame, signal);
    svg.push_str("</svg>\n");
    Some(svg)
}

fn heading(svg: &mut String, account: &Account, signal: &Signal, title: &str) {
    let limit = signal.unit.show(signal.threshold);
    let about = format!(
        "incident {}, rule {} on probe {}, limit {limit}, highest {}: {}",
        account.record.id,
        signal.rule,
        signal.probe,
        signal.unit.show(spark::peak(signal)),
        account.word
    );
    let (title, about) = (escape(&short(title, 84)), escape(&short(&about, 130)));
    let _ = write!(svg, "<text class=\"h\" x=\"24\" y=\"36\">{title}</text>");
    let _ = write!(svg, "<text class=\"c\" x=\"24\" y=\"58\">{about}</text>");
}

fn legend(svg: &mut String, frame: &Frame, signal: &Signal) {
    let y = frame.bottom + 60.0;
    let has = |verdict| signal.points.iter().any(|point| point.verdict == verdict);
    let marked = |what| signal.marks.iter().any(|mark| mark.what == what);
    let mut x = LEFT;
    let mut item = |shape: String, text: &str| {
        let _ = write!(svg, "{shape}<text class=\"c\" x=\"{:.0}\" y=\"{y}\">{text}</text>", x + 18.0);
        x += 18.0 + labels::width(text) + 22.0;
        x
    };
    let mut at = LEFT;
    let middle = y - 4.0;
    if has(Verdict::Good) {
        at = item(
            format!("<circle class=\"good\" cx=\"{:.0}\" cy=\"{middle}\" r=\"3\"/>", at + 6.0),
            "good sample",
        );
    }
    if has(Verdict::Bad) {
        let text = if signal.unit == Unit::Seconds { "failed or too slow" } else { "failed sample" };
        at = item(format!("<circle class=\"bad\" cx=\"{:.0}\" cy=\"{middle}\" r=\"3.5\"/>", at + 6.0), text);
    }
    if has(Verdict::Unknown) {
        let (x, top) = (at + 6.0, middle - 5.0);
        let tick = format!("<line class=\"unknown\" x1=\"{x:.0}\" x2=\"{x:.0}\" y1=\"{top}\" y2=\"{y}\"/>");
        at = item(tick, "nobody can tell");
    }
    let patch = |at: f64, class: &str| {
        format!(
            "<rect class=\"{class}\" x=\"{at:.0}\" y=\"{:.0}\" width=\"13\" height=\"11\"/>",
            middle - 5.0
        )
    };
    if marked(Marked::Live) {
        at = item(patch(at, "worse"), "accused release live");
    }
    if marked(Marked::LiveAgain) {
        at = item(patch(at, "better"), "rolled back");
    }
    if !frame.gaps(signal).is_empty() {
        item(patch(at, "none"), "samples not recorded");
    }
}

/// Where everything is.
struct Frame {
    from: Timestamp,
    seconds: f64,
    peak: f64,
    top: f64,
    bottom: f64,
    labels: Vec<Label>,
}

impl Frame {
    fn of(signal: &Signal) -> Option<Self> {
        let (from, to) = signal.span()?;
        let seconds = to.duration_since(from).as_secs_f64().max(1.0);
        let peak = spark::shown_peak(signal);
        let peak = if peak > 0.0 { peak * AIR } else { 1.0 };
        let mut frame = Self { from, seconds, peak, top: HEAD, bottom: HEAD + PLOT, labels: Vec::new() };
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
        self.bottom - (value / self.peak).clamp(0.0, 1.0) * PLOT
    }

    /// Who was live, and what is not known.
    fn bands(&self, svg: &mut String, signal: &Signal) {
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
    fn gaps(&self, signal: &Signal) -> Vec<(f64, f64)> {
        let usual = signal.usual_step();
        let pairs = signal.points.windows(2).filter_map(|two| match two {
            [a, b] if a.until(b) > usual => Some((self.x(a.at), self.x(b.at))),
            _ => None,
        });
        pairs.collect()
    }

    fn grid(&self, svg: &mut String, signal: &Signal) {
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
    }

    fn limit(&self, svg: &mut String, signal: &Signal) {
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

    fn line(&self, svg: &mut String, signal: &Signal) {
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

    fn marks(&self, svg: &mut String) {
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

/// Text for an element or an attribute.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in clean(text).chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            // XML has no such characters, not even escaped.
            '\u{fffe}' | '\u{ffff}' => {}
            _ => escaped.push(c),
        }
    }
    escaped
}

/// The beginning of what is too long for its line.
fn short(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars().take(most - 1).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_from_elsewhere_is_text() {
        assert_eq!(escape("a<script>&\"'\u{0}\u{ffff}"), "a&lt;script&gt;&amp;&quot;&#39; ");
        assert_eq!(short("abcdef", 4), "abc…");
    }
}
