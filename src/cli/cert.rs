//! `portcullis cert`: makes self-signed certificates, tells how long the ones in use are good for.

use super::{FAILED, Format, NEGATIVE, OK, USAGE, report};
use crate::clock::Moment;
use crate::diagnostic::Diagnostic;
use crate::limits::CERTIFICATE_EXPIRY_WARNING;
use crate::tls::status::date;
use crate::tls::{CertificateStatus, SelfSignedError, certificate_status, self_signed};
use clap::{Args, Subcommand};
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// `portcullis cert ...`
#[derive(Debug, Subcommand)]
pub(crate) enum CertCommand {
    /// Make a certificate and key for trials, signed by itself
    SelfSigned(SelfSigned),
    /// Names, issuer and days left of certificates; exit 1 when one expires within 14 days or has expired
    Status(Status),
}

/// `portcullis cert self-signed`
#[derive(Debug, Args)]
pub(crate) struct SelfSigned {
    /// Host names, *.wildcards or IP addresses
    #[arg(required = true, value_name = "NAME")]
    names: Vec<String>,
    /// The folder to write NAME.crt and NAME.key to
    #[arg(long, value_name = "DIR", default_value = "certs")]
    out: PathBuf,
    /// Days it is valid
    #[arg(long, default_value_t = 365, value_parser = clap::value_parser!(u32).range(1..=3650))]
    days: u32,
    /// Replace files that are there
    #[arg(long)]
    force: bool,
}

/// `portcullis cert status`
#[derive(Debug, Args)]
pub(crate) struct Status {
    /// PEM files; without any, those that the policy names
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    #[command(flatten)]
    policy: super::PolicyFile,
}

/// Runs it; the exit code.
pub(crate) fn run(command: CertCommand, format: Format) -> i32 {
    match command {
        CertCommand::SelfSigned(command) => match write_self_signed(&command) {
            Ok((certificate, key)) => {
                print_made(&certificate, &key, format);
                OK
            }
            Err((code, message)) => {
                eprintln!("error: {message}");
                code
            }
        },
        CertCommand::Status(command) if command.files.is_empty() => match crate::policy::load(&command.policy.path) {
            Ok((policy, _)) => {
                let mut files: Vec<PathBuf> =
                    policy.sites.iter().filter_map(|s| s.certificate.as_ref()).map(|files| files.certificate.clone()).collect();
                files.sort();
                files.dedup();
                status(&files, format)
            }
            Err(found) => {
                report(&found);
                USAGE
            }
        },
        CertCommand::Status(command) => status(&command.files, format),
    }
}

fn print_made(certificate: &Path, key: &Path, format: Format) {
    match format {
        Format::Human => println!("certificate  {}\nkey          {}", certificate.display(), key.display()),
        Format::Json => {
            println!("{}", serde_json::json!({ "certificate": certificate.display().to_string(), "key": key.display().to_string() }));
        }
    }
}

/// Writes certificate and key; the error is an exit code with a sentence.
fn write_self_signed(command: &SelfSigned) -> Result<(PathBuf, PathBuf), (i32, String)> {
    let (certificate, key) = self_signed(&command.names, command.days).map_err(|e| match e {
        SelfSignedError::NoName | SelfSignedError::Failed(_) => (USAGE, e.to_string()),
    })?;
    let stem = command.names.first().map_or_else(String::new, |name| name.replace(['*', ':'], "_"));
    let certificate_path = command.out.join(format!("{stem}.crt"));
    let key_path = command.out.join(format!("{stem}.key"));
    if !command.force {
        for path in [&certificate_path, &key_path] {
            if path.symlink_metadata().is_ok() {
                return Err((NEGATIVE, format!("{} is there already; --force replaces it", path.display())));
            }
        }
    }
    let failed = |path: &Path, e: &io::Error| (FAILED, format!("{} cannot be written: {e}", path.display()));
    fs::create_dir_all(&command.out).map_err(|e| failed(&command.out, &e))?;
    write_new(&key_path, &key, 0o600).map_err(|e| failed(&key_path, &e))?;
    write_new(&certificate_path, &certificate, 0o644).map_err(|e| failed(&certificate_path, &e))?;
    Ok((certificate_path, key_path))
}

/// Writes beside the file and renames, so that there is never half a key, nor a moment in which others can read it.
fn write_new(path: &Path, content: &str, mode: u32) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let beside = path.with_file_name(name);
    match fs::remove_file(&beside) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, mode);
    #[cfg(not(unix))]
    let _ = mode;
    let mut file = options.open(&beside)?;
    file.write_all(content.as_bytes())?;
    file.sync_all()?;
    fs::rename(&beside, path)
}

fn status(files: &[PathBuf], format: Format) -> i32 {
    let now = i64::try_from(Moment::now().unix_micros / 1_000_000).unwrap_or(i64::MAX);
    let (mut wrong, mut ending) = (Vec::new(), false);
    for file in files {
        match certificate_status(file) {
            Ok(status) => {
                ending |= ends_soon(&status, now);
                match format {
                    Format::Human => println!("{}", human(&status, now)),
                    Format::Json => println!("{}", json(&status, now)),
                }
            }
            Err(diagnostic) => wrong.push(diagnostic),
        }
    }
    report(&wrong);
    exit_code(&wrong, ending)
}

fn exit_code(wrong: &[Diagnostic], ending: bool) -> i32 {
    match (wrong.is_empty(), ending) {
        (false, _) => USAGE,
        (true, true) => NEGATIVE,
        (true, false) => OK,
    }
}

fn ends_soon(status: &CertificateStatus, now: i64) -> bool {
    status.not_after - now < i64::try_from(CERTIFICATE_EXPIRY_WARNING.as_secs()).unwrap_or(i64::MAX)
}

fn human(status: &CertificateStatus, now: i64) -> String {
    let days = status.days_left(now);
    let left = match days {
        _ if status.not_after <= now => "EXPIRED".to_owned(),
        _ if status.not_before > now => "not valid yet".to_owned(),
        1 => "1 day left".to_owned(),
        _ => format!("{days} days left"),
    };
    let names = if status.names.is_empty() { "none".to_owned() } else { status.names.join(", ") };
    format!(
        "{}\n  names        {names}\n  issuer       {}\n  valid        {} to {} ({left})\n  fingerprint  SHA-256 {}",
        status.path.display(),
        status.issuer,
        date(status.not_before),
        date(status.not_after),
        status.fingerprint,
    )
}

fn json(status: &CertificateStatus, now: i64) -> serde_json::Value {
    let time = |seconds: i64| jiff::Timestamp::from_second(seconds).map(|t| t.to_string()).unwrap_or_default();
    serde_json::json!({
        "path": status.path.display().to_string(),
        "names": status.names,
        "subject": status.subject,
        "issuer": status.issuer,
        "not_before": time(status.not_before),
        "not_after": time(status.not_after),
        "days_left": status.days_left(now),
        "expired": status.not_after <= now,
        "fingerprint_sha256": status.fingerprint,
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn self_signed_in(out: &Path, days: u32, force: bool) -> Result<(PathBuf, PathBuf), (i32, String)> {
        write_self_signed(&SelfSigned { names: vec!["*.example.com".into(), "192.0.2.1".into()], out: out.into(), days, force })
    }

    #[cfg(unix)]
    #[test]
    fn a_key_is_for_its_owner_alone_and_never_replaced_by_accident() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("certs");
        let (certificate, key) = self_signed_in(&out, 30, false).unwrap();
        assert_eq!(certificate.file_name().unwrap(), "_.example.com.crt");
        assert_eq!(fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
        let before = fs::read(&key).unwrap();
        assert_eq!(self_signed_in(&out, 30, false).unwrap_err().0, NEGATIVE);
        assert_eq!(fs::read(&key).unwrap(), before);
        self_signed_in(&out, 30, true).unwrap();
        assert_ne!(fs::read(&key).unwrap(), before);
        assert_eq!(fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(&out).unwrap().count(), 2);
    }

    #[test]
    fn status_is_negative_when_a_certificate_ends_within_two_weeks() {
        let folder = tempfile::tempdir().unwrap();
        for (days, code) in [(30, OK), (13, NEGATIVE)] {
            let (certificate, _) = self_signed_in(&folder.path().join(days.to_string()), days, false).unwrap();
            assert_eq!(status(std::slice::from_ref(&certificate), Format::Human), code, "{days}");
            assert_eq!(status(&[certificate, folder.path().join("missing")], Format::Json), USAGE);
        }
    }
}
