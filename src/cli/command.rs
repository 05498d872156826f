//! The commands, and what `help` says of each.

use clap::{Parser, Subcommand};

use super::args::{
    ApproveArgs, CheckArgs, CompletionsArgs, ConfigArgs, DemoArgs, ExplainArgs, IncidentsArgs, InitArgs,
    LabArgs, ManArgs, PauseArgs, RejectArgs, ResumeArgs, RollbackArgs, SchemaArgs, SettleArgs, StatusArgs,
};
use crate::telemetry::{LogFormat, Reader};

/// Guards deployments: watches each release, rolls a bad one back, soaks, commits.
#[derive(Debug, Parser)]
#[command(name = "rearguard", version, propagate_version = true, disable_help_subcommand = true)]
#[command(after_long_help = "\
Examples:
  rearguard demo                                   see it work; needs no account
  rearguard init --platform digitalocean \\
      --token-env DIGITALOCEAN_TOKEN > rearguard.yaml
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
SIGTERM and SIGINT drain and end; SIGHUP reads the configuration again, and a changed file is noticed by \
itself.

Examples:
  rearguard run --config /etc/rearguard/rearguard.yaml
  rearguard run --config rearguard.yaml --log-level debug")]
    Run(ConfigArgs),
    /// Say whether a configuration is right, and what was understood
    #[command(after_long_help = "\
Nothing is written anywhere: --online sends nothing but reads, --start sends nothing.

Before a new binary or configuration: --as PID checks as the daemon that runs as that process would. It is then begun with the \
user, environment, folder and view of the files that this one has, and, where --config names no other, with its \
configuration. Root can do so as anybody. What has changed in a unit, or in a file with its environment, since the daemon was \
started is not looked at.

Examples:
  rearguard check --config rearguard.yaml
  rearguard check --config rearguard.yaml --online     ask each platform, too
  rearguard check --config rearguard.yaml --start      read what a start reads
  rearguard check --start \\
    --as $(systemctl show --value --property=MainPID rearguard)")]
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
  rearguard status --server http://rearguard.internal:9797
  rearguard status --json | jq '.apps[] | select(.state != \"steady\")'")]
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
The text is fit for an incident channel, the Markdown for a ticket. The recorded decisions are made again, and \
whether they come out identical is said.

Examples:
  rearguard explain                         the newest incident
  rearguard explain checkout                the newest one of this app
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

Without a daemon that answers: `touch paused` in the folder of the journal pauses everything, and \
`touch paused-APP` that app, until the file is removed.")]
    Pause(PauseArgs),
    /// End a pause; without one, end a hold
    #[command(after_long_help = "\
Who ends a hold takes its pin over: it is theirs to commit or revert. --all ends every pause and closes the storm \
breaker; what is held stays held. An app that stays paused all the same, by a file or with everything, is a failure: what \
pauses it is said. Needs the admin token.

Examples:
  rearguard resume checkout
  rearguard resume --all")]
    Resume(ResumeArgs),
    /// Let a rollback go ahead that waits for approval
    #[command(after_long_help = "\
Needs the admin token.

Examples:
  rearguard approve checkout-1a2b3c4d
  rearguard approve checkout-1a2b3c4d \\
      --target 3aa4d20e-5527-4c00-b496-601fbd22520a")]
    Approve(ApproveArgs),
    /// Say no to a rollback that waits for approval
    #[command(after_long_help = "\
Needs the admin token.

Examples:
  rearguard reject checkout-1a2b3c4d")]
    Reject(RejectArgs),
    /// Roll an app back by hand: the same validation, journal and soak, whatever its rules say
    #[command(after_long_help = "\
Goes to what rearguard would choose, or to the deployment that is named. The app has to be in mode approve or \
enforce and not paused. Limits, freeze windows and rules do not keep you from it; a changed migration job and \
warnings of the platform do, unless you accept them. Needs the admin token.

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
Prints a commented configuration in mode observe, which writes nothing; reads only, so a read-only token is enough. \
The token is read from where the daemon will read it, and never printed.

Examples:
  rearguard init --platform digitalocean \\
      --token-env DIGITALOCEAN_TOKEN > rearguard.yaml
  rearguard init --platform sevalla \\
      --token-file sevalla-token > rearguard.yaml
  rearguard check --config rearguard.yaml --online")]
    Init(InitArgs),
    /// Print the JSON Schema of the configuration
    #[command(after_long_help = "\
Examples:
  rearguard schema > rearguard.schema.json
  rearguard schema --event > event.schema.json     what a webhook is sent")]
    Schema(SchemaArgs),
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
