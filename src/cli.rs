//! The command line: one file a command below `cli/`, each giving the text to print or an [`Error`]. `command` has what can
//! be said and its help, `args` what is said with it.

mod act;
mod args;
mod check;
mod client;
mod command;
mod demo;
mod error;
mod explain;
mod follow;
mod generated;
mod incidents;
mod init;
mod lab;
mod printed;
mod proxy;
mod run;
mod schema;
mod status;

use crate::telling::{page, words};

pub use crate::telling::Page;
pub use args::*;
pub use command::{Cli, Command};
pub use error::{Error, ExitCode};

/// Where a command is to be run as another process would, that is done instead of it, in a process that comes through here as
/// well and becomes like it. To be asked before anything else is begun. Gives how it ended, or nothing where the command is to be
/// run here.
pub fn instead(command: &mut Command) -> Option<Result<ExitCode, Error>> {
    match command {
        Command::Check(args) => check::instead(args),
        _ => None,
    }
}

/// Runs a command; gives what is to be printed to stdout.
pub async fn dispatch(command: &Command, page: Page) -> Result<String, Error> {
    match command {
        Command::Run(args) => run::run(args).await,
        Command::Check(args) => check::run(args).await,
        Command::Demo(args) => demo::run(args).await,
        Command::Lab(args) => lab::run(args).await,
        Command::Status(args) => status::run(args, page).await,
        Command::Incidents(args) => incidents::run(args, page).await,
        Command::Explain(args) => explain::run(args, page).await,
        Command::Pause(args) => act::pause(args).await,
        Command::Resume(args) => act::resume(args).await,
        Command::Approve(args) => act::approve(args).await,
        Command::Reject(args) => act::reject(args).await,
        Command::Rollback(args) => act::rollback(args).await,
        Command::Commit(args) => act::commit(args).await,
        Command::Revert(args) => act::revert(args).await,
        Command::Init(args) => init::run(args).await,
        Command::Schema(args) => schema::run(args),
        Command::Completions(args) => Ok(generated::completions(args.shell)),
        Command::Man(args) => generated::man(args.to.as_deref()),
    }
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};

    use super::*;
    use crate::telemetry::LogFormat;

    #[test]
    fn a_usage_error_names_what_is_needed_and_each_way_to_say_it() {
        for (words, needed) in [
            ("pause", "<APP|--all>"),
            ("resume", "<APP|--all>"),
            ("init --platform sevalla", "<--token-env <NAME>|--token-file <FILE>>"),
            ("approve", "<ID>"),
        ] {
            let words = format!("rearguard {words}");
            let said = Cli::try_parse_from(words.split(' ')).unwrap_err().to_string();
            assert!(said.contains(&format!("were not provided:\n  {needed}\n")), "{said}");
        }
        for words in
            ["pause --all x", "resume x --all", "init --platform sevalla --token-env A --token-file b"]
        {
            let words = format!("rearguard {words}");
            let said = Cli::try_parse_from(words.split(' ')).unwrap_err().to_string();
            assert!(said.contains("cannot be used with"), "{said}");
        }
    }

    #[test]
    fn the_process_of_a_service_that_does_not_run_is_refused_with_the_remedy() {
        let said = |number: &str| {
            Cli::try_parse_from(["rearguard", "check", "--as", number]).map_err(|error| error.to_string())
        };
        assert!(said("0").unwrap_err().contains("where the service does not run: start it"));
        assert!(said("4294967296").unwrap_err().contains("number too large"));
        assert!(said("x").is_err() && said("-1").is_err() && said("").is_err());
        assert!(said("1").is_ok());
    }

    #[test]
    fn the_command_line_makes_sense() {
        Cli::command().debug_assert();
    }

    #[test]
    fn what_help_says_beside_options_is_wrapped_by_the_terminal_alone_and_examples_fit_eighty_columns() {
        let cli = Cli::command();
        for command in std::iter::once(&cli).chain(cli.get_subcommands()) {
            let Some(text) = command.get_after_long_help() else { continue };
            let (text, name) = (text.to_string(), command.get_name());
            let mut before = "";
            for line in text.lines() {
                let is_example = line.starts_with("  ");
                assert!(!is_example || line.chars().count() <= 80, "{name}: {line}");
                let is_broken = !is_example && !line.is_empty() && !before.is_empty();
                assert!(!is_broken, "{name}: a paragraph is broken before: {line}");
                before = line;
            }
        }
    }

    #[test]
    fn pausing_takes_one_app_or_all_and_not_both() {
        let parse = |words: &[&str]| Cli::try_parse_from([&["rearguard"], words].concat()).is_ok();
        assert!(parse(&["pause", "checkout"]));
        assert!(parse(&["resume", "--all"]));
        assert!(!parse(&["pause"]));
        assert!(!parse(&["pause", "checkout", "--all"]));
        assert!(!parse(&["incidents", "--limit", "0"]));
        for (lasts, is_taken) in
            [("1s", true), ("366d", true), ("0s", false), ("10000d", false), ("soon", false)]
        {
            assert_eq!(parse(&["pause", "checkout", "--for", lasts]), is_taken, "{lasts}");
        }
    }

    #[test]
    fn log_options_stand_before_or_after_the_command() {
        for words in
            [["rearguard", "--log-format", "json", "demo"], ["rearguard", "demo", "--log-format", "json"]]
        {
            assert_eq!(Cli::try_parse_from(words).unwrap().log_format, Some(LogFormat::Json));
        }
    }
}
