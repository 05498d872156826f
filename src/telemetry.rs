//! Logs: to stderr, one line an event; text for people and the journal, JSON for machines.

mod lines;

use std::env;
use std::error::Error;
use std::fmt;
use std::fs;
use std::io::{self, IsTerminal, Write};
use std::os::unix::fs::MetadataExt;
use std::sync::OnceLock;
use std::time::Duration;

use tracing::{Event, Level, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::{Compact, Format, Writer};
use tracing_subscriber::fmt::writer::BoxMakeWriter;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use lines::{Lines, Queue};

/// What a service logs when nobody says: every transition of ours, and others' trouble.
const SERVICE_FILTER: &str = "rearguard=info,warn";
/// What stands between the lines of a command that a person reads: trouble.
const COMMAND_FILTER: &str = "warn";

/// Where the lines of a service go.
static LINES: OnceLock<&Lines> = OnceLock::new();
/// So long the end of a process waits for its log to be written.
const LAST_LINES: Duration = Duration::from_millis(500);

/// What says it where no option does.
const VARIABLE: &str = "RUST_LOG";

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// For people; with priorities when systemd's journal reads them.
    Text,
    /// One JSON object a line.
    Json,
}

/// Who reads the logs, which decides about them when nobody says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reader {
    /// Whatever collects a service's logs.
    Collector,
    /// The person who typed a command and waits for what it prints.
    Person,
}

/// Why logs cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The filter makes no sense.
    #[error("read the log filter {filter} of {given_by}: {detail}")]
    Filter {
        /// What was given.
        filter: String,
        /// Where.
        given_by: GivenBy,
        /// What is wrong.
        detail: String,
    },
    /// Nobody to write them.
    #[error("set up logs: no thread can be begun")]
    Thread(#[source] io::Error),
    /// Somebody set up logs before.
    #[error("set up logs, which are set up already")]
    Twice,
}

/// Where a log filter stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GivenBy {
    /// On the command line.
    Option,
    /// In the environment.
    Variable,
}

impl fmt::Display for GivenBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Option => "--log-level",
            Self::Variable => VARIABLE,
        })
    }
}

/// Where log lines go, which decides how they look when nobody says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Destination {
    Terminal,
    Journal,
    Elsewhere,
}

/// Sets up logs for the whole process. `filter` is a level (`debug`) or tracing's directives
/// (`rearguard::platform=debug,info`); without it `$RUST_LOG` counts.
pub fn init(reader: Reader, format: Option<LogFormat>, filter: Option<&str>) -> Result<(), TelemetryError> {
    let (given, given_by) = match filter {
        Some(filter) => (Some(filter.to_owned()), GivenBy::Option),
        None => (env::var(VARIABLE).ok(), GivenBy::Variable),
    };
    let (default, format) = match reader {
        Reader::Collector => (SERVICE_FILTER, format),
        Reader::Person => (COMMAND_FILTER, format.or(Some(LogFormat::Text))),
    };
    let filter = parse(given.as_deref(), default).map_err(|(filter, detail)| TelemetryError::Filter {
        filter,
        given_by,
        detail,
    })?;
    let destination = destination();
    let writer = match reader {
        // Which has work to do whether anybody reads or not.
        Reader::Collector => {
            let lines = Lines::begin(io::stderr(), tell_dropped).map_err(TelemetryError::Thread)?;
            let lines = *LINES.get_or_init(|| lines);
            BoxMakeWriter::new(move || Queue(lines))
        }
        Reader::Person => BoxMakeWriter::new(io::stderr),
    };
    // A word of a line that could not be written would go the same way, and ends in a panic there.
    let logs =
        tracing_subscriber::fmt().with_env_filter(filter).log_internal_errors(false).with_writer(writer);
    let colour =
        destination == Destination::Terminal && env::var_os("NO_COLOR").is_none_or(|no| no.is_empty());
    let done = match (format, destination) {
        (Some(LogFormat::Json), _) | (None, Destination::Elsewhere) => {
            logs.json().flatten_event(true).with_current_span(true).with_span_list(false).try_init()
        }
        (_, Destination::Journal) => logs.event_format(Prioritised::default()).try_init(),
        _ => logs.compact().with_ansi(colour).with_target(false).try_init(),
    };
    done.map_err(|_| TelemetryError::Twice)
}

fn tell_dropped(lines: u64) {
    tracing::warn!(lines, "log lines were dropped: what reads the log did not keep up");
}

/// Says something in the place of the log as it is, behind what was logged before. Nothing that a process says at its end
/// keeps it from ending.
pub fn say(text: &str) {
    match LINES.get() {
        Some(lines) => lines.put(format!("{text}\n").as_bytes()),
        // Nobody is left to be told when this fails.
        None => drop(writeln!(io::stderr(), "{text}")),
    }
    flush();
}

/// Waits for what was logged to be written, for half a second at most.
pub fn flush() {
    if let Some(lines) = LINES.get() {
        lines.flush(LAST_LINES);
    }
}

/// An error with everything that caused it, on one line.
#[derive(Clone, Copy)]
pub struct Chain<'a>(pub &'a dyn Error);

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

/// The error is the filter and what is wrong with it.
fn parse(given: Option<&str>, default: &str) -> Result<EnvFilter, (String, String)> {
    let filter = match given.map(str::trim).filter(|given| !given.is_empty()) {
        None => default.to_owned(),
        // A bare level means ours: at `debug` the HTTP libraries drown everything.
        Some(level) if level.parse::<Level>().is_ok() => format!("rearguard={level},warn"),
        // A space behind a comma would be part of a name.
        Some(directives) => directives.split(',').map(str::trim).collect::<Vec<_>>().join(","),
    };
    if let Some(target) = filter.split(',').map(target).find(|target| !may_be_a_target(target)) {
        // Nothing of ours has such a name: it would switch all logs off, without a word.
        let remedy = "a target is as rearguard::platform; a comment stands on a line of its own";
        let detail = format!("`{target}` is neither a level nor a target: {remedy}");
        return Err((filter, detail));
    }
    EnvFilter::builder().parse(&filter).map_err(|problem| (filter, problem.to_string()))
}

/// What a directive (`target[span{field=value}]=level`) is about; a level where it stands alone.
fn target(directive: &str) -> &str {
    directive.split(['[', '=']).next().unwrap_or_default()
}

fn may_be_a_target(text: &str) -> bool {
    !text.contains(char::is_whitespace) && !text.contains('#') && !text.replace("::", "").contains(':')
}

fn destination() -> Destination {
    if io::stderr().is_terminal() {
        return Destination::Terminal;
    }
    let stderr = fs::metadata("/proc/self/fd/2").map(|meta| (meta.dev(), meta.ino())).ok();
    match (env::var("JOURNAL_STREAM").ok().as_deref().and_then(journal_stream), stderr) {
        (Some(journal), Some(stderr)) if journal == stderr => Destination::Journal,
        _ => Destination::Elsewhere,
    }
}

/// Device and inode of the journal's stream (systemd.exec(5)): a child may inherit the variable and log elsewhere.
fn journal_stream(value: &str) -> Option<(u64, u64)> {
    let (device, inode) = value.split_once(':')?;
    Some((device.parse().ok()?, inode.parse().ok()?))
}

/// Compact lines with the priority in front that the journal strips (sd-daemon(3)); it keeps the time itself.
struct Prioritised(Format<Compact, ()>);

impl Default for Prioritised {
    fn default() -> Self {
        Self(Format::default().compact().without_time().with_ansi(false).with_level(false).with_target(false))
    }
}

impl<S, N> FormatEvent<S, N> for Prioritised
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        write!(writer, "<{}>", priority(*event.metadata().level()))?;
        self.0.format_event(context, writer, event)
    }
}

/// syslog's number of a level.
fn priority(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        _ => 7,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Page(Arc<Mutex<Vec<u8>>>);

    impl Write for Page {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_line_for_the_journal_begins_with_its_priority() {
        let page = Page::default();
        let writer = page.clone();
        let logs = tracing_subscriber::fmt()
            .with_writer(move || writer.clone())
            .with_ansi(false)
            .event_format(Prioritised::default())
            .finish();
        tracing::subscriber::with_default(logs, || {
            tracing::warn!(app = "checkout", "the platform limits us");
            tracing::info!("a transition");
        });
        let text = String::from_utf8(page.0.lock().unwrap().clone()).unwrap();
        assert_eq!(text, "<4>the platform limits us app=\"checkout\"\n<6>a transition\n");
    }

    #[test]
    fn a_bare_level_is_ours_and_directives_are_taken_as_they_are() {
        let parse = |given| parse(given, COMMAND_FILTER);
        assert_eq!(parse(None).unwrap().to_string(), COMMAND_FILTER);
        assert_eq!(parse(Some(" ")).unwrap().to_string(), COMMAND_FILTER);
        assert!(parse(Some("debug")).unwrap().to_string().contains("rearguard=debug"));
        assert_eq!(parse(Some("hyper=trace")).unwrap().to_string(), "hyper=trace");
        assert_eq!(parse(Some("rearguard=loud")).unwrap_err().0, "rearguard=loud");
    }

    #[test]
    fn a_filter_with_a_comment_behind_it_is_refused_and_does_not_switch_logs_off() {
        let parse = |given| parse(Some(given), SERVICE_FILTER);
        for wrong in [
            "info # more",
            "info #more",
            "rearguard: debug",
            "warn,info#",
            "rearguard:platform=debug",
            "a b=info",
        ] {
            let (filter, detail) = parse(wrong).unwrap_err();
            assert_eq!(filter, wrong);
            assert!(detail.contains("a comment stands on a line of its own"), "{detail}");
        }
        for right in
            ["info, rearguard::platform=debug", "off", "rearguard[app{name=a b}]=debug", "my-crate=warn"]
        {
            assert!(parse(right).is_ok(), "{right}");
        }
        assert!(parse("info, hyper=trace").unwrap().to_string().contains("hyper=trace,"), "trimmed");
    }

    #[test]
    fn the_journals_stream_is_a_device_and_an_inode() {
        assert_eq!(journal_stream("8:1234"), Some((8, 1234)));
        assert_eq!(journal_stream("8"), None);
        assert_eq!(journal_stream("a:b"), None);
    }

    #[test]
    fn an_error_is_shown_with_its_causes() {
        let cause = io::Error::other("disk full");
        let error = TelemetryError::Filter {
            filter: "x".to_owned(),
            given_by: GivenBy::Variable,
            detail: "y".to_owned(),
        };
        assert_eq!(Chain(&error).to_string(), "read the log filter x of RUST_LOG: y");
        assert_eq!(Chain(&io::Error::other(cause)).to_string(), "disk full");
    }
}
