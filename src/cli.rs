//! The command line: one file a command below `cli/`, each giving the text to print or an [`Error`].

mod act;
mod check;
mod client;
mod demo;
mod error;
mod explain;
mod follow;
mod generated;
mod incidents;
mod init;
mod lab;
mod run;
mod schema;
mod status;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;

use crate::config::PlatformKind;
use crate::telemetry::{LogFormat, Reader};
use crate::telling::{page, words};

pub use crate::telling::Page;
pub use error::{Error, ExitCode};

/// Where the configuration is expected when nobody says.
pub const DEFAULT_CONFIG: &str = "/etc/rearguard/rearguard.yaml";

/// Guards deployments: watches each release, rolls a bad one back, soaks, commits.
#[derive(Debug, Parser)]
#[command(name = "rearguard", version, propagate_version = true, disable_help_subcommand = true)]
#[command(after_long_help = "\
Examples:
  rearguard demo                                   see it work, without an account
  rearguard init --platform digitalocean --token-env DIGITALOCEAN_TOKEN > rearguard.yaml
  rearguard check --config rearguard.yaml          is this configuration right?
  rearguard run --config rearguard.yaml            guard
  rearguard status                                 what is going on?
  rearguard explain checkout-1a2b3c4d              what happened, and why?
  rearguard pause checkout --for 2h                hands off
  rearguard rollback checkout --wait               back, at your word

Exit codes:
  0   done
  1   the command could not do what was asked
  64  wrong usage
  70  an internal fault; worth a report
  78  the configuration is wrong")]
pub struct Cli {
    /// How log lines look [default: text; of `run` json, except on a terminal and in systemd's journal]
    #[arg(long, global = true, value_name = "FORMAT", help_heading = "Logs")]
    pub log_format: Option<LogFormat>,
    /// What is logged: a level, or directives as in rearguard::platform=debug,info [default: $RUST_LOG, or
    /// info for `run` and warn for the rest]
    #[arg(long, global = true, value_name = "FILTER", help_heading = "Logs")]
    pub log_level: Option<String>,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What can be done.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Guard: the daemon
    #[command(after_long_help = "\
SIGTERM and SIGINT drain and end; SIGHUP reads the configuration again, and a changed file is noticed by itself.

Examples:
  rearguard run --config /etc/rearguard/rearguard.yaml
  rearguard run --config rearguard.yaml --log-level debug")]
    Run(ConfigArgs),
    /// Say whether a configuration is right, and what was understood
    #[command(after_long_help = "\
Examples:
  rearguard check --config rearguard.yaml
  rearguard check --config rearguard.yaml --online     also ask each platform; sends nothing but reads")]
    Check(CheckArgs),
    /// Show a bad release being rolled back, against a built-in platform on loopback
    #[command(after_long_help = "\
Ends by itself within a minute. Needs no account, no configuration, no network.

Examples:
  rearguard demo
  rearguard demo --platform sevalla")]
    Demo(DemoArgs),
    /// Serve the built-in platform, for trying a configuration without an account
    #[command(after_long_help = "\
Examples:
  rearguard lab --listen 127.0.0.1:9798")]
    Lab(LabArgs),
    /// Show every app: state, live deployment, what its rules read and what they could notice
    #[command(after_long_help = "\
Apps that need somebody come first, with what to type next; calm ones take a line each.

Examples:
  rearguard status
  rearguard status checkout
  rearguard status --server http://rearguard.internal:9797 --json | jq '.apps[] | select(.state != \"steady\")'")]
    Status(StatusArgs),
    /// List incidents, newest first
    #[command(after_long_help = "\
Examples:
  rearguard incidents --app checkout --limit 5
  rearguard incidents --markdown
  rearguard incidents --json")]
    Incidents(IncidentsArgs),
    /// Tell an incident: what was seen, decided, refused and done, with the numbers
    #[command(after_long_help = "\
The text is fit for an incident channel, the Markdown for a ticket. The recorded decisions are made again, and whether
they come out identical is said.

Examples:
  rearguard explain                                    the newest incident
  rearguard explain checkout                           the newest one of this app
  rearguard explain checkout-1a2b3c4d --json
  rearguard explain checkout-1a2b3c4d --markdown --svg signal.svg > ticket.md")]
    Explain(ExplainArgs),
    /// Hands off: nothing is written for the app until it is resumed
    #[command(after_long_help = "\
What was sent already is still followed. Needs the admin token.

Examples:
  rearguard pause checkout
  rearguard pause checkout --for 2h                and then go on by itself
  rearguard pause --all

Without a daemon that answers: `touch paused` in the folder of the journal pauses everything, and `touch paused-APP`
that app, until the file is removed.")]
    Pause(PauseArgs),
    /// End a pause; without one, end a hold
    #[command(after_long_help = "\
Who ends a hold takes its pin over: it is theirs to commit or revert.
--all ends every pause and closes the storm breaker; what is held stays held.
Needs the admin token.

Examples:
  rearguard resume checkout
  rearguard resume --all")]
    Resume(ResumeArgs),
    /// Let a rollback go ahead that waits for approval
    #[command(after_long_help = "\
Needs the admin token.

Examples:
  rearguard approve checkout-1a2b3c4d")]
    Approve(WordArgs),
    /// Say no to a rollback that waits for approval
    #[command(after_long_help = "\
Needs the admin token.

Examples:
  rearguard reject checkout-1a2b3c4d")]
    Reject(WordArgs),
    /// Roll an app back by hand: the same validation, journal and soak, whatever its rules say
    #[command(after_long_help = "\
Goes to what rearguard would choose, or to the deployment that is named. The app has to be in mode approve or enforce
and not paused. Limits, freeze windows and rules do not keep you from it; a changed migration job and warnings of the
platform do, unless you accept them. Needs the admin token.

Examples:
  rearguard rollback checkout --wait
  rearguard rollback checkout --to 3aa4d20e-5527-4c00-b496-601fbd22520a
  rearguard rollback checkout --accept-migrations")]
    Rollback(RollbackArgs),
    /// Accept a rollback now, without waiting for its soak, or after it is held
    #[command(after_long_help = "\
Needs the admin token.

Examples:
  rearguard commit checkout --wait")]
    Commit(SettleArgs),
    /// Undo a rollback now: back to the newest release
    #[command(after_long_help = "\
Needs the admin token.

Examples:
  rearguard revert checkout --wait")]
    Revert(SettleArgs),
    /// Ask a platform for its apps, and print a configuration to start from
    #[command(after_long_help = "\
Prints a commented configuration in mode observe, which writes nothing; reads only, so a read-only token is enough. The
token is read from where the daemon will read it, and never printed.

Examples:
  rearguard init --platform digitalocean --token-env DIGITALOCEAN_TOKEN > rearguard.yaml
  rearguard init --platform sevalla --token-file /etc/rearguard/sevalla.token > rearguard.yaml
  rearguard check --config rearguard.yaml --online")]
    Init(InitArgs),
    /// Print the JSON Schema of the configuration
    #[command(after_long_help = "\
Examples:
  rearguard schema > rearguard.schema.json")]
    Schema,
    /// Print what a shell needs to complete rearguard's commands
    #[command(after_long_help = "\
Examples:
  rearguard completions bash > /etc/bash_completion.d/rearguard
  rearguard completions zsh > ~/.zfunc/_rearguard
  rearguard completions fish > ~/.config/fish/completions/rearguard.fish")]
    Completions(CompletionsArgs),
    /// Print the manual page, or write one for each command
    #[command(after_long_help = "\
Examples:
  rearguard man | man -l -
  rearguard man --to /usr/local/share/man/man1")]
    Man(ManArgs),
}

impl Command {
    /// Who reads this command's logs.
    pub fn reader(&self) -> Reader {
        match self {
            Self::Run(_) => Reader::Collector,
            _ => Reader::Person,
        }
    }
}

/// Which configuration.
#[derive(Debug, Args)]
pub struct ConfigArgs {
    /// The configuration
    #[arg(long, value_name = "FILE", env = "REARGUARD_CONFIG", default_value = DEFAULT_CONFIG)]
    pub config: PathBuf,
}

/// `rearguard check`.
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// Which configuration.
    #[command(flatten)]
    pub config: ConfigArgs,
    /// Also ask each platform whether the token works and the apps are there
    #[arg(long)]
    pub online: bool,
}

/// `rearguard demo`.
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// What the built-in platform speaks
    #[arg(long, value_name = "PLATFORM", value_enum, default_value = "digitalocean")]
    pub platform: PlatformKind,
}

/// `rearguard lab`.
#[derive(Debug, Args)]
pub struct LabArgs {
    /// Where to serve
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9798")]
    pub listen: SocketAddr,
}

/// Which daemon is talked to.
#[derive(Clone, Debug, Default, Args)]
pub struct ServerArgs {
    /// The daemon [default: where the configuration says it listens]
    #[arg(long, value_name = "URL", env = "REARGUARD_SERVER", help_heading = "Daemon")]
    pub server: Option<String>,
    /// The configuration that says where the daemon listens and where the admin token is; $REARGUARD_ADMIN_TOKEN
    /// holds a token itself [default: /etc/rearguard/rearguard.yaml]
    #[arg(long, value_name = "FILE", env = "REARGUARD_CONFIG", help_heading = "Daemon")]
    pub config: Option<PathBuf>,
}

/// `rearguard status`.
#[derive(Debug, Args)]
pub struct StatusArgs {
    /// Only this app, in full
    pub app: Option<String>,
    /// Print what the daemon answers, as JSON
    #[arg(long)]
    pub json: bool,
    /// Which daemon.
    #[command(flatten)]
    pub server: ServerArgs,
}

/// `rearguard incidents`.
#[derive(Debug, Args)]
pub struct IncidentsArgs {
    /// Only this app's
    #[arg(long)]
    pub app: Option<String>,
    /// At most so many
    #[arg(long, value_name = "COUNT", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub limit: u32,
    /// Print what the daemon answers, as JSON
    #[arg(long)]
    pub json: bool,
    /// Print Markdown, as GitHub reads it
    #[arg(long, conflicts_with = "json")]
    pub markdown: bool,
    /// Which daemon.
    #[command(flatten)]
    pub server: ServerArgs,
}

/// `rearguard explain`.
#[derive(Debug, Args)]
pub struct ExplainArgs {
    /// The incident, as `rearguard incidents` lists it, or an app for its newest one [default: the newest of all]
    pub id: Option<String>,
    /// Print what the daemon answers, as JSON
    #[arg(long)]
    pub json: bool,
    /// Print Markdown, as GitHub reads it
    #[arg(long, conflicts_with = "json")]
    pub markdown: bool,
    /// Write a picture of the signal against its threshold there as well; the Markdown links it
    #[arg(long, value_name = "FILE")]
    pub svg: Option<PathBuf>,
    /// Which daemon.
    #[command(flatten)]
    pub server: ServerArgs,
}

/// `rearguard init`.
#[derive(Debug, Args)]
pub struct InitArgs {
    /// Which platform is asked
    #[arg(long, value_name = "PLATFORM", value_enum)]
    pub platform: PlatformKind,
    /// The environment variable that holds the token
    #[arg(long, value_name = "NAME", required_unless_present = "token_file", conflicts_with = "token_file")]
    pub token_env: Option<String>,
    /// The file that holds the token, alone
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// Where its API is [default: the platform's own]
    #[arg(long, value_name = "URL")]
    pub api: Option<String>,
}

/// `rearguard completions`.
#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// Which shell
    #[arg(value_enum)]
    pub shell: Shell,
}

/// `rearguard man`.
#[derive(Debug, Args)]
pub struct ManArgs {
    /// Write the page of each command into this directory instead
    #[arg(long, value_name = "DIR")]
    pub to: Option<PathBuf>,
}

/// Whose word it is.
#[derive(Clone, Debug, Default, Args)]
pub struct ByArgs {
    /// Who says so, for the journal [default: $SUDO_USER or $USER]
    #[arg(long, value_name = "NAME", env = "REARGUARD_BY")]
    pub by: Option<String>,
}

/// `rearguard pause`.
#[derive(Debug, Args)]
pub struct PauseArgs {
    /// The app
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    pub app: Option<String>,
    /// Every app at once
    #[arg(long)]
    pub all: bool,
    /// End by itself after this long, as in 2h or 30m [default: not by itself]
    #[arg(long = "for", value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub lasts: Option<Duration>,
    /// Whose word.
    #[command(flatten)]
    pub by: ByArgs,
    /// Which daemon.
    #[command(flatten)]
    pub server: ServerArgs,
}

/// `rearguard resume`.
#[derive(Debug, Args)]
pub struct ResumeArgs {
    /// The app
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    pub app: Option<String>,
    /// Every app at once
    #[arg(long)]
    pub all: bool,
    /// Whose word.
    #[command(flatten)]
    pub by: ByArgs,
    /// Which daemon.
    #[command(flatten)]
    pub server: ServerArgs,
}

/// `rearguard rollback`.
#[derive(Debug, Args)]
pub struct RollbackArgs {
    /// The app
    pub app: String,
    /// To this deployment [default: what rearguard would choose]
    #[arg(long, value_name = "DEPLOYMENT")]
    pub to: Option<String>,
    /// Whatever the platform warns of
    #[arg(long)]
    pub accept_warnings: bool,
    /// Although a migration job differs between the two specs
    #[arg(long)]
    pub accept_migrations: bool,
    /// Follow it to its end
    #[arg(long)]
    pub wait: bool,
    /// Whose word.
    #[command(flatten)]
    pub by: ByArgs,
    /// Which daemon.
    #[command(flatten)]
    pub server: ServerArgs,
}

/// `rearguard commit` and `revert`.
#[derive(Debug, Args)]
pub struct SettleArgs {
    /// The app
    pub app: String,
    /// Follow it to its end
    #[arg(long)]
    pub wait: bool,
    /// Whose word.
    #[command(flatten)]
    pub by: ByArgs,
    /// Which daemon.
    #[command(flatten)]
    pub server: ServerArgs,
}

/// `rearguard approve` and `reject`.
#[derive(Debug, Args)]
pub struct WordArgs {
    /// The incident that waits
    pub id: String,
    /// Follow it to its end
    #[arg(long)]
    pub wait: bool,
    /// Whose word.
    #[command(flatten)]
    pub by: ByArgs,
    /// Which daemon.
    #[command(flatten)]
    pub server: ServerArgs,
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
        Command::Schema => schema::run(),
        Command::Completions(args) => Ok(generated::completions(args.shell)),
        Command::Man(args) => generated::man(args.to.as_deref()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_makes_sense() {
        Cli::command().debug_assert();
    }

    #[test]
    fn pausing_takes_one_app_or_all_and_not_both() {
        let parse = |words: &[&str]| Cli::try_parse_from([&["rearguard"], words].concat()).is_ok();
        assert!(parse(&["pause", "checkout"]));
        assert!(parse(&["resume", "--all"]));
        assert!(!parse(&["pause"]));
        assert!(!parse(&["pause", "checkout", "--all"]));
        assert!(!parse(&["incidents", "--limit", "0"]));
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
