//! The command line.

use std::{net::SocketAddr, path::PathBuf};

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Moves a live application from an old store to a new one without downtime.
///
/// Exit status: 0 done; 1 the answer is no (differences found, a guard refused); 2 wrong usage or configuration; 3 a store could not be reached
/// or something failed half way.
#[derive(Debug, Parser)]
#[command(name = "crossfade", version)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Runs the proxy, the journal's repairer, the backfill of phase 7 and the admin port
    Serve(File),
    /// Looks at both stores, the mapping, keys, triggers, cascades, sequences and rights, and says what blocks which phase
    Check(File),
    /// Shows the phases, or moves a toggle by editing the file after its guard agreed
    Phase(PhaseArgs),
    /// Shows phases, dirty keys, mismatches and jobs
    Status(StatusArgs),
    /// Copies rows that the target does not have yet
    Backfill(JobArgs),
    /// Compares the tables of both stores
    Verify(VerifyArgs),
    /// Repairs dirty keys now
    Repair(JobArgs),
    /// Goes on without a proxy that ended without taking leave and will not come back: its journal is given up, and its tables have to be verified
    Forget(ForgetArgs),
    /// Lists who may log in where the new store is MongoDB
    Users(UsersArgs),
    /// Walks throwaway local stores through all eight phases under live traffic
    Demo(DemoArgs),
}

/// The configuration file.
#[derive(Debug, Args)]
pub(crate) struct File {
    /// Configuration file
    #[arg(short, long, value_name = "FILE", default_value = "crossfade.toml")]
    pub(crate) config: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct PhaseArgs {
    #[command(flatten)]
    pub(crate) file: File,
    /// Toggle to show or to move
    pub(crate) toggle: Option<String>,
    /// Phase to move it to: a name or a number from 1 to 8
    pub(crate) phase: Option<String>,
    /// Overrides the guard for this written reason, which is recorded
    #[arg(long, value_name = "REASON", requires = "phase")]
    pub(crate) because: Option<String>,
    /// Waits until the phase is effective: no transaction of the phase before is left
    #[arg(long, requires = "phase")]
    pub(crate) wait: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ForgetArgs {
    #[command(flatten)]
    pub(crate) file: File,
    /// The proxy's name, as `crossfade status` shows it
    pub(crate) proxy: String,
    /// Why it will not come back; this is recorded
    #[arg(long, value_name = "REASON")]
    pub(crate) because: String,
}

#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    #[command(flatten)]
    pub(crate) file: File,
    /// As JSON, the same as /status of the admin port
    #[arg(long)]
    pub(crate) json: bool,
    /// Asks the proxy whose admin port this is, without reading the file
    #[arg(long, value_name = "IP:PORT", conflicts_with = "config")]
    pub(crate) admin: Option<SocketAddr>,
}

#[derive(Debug, Args)]
pub(crate) struct JobArgs {
    #[command(flatten)]
    pub(crate) file: File,
    /// Only this table, by its name in the old store; all mapped tables otherwise
    #[arg(long, value_name = "TABLE")]
    pub(crate) table: Option<String>,
    /// From the new store to the old
    #[arg(long)]
    pub(crate) reverse: bool,
}

#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {
    #[command(flatten)]
    pub(crate) job: JobArgs,
    /// Repairs what differs
    #[arg(long)]
    pub(crate) repair: bool,
    /// Shows the differing values too: they are the application's data
    #[arg(long)]
    pub(crate) values: bool,
}

#[derive(Debug, Args)]
pub(crate) struct UsersArgs {
    #[command(subcommand)]
    pub(crate) command: UsersCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum UsersCommand {
    /// Writes the file that users.file names, from the login roles of the old store and their passwords as it keeps them
    Import(ImportArgs),
}

#[derive(Debug, Args)]
pub(crate) struct ImportArgs {
    #[command(flatten)]
    pub(crate) file: File,
    /// Only this role, which replaces what the list has of it; may be given several times. Without any, the list is made anew of all login roles
    #[arg(long, value_name = "NAME")]
    pub(crate) role: Vec<String>,
}

/// Kinds of store that the demo can move to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum NewStore {
    /// Another PostgreSQL server
    Postgres,
    /// A MongoDB replica set
    Mongodb,
}

/// What `crossfade demo` takes.
#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// Leaves the servers and their data in place at the end and says where
    #[arg(long)]
    pub(crate) keep: bool,
    /// What the shop moves to
    #[arg(long, value_name = "STORE", value_enum, default_value_t = NewStore::Postgres)]
    pub(crate) new: NewStore,
    /// Seconds of traffic in each phase
    #[arg(long, value_name = "N")]
    pub(crate) seconds: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_file_may_stand_before_and_after_the_words() {
        for line in [
            ["crossfade", "phase", "-c", "x.toml", "shop", "dual-write"],
            ["crossfade", "phase", "shop", "dual-write", "-c", "x.toml"],
        ] {
            let Command::Phase(args) = Cli::try_parse_from(line).unwrap().command else {
                panic!("another command")
            };
            assert_eq!(args.file.config, PathBuf::from("x.toml"));
            assert_eq!(
                (args.toggle.as_deref(), args.phase.as_deref()),
                (Some("shop"), Some("dual-write"))
            );
        }
    }

    #[test]
    fn a_reason_without_a_phase_is_wrong_usage() {
        let error =
            Cli::try_parse_from(["crossfade", "phase", "shop", "--because", "x"]).unwrap_err();
        assert_eq!(error.exit_code(), 2);
    }
}
