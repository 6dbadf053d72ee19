//! The command line: one file per command, and the only place that prints.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "commands talk to people")]

mod audit;
mod auth;
mod cert;
mod check;
mod demo;
mod run;
mod test;

use crate::audit::export::Form;
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

/// What `--format` takes: the forms for people and programs, and those that only `audit export` writes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum AnyFormat {
    #[default]
    Human,
    Json,
    #[value(hide = true)]
    Ecs,
    #[value(hide = true)]
    Ocsf,
    #[value(hide = true)]
    ModsecJson,
    #[value(hide = true)]
    Csv,
}

impl AnyFormat {
    /// The form of an export; `None` for people's.
    fn form(self) -> Option<Form> {
        match self {
            Self::Human => None,
            Self::Json => Some(Form::Json),
            Self::Ecs => Some(Form::Ecs),
            Self::Ocsf => Some(Form::Ocsf),
            Self::ModsecJson => Some(Form::ModsecJson),
            Self::Csv => Some(Form::Csv),
        }
    }

    /// The format of every other command; `None` where it has no such.
    fn format(self) -> Option<Format> {
        match self {
            Self::Human => Some(Format::Human),
            Self::Json => Some(Format::Json),
            Self::Ecs | Self::Ocsf | Self::ModsecJson | Self::Csv => None,
        }
    }
}

#[derive(Debug, Parser)]
#[command(name = "portcullis", version, about = "The one way from outside to your internal web applications", max_term_width = 100)]
struct Cli {
    /// How data is printed
    #[arg(long, global = true, value_enum, default_value_t)]
    format: AnyFormat,
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
    let is_export = matches!(&cli.command, Command::Audit(command) if command.is_export());
    let Some(format) = cli.format.format().or(is_export.then_some(Format::Json)) else {
        eprintln!("error: this --format is for `portcullis audit export`; here it is human or json");
        return ExitCode::from(2);
    };
    let form = cli.format.form();
    let code = match cli.command {
        Command::Demo(command) => demo::run(&command),
        Command::Run(file) => run::run(&file),
        Command::Check(file) => check::run(&file, format),
        Command::Test(command) => test::run(&command, format),
        Command::Audit(mut command) => {
            command.export_as(form);
            audit::run(&command, format)
        }
        Command::Auth(command) => auth::run(command, format),
        Command::Cert(command) => cert::run(command, format),
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
