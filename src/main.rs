//! rearguard: arguments, logs, one command, exit code.

use std::env;
use std::io::{self, IsTerminal, Write, stdout};
use std::time::Duration;

use clap::Parser;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use rearguard::cli::{self, Cli, ExitCode, Page};
use rearguard::telemetry::{self, GivenBy, TelemetryError};

#[cfg(feature = "jemalloc")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> std::process::ExitCode {
    go().into()
}

fn go() -> ExitCode {
    let mut cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(problem) => return explain_usage(without_false_tips(problem)),
    };
    match cli::instead(&mut cli.command) {
        Some(Ok(code)) => return code,
        Some(Err(error)) => return complain(&error.to_string(), error.exit_code()),
        None => {}
    }
    if let Err(problem) = telemetry::init(cli.command.reader(), cli.log_format, cli.log_level.as_deref()) {
        let code = match problem {
            TelemetryError::Filter { given_by: GivenBy::Variable, .. } => ExitCode::Config,
            _ => ExitCode::Usage,
        };
        return complain(&format!("failed to {problem}"), code);
    }
    end_on_panic();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(problem) => return complain(&format!("failed to start: {problem}"), ExitCode::Internal),
    };
    let done = runtime.block_on(cli::dispatch(&cli.command, page()));
    // What is still under way there, as a look-up of a name, is nothing to wait for.
    runtime.shutdown_background();
    telemetry::flush();
    match done {
        Ok(text) => print(&text),
        // Problems of a configuration begin with their place, as editors like it.
        Err(cli::Error::Config(problems)) => say(&problems, ExitCode::Config),
        Err(error) => complain(&error.to_string(), error.exit_code()),
    }
}

/// So long a panic has to be reported.
const TO_REPORT: Duration = Duration::from_secs(2);

/// A panic in any task is a fault of ours, and a task that is gone guards nothing: the process ends, and whoever
/// started it starts it again. The journal makes that safe at any moment.
fn end_on_panic() {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        // Nor does anybody wait for whoever is to read why.
        std::thread::spawn(|| {
            std::thread::sleep(TO_REPORT);
            std::process::exit(ExitCode::Internal as i32);
        });
        telemetry::flush();
        report(info);
        std::process::exit(ExitCode::Internal as i32);
    }));
}

fn page() -> Page {
    let (no_color, columns) = (env::var_os("NO_COLOR"), env::var("COLUMNS").ok());
    // Shells know COLUMNS and seldom pass it on; the terminal itself knows as well.
    let terminal = stdout().is_terminal().then(|| rustix::termios::tcgetwinsize(stdout()).ok());
    let terminal = terminal.map(|size| size.map(|size| size.ws_col.into()));
    Page::of(terminal, no_color.as_deref(), columns.as_deref())
}

/// Prints what a command gives, to the last byte.
fn print(text: &str) -> ExitCode {
    let mut out = stdout();
    printed(out.write_all(text.as_bytes()).and_then(|()| out.flush()))
}

/// A reader that went away (`| head`) is no failure; a disk that is full is one.
fn printed(written: io::Result<()>) -> ExitCode {
    match written {
        Err(problem) if problem.kind() != io::ErrorKind::BrokenPipe => {
            complain(&format!("failed to write the output: {problem}"), ExitCode::Failed)
        }
        _ => ExitCode::Done,
    }
}

/// No command takes a value that begins with a dash: a tip of how to pass one helps nobody.
fn without_false_tips(mut problem: clap::Error) -> clap::Error {
    if let Some(ContextValue::StyledStrs(tips)) = problem.remove(ContextKind::Suggested) {
        let true_ones: Vec<_> =
            tips.into_iter().filter(|tip| !tip.to_string().contains(" as a value, use ")).collect();
        if !true_ones.is_empty() {
            problem.insert(ContextKind::Suggested, ContextValue::StyledStrs(true_ones));
        }
    }
    problem
}

fn explain_usage(problem: clap::Error) -> ExitCode {
    match problem.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            printed(problem.print().and_then(|()| stdout().flush()))
        }
        _ => {
            // Nobody is left to be told when this fails.
            let _ = problem.print();
            ExitCode::Usage
        }
    }
}

fn complain(text: &str, code: ExitCode) -> ExitCode {
    say(&format!("rearguard: {text}"), code)
}

fn say(text: &str, code: ExitCode) -> ExitCode {
    telemetry::say(text.trim_end());
    code
}
