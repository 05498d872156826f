//! What each command is told: its arguments and options.

use std::net::SocketAddr;
use std::num::{NonZeroU32, ParseIntError};
use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgGroup, Args};
use clap_complete::Shell;

use crate::config::PlatformKind;
use crate::server::PAUSE_MOST;

/// Where the configuration is expected when nobody says.
pub const DEFAULT_CONFIG: &str = "/etc/rearguard/rearguard.yaml";

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
    /// Also read what a start needs: the journal's version, platforms' tokens, the authorities that are trusted, the address
    /// to listen on
    #[arg(long)]
    pub start: bool,
    /// Do it as the daemon that runs as this process would: with its configuration, user, environment and files
    #[arg(long = "as", value_name = "PID", value_parser = process)]
    pub like: Option<NonZeroU32>,
}

/// The number of a process. There is no 0, and systemd says it of a service that does not run.
fn process(text: &str) -> Result<NonZeroU32, String> {
    let number: u32 = text.parse().map_err(|error: ParseIntError| error.to_string())?;
    NonZeroU32::new(number).ok_or_else(|| {
        "no process has it, and systemctl says it where the service does not run: start it, or check without --as"
            .to_owned()
    })
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
    /// Write a picture of the signal against its threshold there as well; the Markdown links it. With - the picture
    /// alone is printed
    #[arg(long, value_name = "FILE")]
    pub svg: Option<PathBuf>,
    /// Which daemon.
    #[command(flatten)]
    pub server: ServerArgs,
}

/// `rearguard init`.
#[derive(Debug, Args)]
#[group(skip)]
#[command(group(ArgGroup::new("token").args(["token_env", "token_file"]).required(true)))]
pub struct InitArgs {
    /// Which platform is asked
    #[arg(long, value_name = "PLATFORM", value_enum)]
    pub platform: PlatformKind,
    /// The environment variable that holds the token
    #[arg(long, value_name = "NAME")]
    pub token_env: Option<String>,
    /// The file that holds the token, alone
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// Where its API is [default: the platform's own]
    #[arg(long, value_name = "URL")]
    pub api: Option<String>,
}

/// `rearguard schema`.
#[derive(Debug, Args)]
pub struct SchemaArgs {
    /// Of what a webhook is sent instead
    #[arg(long)]
    pub event: bool,
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

/// Whose word it is, and which daemon is told it.
#[derive(Clone, Debug, Default, Args)]
pub struct WordArgs {
    /// Who says so, for the journal [default: $SUDO_USER or $USER]
    #[arg(long, value_name = "NAME", env = "REARGUARD_BY")]
    pub by: Option<String>,
    /// Which daemon.
    #[command(flatten)]
    pub server: ServerArgs,
}

/// `rearguard pause`.
#[derive(Debug, Args)]
#[group(skip)]
#[command(group(ArgGroup::new("whose").args(["app", "all"]).required(true)))]
pub struct PauseArgs {
    /// The app
    pub app: Option<String>,
    /// Every app at once
    #[arg(long)]
    pub all: bool,
    /// End by itself after this long, as in 2h or 30m [default: not by itself]
    #[arg(long = "for", value_name = "DURATION", value_parser = pause_length)]
    pub lasts: Option<Duration>,
    /// Whose word, and to which daemon.
    #[command(flatten)]
    pub word: WordArgs,
}

/// `rearguard resume`.
#[derive(Debug, Args)]
#[group(skip)]
#[command(group(ArgGroup::new("whose").args(["app", "all"]).required(true)))]
pub struct ResumeArgs {
    /// The app
    pub app: Option<String>,
    /// Every app at once
    #[arg(long)]
    pub all: bool,
    /// Whose word, and to which daemon.
    #[command(flatten)]
    pub word: WordArgs,
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
    /// Whose word, and to which daemon.
    #[command(flatten)]
    pub word: WordArgs,
}

/// `rearguard commit` and `revert`.
#[derive(Debug, Args)]
pub struct SettleArgs {
    /// The app
    pub app: String,
    /// Follow it to its end
    #[arg(long)]
    pub wait: bool,
    /// Whose word, and to which daemon.
    #[command(flatten)]
    pub word: WordArgs,
}

/// `rearguard approve`.
#[derive(Debug, Args)]
pub struct ApproveArgs {
    /// The incident that waits
    pub id: String,
    /// Only where this is still what would be gone back to [default: whatever it is]
    #[arg(long, value_name = "DEPLOYMENT")]
    pub target: Option<String>,
    /// Follow it to its end
    #[arg(long)]
    pub wait: bool,
    /// Whose word, and to which daemon.
    #[command(flatten)]
    pub word: WordArgs,
}

/// `rearguard reject`.
#[derive(Debug, Args)]
pub struct RejectArgs {
    /// The incident that waits
    pub id: String,
    /// Follow it to its end
    #[arg(long)]
    pub wait: bool,
    /// Whose word, and to which daemon.
    #[command(flatten)]
    pub word: WordArgs,
}

/// How long a pause lasts: what the daemon takes.
fn pause_length(text: &str) -> Result<Duration, String> {
    let lasts = humantime::parse_duration(text).map_err(|problem| problem.to_string())?;
    if (Duration::from_secs(1)..=PAUSE_MOST).contains(&lasts) {
        return Ok(lasts);
    }
    let days = PAUSE_MOST.as_secs() / 86_400;
    Err(format!("allowed is 1s to {days}d; without --for a pause lasts until it is resumed"))
}
