//! `@pm`: one of many phrases is in the value.

use aho_corasick::{AhoCorasick, AhoCorasickBuilder, MatchKind};

use super::Captures;
use crate::transform::digits::hex_byte;

/// Takes phrases separated by blanks; letters match in any case. Bytes may be written in hexadecimal
/// between bars (`|0d 0a|`). `TX:0` is the phrase that ends first, the longest of those that end there.
///
/// `SecRule REQUEST_HEADERS:User-Agent "@pm WebZIP WebCopier Webster" "id:1,phase:1,deny"`
///
/// Manual: Operators, pm.
#[derive(Debug)]
pub struct Pm {
    set: AhoCorasick,
    phrases: Vec<Vec<u8>>,
}

impl Pm {
    pub(super) fn compile(argument: &str) -> Result<Self, String> {
        let text = decode_bars(argument);
        Self::from_phrases(text.split(u8::is_ascii_whitespace).filter(|phrase| !phrase.is_empty()))
    }

    /// Builds the set of phrases.
    pub(super) fn from_phrases<P: AsRef<[u8]>>(phrases: impl Iterator<Item = P>) -> Result<Self, String> {
        // The standard semantics report the match that ends first, which is the one that
        // ModSecurity's own automaton stops at.
        let phrases: Vec<Vec<u8>> = phrases.map(|phrase| phrase.as_ref().to_vec()).collect();
        let mut builder = AhoCorasickBuilder::new();
        let set =
            builder.ascii_case_insensitive(true).match_kind(MatchKind::Standard).build(&phrases).map_err(|error| error.to_string())?;
        if phrases.is_empty() { Err("there is no phrase to look for".to_owned()) } else { Ok(Self { set, phrases }) }
    }

    /// The phrases as they were given.
    pub(crate) fn phrases(&self) -> &[Vec<u8>] {
        &self.phrases
    }

    pub(super) fn matches(&self, value: &[u8], captures: Option<&mut Captures>) -> bool {
        let Some(found) = self.set.find(value) else { return false };
        if let Some(captures) = captures {
            captures.clear();
            captures.set(0, value.get(found.range()).unwrap_or_default());
        }
        true
    }
}

/// Decodes `|41 42|`. Bars around anything else stand for themselves.
fn decode_bars(argument: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(argument.len());
    let mut rest = argument;
    while let Some((before, after)) = rest.split_once('|') {
        out.extend_from_slice(before.as_bytes());
        match after.split_once('|').and_then(|(inside, behind)| Some((hex_list(inside)?, behind))) {
            Some((bytes, behind)) => {
                out.extend(bytes);
                rest = behind;
            }
            None => {
                out.push(b'|');
                rest = after;
            }
        }
    }
    out.extend_from_slice(rest.as_bytes());
    out
}

fn hex_list(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<u8> = text.bytes().filter(|&byte| byte != b' ').collect();
    let pairs = digits.chunks_exact(2);
    if digits.is_empty() || !pairs.remainder().is_empty() {
        return None;
    }
    pairs.map(|pair| hex_byte(*pair.first()?, *pair.get(1)?)).collect()
}
