//! A picture of the signal against its threshold: one SVG that stands alone, light or dark as the reader has it.
//!
//! No script, no reference to anything outside, nothing but shapes, text and one style sheet; every text from elsewhere is
//! escaped. The colours are never alone in saying something: bad samples are filled, good ones are rings.

mod axis;
mod frame;
mod labels;

use std::fmt::Write as _;

use super::page::clean;
use super::signal::{Marked, Signal};
use super::{Account, Unit, spark};
use crate::decision::rule::Verdict;
use frame::{Frame, LEFT};

const WIDTH: f64 = 960.0;
/// Axis, its caption and the legend.
const FOOT: f64 = 76.0;

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
    let desc = format!("{} {}", account.headline, spark::described(signal));
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
