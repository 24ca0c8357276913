//! The `crossfade` binary: reads the command line, builds everything from the checked file, and runs it.
//!
//! This is the composition root. [`app`] holds what lives as long as the process, [`flip`] moves toggles, [`around`] looks for writers
//! that go around the proxy, [`jobs`] runs the reconciler,
//! [`serve`] adds the listeners and the tasks in the background, [`admin`] is the HTTP port, [`command`] is what operators type.

#[macro_use]
mod out;

mod admin;
mod app;
mod around;
mod cli;
mod command;
mod control;
mod demo;
mod failure;
mod flip;
mod jobs;
mod logging;
mod metrics;
mod reads;
mod serve;
mod status;
mod text;

use std::process::ExitCode;

use clap::Parser as _;

use cli::{Cli, Command, UsersCommand};
use failure::Failure;

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Demo(args) => return demo::run(args),
        Command::Serve(file) => serve::run(&file.config),
        Command::Check(file) => command::check::run(&file.config),
        Command::Phase(args) => command::phase::run(&args),
        Command::Status(args) => command::status::run(&args),
        Command::Backfill(args) => command::job::backfill(&args),
        Command::Verify(args) => command::job::verify(&args),
        Command::Repair(args) => command::job::repair(&args),
        Command::Forget(args) => command::forget::run(&args),
        Command::Users(args) => match args.command {
            UsersCommand::Import(args) => command::users::import(&args),
        },
    };
    match outcome {
        Ok(code) => code,
        Err(failure) => report(&failure),
    }
}

fn report(failure: &Failure) -> ExitCode {
    eprintln!("crossfade: {failure}");
    failure.exit_code()
}
