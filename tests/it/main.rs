//! The one integration test binary. Each module says in its first line what belongs there.
#![allow(clippy::unwrap_used, reason = "a test that panics fails")]
#![allow(clippy::print_stdout, reason = "a skipped test says why")]

mod accounts;
mod apache;
mod auth_apache;
mod auth_cli;
mod backend;
mod binary_check;
mod binary_demo;
mod binary_readme;
mod binary_run;
mod browser;
mod canary;
mod certificates;
mod check;
mod conformance;
mod console;
mod deep;
mod deep_accounts;
mod deep_application;
mod deep_audit;
mod deep_console;
mod deep_modsecurity;
mod deep_seclang;
mod deeper_upstream;
mod export;
mod floors;
mod gateway;
mod modsecurity;
mod ntlm;
mod policy;
mod program;
mod receivers;
mod rehearsal;
mod shipping;
mod tls;
mod tools;
mod tricks;
mod upstream;
mod walk;
mod wire;
