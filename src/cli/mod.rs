//! The command line: one file per command, and the only place that prints.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "commands talk to people")]

mod audit;
mod auth;
mod cert;
mod check;
mod demo;
mod run;
mod test;

use crate::diagnostic::Diagnostic;
use clap::{Parser, Subcommand, ValueEnum};
use std::path::PathBuf;
use std::process::ExitCode;

/// What a command ends with (`conventions`): 0 ok.
pub(crate) const OK: i32 = 0;
/// A negative result.
pub(crate) const NEGATIVE: i32 = 1;
/// Configuration or usage.
pub(crate) const USAGE: i32 = 2;
/// Internal or I/O.
pub(crate) const FAILED: i32 = 3;

/// How a command prints its data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Human,
    /// One JSON value, or one per line.
    Json,
}

#[derive(Debug, Parser)]
#[command(name = "portcullis", version, about = "The one way from outside to your internal web applications", max_term_width = 100)]
struct Cli {
    /// How data is printed
    #[arg(long, global = true, value_enum, default_value_t)]
    format: Format,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// A gateway with everything embedded, to try: sample application, certificate, two users, rules; Ctrl-C ends it
    Demo(demo::DemoCommand),
    /// Run the gateway
    Run(PolicyFile),
    /// Read the policy and every file it names, and report all mistakes in one run
    Check(PolicyFile),
    /// Run regression tests of rules and policies, in process or against a running gateway; exit 1 when one fails
    Test(Box<test::TestCommand>),
    /// What the audit trail says
    #[command(subcommand)]
    Audit(Box<audit::AuditCommand>),
    /// Users, passwords and groups
    #[command(subcommand)]
    Auth(auth::AuthCommand),
    /// Certificates
    #[command(subcommand)]
    Cert(cert::CertCommand),
}

/// The one option of commands that need the policy.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct PolicyFile {
    /// The policy
    #[arg(short = 'c', long = "config", value_name = "FILE", default_value = "policies/gateway.toml")]
    pub(crate) path: PathBuf,
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let code = match cli.command {
        Command::Demo(command) => demo::run(&command),
        Command::Run(file) => run::run(&file),
        Command::Check(file) => check::run(&file, cli.format),
        Command::Test(command) => test::run(&command, cli.format),
        Command::Audit(command) => audit::run(&command, cli.format),
        Command::Auth(command) => auth::run(command, cli.format),
        Command::Cert(command) => cert::run(command, cli.format),
    };
    ExitCode::from(u8::try_from(code).unwrap_or(3))
}

/// Prints diagnostics to standard error, one empty line between them.
pub(crate) fn report(diagnostics: &[Diagnostic]) {
    for (i, diagnostic) in diagnostics.iter().enumerate() {
        if i > 0 {
            eprintln!();
        }
        eprintln!("{diagnostic}");
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn every_command_line_can_be_parsed() {
        super::Cli::command().debug_assert();
    }
}
