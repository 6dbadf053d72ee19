//! What the trail says about itself: lines of its own between those of requests.

use super::escape::push_text;
use super::json::{begin, number, schema, time};
use crate::limits::{RECORD_FIELD_BYTES_MAX, RECORD_LIST_MAX};

/// A line of the trail's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Control {
    /// Records that were lost: how many, when the first and the last.
    Gap { count: u64, from: u64, to: u64, reason: &'static str },
    /// Records that an earlier process may have lost; at most so many, where that can be known.
    GapMax { count_max: Option<u64>, from: u64, to: u64, reason: &'static str },
    /// A process began to write.
    Start(Start),
    /// A process ended as it should.
    Stop(Counters),
    /// The signed state of the chain.
    Checkpoint(Counters),
    /// A closed file is removed for its age.
    Retired(Retired),
    /// Writing went on in another file; the one before ends in a line cut short.
    Resume { file: String, torn_bytes: u64 },
    /// Refusals before auth that were counted, not written one by one.
    Flood(Flood),
    /// An account request was answered.
    Account(AccountDecision),
}

/// What became of an account request, and who decided.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccountDecision {
    /// The id of the event in which the account was asked for, which is this record's as well.
    pub request: String,
    /// `approved`, `rejected` or `expired`.
    pub answer: &'static str,
    /// When, RFC 3339.
    pub decided: String,
    /// The operator, as the system names them; empty where time decided.
    pub by: String,
    /// The site.
    pub site: String,
    /// The user name that was asked for.
    pub user: String,
    /// The groups that were joined.
    pub groups: Vec<String>,
}

/// How the process before ended: `none`, `clean`, `unclean`, `torn` (with the file and the bytes of a line cut short).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Start {
    pub(crate) previous: &'static str,
    pub(crate) torn_bytes: u64,
    pub(crate) file: Option<String>,
}

/// What the process has done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counters {
    /// Requests, tunnel ends and failed connections that were to be recorded.
    pub(crate) opened: u64,
    /// Those that have a record.
    pub(crate) written: u64,
    /// Those that are counted in gap records.
    pub(crate) dropped: u64,
    /// Those that are counted in flood records.
    pub(crate) merged: u64,
}

/// What a file held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Retired {
    pub(crate) file: String,
    pub(crate) first_sequence: u64,
    pub(crate) last_sequence: u64,
    pub(crate) last_hash: String,
}

/// Refusals of one address, or of many.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Flood {
    /// The address, the IPv6 network, or `any`.
    pub(crate) address: String,
    pub(crate) count: u64,
    pub(crate) from: u64,
    pub(crate) to: u64,
    /// Reasons with their counts.
    pub(crate) reasons: Vec<(&'static str, u64)>,
    /// Some of them, as JSON objects.
    pub(crate) samples: Vec<u8>,
}

impl Control {
    fn kind(&self) -> (&'static str, &'static str) {
        match self {
            Self::Gap { .. } | Self::GapMax { .. } => ("gap", "failure"),
            Self::Start(Start { previous: "unclean" | "torn", .. }) => ("start", "unknown"),
            Self::Start(_) => ("start", "success"),
            Self::Stop(_) => ("stop", "success"),
            Self::Checkpoint(_) => ("checkpoint", "success"),
            Self::Retired(_) => ("retired", "success"),
            Self::Resume { .. } => ("resume", "unknown"),
            Self::Flood(_) => ("flood", "failure"),
            Self::Account(_) => ("account", "success"),
        }
    }

    /// Whether its line is signed. `portcullis audit verify` takes none of these kinds without a signature.
    pub(crate) fn is_signed(&self) -> bool {
        SIGNED_KINDS.contains(&self.kind().0)
    }
}

/// Kinds of records that are signed.
pub(crate) const SIGNED_KINDS: [&str; 5] = ["start", "stop", "checkpoint", "retired", "resume"];

/// Appends a control record as a frame: without its sequence number, its chain and its end.
pub(crate) fn control(control: &Control, now: u64, out: &mut Vec<u8>) {
    let (kind, outcome) = control.kind();
    begin(out, now);
    if let Control::Account(decision) = control {
        word(out, b",\"id\":", &decision.request);
    }
    word(out, b",\"kind\":", kind);
    word(out, b",\"outcome\":", outcome);
    out.push(b'}');
    match control {
        Control::Gap { count, from, to, reason } => gap(out, b"{\"count\":", Some(*count), *from, *to, reason),
        Control::GapMax { count_max, from, to, reason } => gap(out, b"{\"count_max\":", *count_max, *from, *to, reason),
        Control::Start(start) => {
            word(out, b",\"trail\":{\"version\":", env!("CARGO_PKG_VERSION"));
            word(out, b",\"previous\":", start.previous);
            count(out, b",\"torn_bytes\":", start.torn_bytes);
            if let Some(file) = &start.file {
                word(out, b",\"file\":", file);
            }
            out.push(b'}');
        }
        Control::Stop(counters) | Control::Checkpoint(counters) => {
            count(out, b",\"trail\":{\"opened\":", counters.opened);
            count(out, b",\"written\":", counters.written);
            count(out, b",\"dropped\":", counters.dropped);
            count(out, b",\"merged\":", counters.merged);
            out.push(b'}');
        }
        Control::Retired(retired) => {
            word(out, b",\"trail\":{\"file\":", &retired.file);
            count(out, b",\"first_sequence\":", retired.first_sequence);
            count(out, b",\"last_sequence\":", retired.last_sequence);
            word(out, b",\"last_hash\":", &retired.last_hash);
            out.push(b'}');
        }
        Control::Resume { file, torn_bytes } => {
            word(out, b",\"trail\":{\"file\":", file);
            count(out, b",\"torn_bytes\":", *torn_bytes);
            out.push(b'}');
        }
        Control::Flood(flood) => push_flood(out, flood),
        Control::Account(decision) => push_account(out, decision),
    }
    schema(out);
}

fn gap(out: &mut Vec<u8>, key: &[u8], number: Option<u64>, from: u64, to: u64, reason: &str) {
    out.extend_from_slice(b",\"gap\":");
    match number {
        Some(number) => {
            count(out, key, number);
            out.push(b',');
        }
        None => out.push(b'{'),
    }
    moment(out, b"\"from\":", from);
    moment(out, b",\"to\":", to);
    word(out, b",\"reason\":", reason);
    out.push(b'}');
}

fn push_flood(out: &mut Vec<u8>, flood: &Flood) {
    word(out, b",\"flood\":{\"address\":", &flood.address);
    count(out, b",\"count\":", flood.count);
    moment(out, b",\"from\":", flood.from);
    moment(out, b",\"to\":", flood.to);
    let mut separator: &[u8] = b",\"reasons\":{\"";
    for (reason, number) in &flood.reasons {
        out.extend_from_slice(separator);
        out.extend_from_slice(reason.as_bytes());
        count(out, b"\":", *number);
        separator = b",\"";
    }
    out.extend_from_slice(if flood.reasons.is_empty() { b",\"reasons\":{}" } else { b"}" });
    out.extend_from_slice(b",\"samples\":[");
    out.extend_from_slice(&flood.samples);
    out.extend_from_slice(b"]}");
}

fn push_account(out: &mut Vec<u8>, decision: &AccountDecision) {
    word(out, b",\"user\":{\"name\":", cut(&decision.user));
    let mut separator: &[u8] = b",\"groups\":[";
    for group in decision.groups.iter().take(RECORD_LIST_MAX) {
        word(out, separator, cut(group));
        separator = b",";
    }
    out.extend_from_slice(if decision.groups.is_empty() { b"}" } else { b"]}" });
    word(out, b",\"account\":{\"answer\":", decision.answer);
    word(out, b",\"decided\":", &decision.decided);
    if !decision.by.is_empty() {
        word(out, b",\"by\":", cut(&decision.by));
    }
    out.push(b'}');
    word(out, b",\"site\":", cut(&decision.site));
}

/// The beginning of a text that is no longer than a record's fields may be.
fn cut(text: &str) -> &str {
    let mut end = text.len().min(RECORD_FIELD_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

fn word(out: &mut Vec<u8>, key: &[u8], word: &str) {
    out.extend_from_slice(key);
    out.push(b'"');
    push_text(out, word.as_bytes());
    out.push(b'"');
}

fn count(out: &mut Vec<u8>, key: &[u8], value: u64) {
    out.extend_from_slice(key);
    number(out, value);
}

fn moment(out: &mut Vec<u8>, key: &[u8], unix_micros: u64) {
    out.extend_from_slice(key);
    out.push(b'"');
    time(out, unix_micros);
    out.push(b'"');
}
