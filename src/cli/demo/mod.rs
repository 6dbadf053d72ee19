//! `portcullis demo`: a whole gateway with nothing to set up, in front of a sample application, until Ctrl-C.

mod sample;

use super::{FAILED, OK, report, run::until_stopped};
use crate::identity;
use crate::server::{Gateway, StartError, prepare};
use crate::tls;
use std::fs;
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// Days the throw-away certificate lasts.
const CERTIFICATE_DAYS: u32 = 7;

/// Options of `demo`.
#[derive(Debug, clap::Args)]
pub(crate) struct DemoCommand {
    /// Where to listen, with TLS; port 0 is any free one
    #[arg(long, default_value = "127.0.0.1:8443")]
    address: SocketAddr,
}

/// A folder that goes with the process.
struct Folder(PathBuf);

impl Folder {
    fn new() -> io::Result<Self> {
        let random = getrandom::u64().map_err(io::Error::other)?;
        let path = std::env::temp_dir().join(format!("portcullis-demo-{random:016x}"));
        fs::DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Self(path))
    }

    fn write(&self, name: &str, text: &str) -> io::Result<()> {
        let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(self.0.join(name))?;
        file.write_all(text.as_bytes())
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

pub(super) fn run(command: &DemoCommand) -> i32 {
    match demo(command) {
        Ok(()) => OK,
        Err(StartError::Policy(mistakes)) => {
            report(&mistakes);
            FAILED
        }
        Err(StartError::System(why)) => {
            eprintln!("error: {why}");
            if why.contains("in use") {
                eprintln!("help: something else listens there; try: portcullis demo --address 127.0.0.1:0");
            }
            FAILED
        }
    }
}

fn demo(command: &DemoCommand) -> Result<(), StartError> {
    let system = |e: &dyn std::fmt::Display| StartError::System(e.to_string());
    let folder = Folder::new().map_err(|e| system(&e))?;
    let backend = sample::start().map_err(|e| system(&e))?;
    let (alice, bob) = (password().map_err(|e| system(&e))?, password().map_err(|e| system(&e))?);
    set_up(&folder, command.address, backend, &alice, &bob).map_err(|e| system(&e))?;
    let prepared = prepare(&folder.0.join("gateway.toml")).map_err(StartError::Policy)?;
    let gateway = Gateway::start(prepared)?;
    let address = gateway.addresses().first().map_or(command.address, |(address, _)| *address);
    print!("{}", introduction(address, &alice, &bob, &folder.0));
    io::stdout().flush().map_err(|e| system(&e))?;
    until_stopped(&gateway).map_err(|e| system(&e))?;
    println!("\nStopping; the demo's folder goes with it.");
    gateway.stop();
    Ok(())
}

/// A password that is easy to read and type, about 60 bits.
fn password() -> io::Result<String> {
    const LETTERS: &[u8; 32] = b"abcdefghjkmnpqrstuvwxyz23456789x";
    let mut random = [0_u8; 12];
    getrandom::fill(&mut random).map_err(io::Error::other)?;
    Ok(random.iter().map(|b| char::from(LETTERS[usize::from(b & 31)])).collect())
}

fn set_up(folder: &Folder, address: SocketAddr, backend: SocketAddr, alice: &str, bob: &str) -> io::Result<()> {
    let names = ["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
    let (certificate, key) = tls::self_signed(&names, CERTIFICATE_DAYS).map_err(io::Error::other)?;
    folder.write("demo.pem", &certificate)?;
    folder.write("demo.key", &key)?;
    let line = |user: &str, password: &str| {
        identity::password::hash(password.as_bytes(), identity::password::NewScheme::Bcrypt).map(|hash| format!("{user}:{hash}\n"))
    };
    let users = format!("{}{}", line("alice", alice).map_err(io::Error::other)?, line("bob", bob).map_err(io::Error::other)?);
    folder.write("htpasswd", &users)?;
    folder.write("groups", "staff: alice bob\nadmins: alice\n")?;
    let text = include_str!("gateway.toml").replace("{address}", &address.to_string()).replace("{backend}", &backend.to_string());
    folder.write("gateway.toml", &text)
}

fn introduction(address: SocketAddr, alice: &str, bob: &str, folder: &Path) -> String {
    let base = format!("https://{address}");
    let tries = [
        (format!("curl -k -u alice:{alice} {base}/"), "200: the application"),
        (format!("curl -k {base}/"), "401: who is it?"),
        (format!("curl -k -u bob:{bob} {base}/admin"), "403: not in the group admins"),
        (format!("curl -k -u alice:{alice} \"{base}/?id=1'+UNION+SELECT+password+FROM+users--\""), "403: an attack"),
        (format!("curl -k -u bob:{bob} \"{base}/limited?[1-6]\" -o /dev/null -w '%{{http_code}} '"), "200 three times, then 429"),
        (format!("curl -k -u alice:{alice} {base}/boom"), "500: the application's error, masked"),
    ];
    let width = tries.iter().map(|(command, _)| command.len()).max().unwrap_or(0);
    let tries: String = tries.iter().map(|(command, what)| format!("  {command:width$}   # {what}\n")).collect();
    format!(
        "Portcullis protects a sample application at {base}/

  user alice   password {alice}   (groups staff, admins)
  user bob     password {bob}   (group staff)

Try, from another terminal:

{tries}
Every request leaves a record:

  portcullis audit list --directory {folder}/audit
  portcullis audit follow --directory {folder}/audit

The policy that does all this: {folder}/gateway.toml
Ctrl-C ends the demo and removes that folder.
",
        folder = folder.display()
    )
}
