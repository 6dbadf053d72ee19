//! Verify: the loop that `@verifyCC` and its kin share: find candidates with a pattern, check their digits.

use super::rx::Rx;
use super::{Captures, Matched};

/// Most bytes of candidates that are looked at in one value. Candidates may overlap (a card number inside a longer
/// run of digits counts), so without a bound a long run would take time in the square of its length.
const CANDIDATE_BYTES_MAX: usize = 1024 * 1024;

/// A pattern for candidates and the check that makes one a match.
#[derive(Debug)]
pub struct Verify {
    candidates: Rx,
    check: fn(&[u8]) -> bool,
}

impl Verify {
    pub(super) fn compile(argument: &str, check: fn(&[u8]) -> bool) -> Result<Self, String> {
        Ok(Self { candidates: Rx::compile(argument)?, check })
    }

    pub(super) fn matches(&self, value: &[u8], captures: Option<&mut Captures>) -> Matched {
        let mut from = 0;
        let mut examined = 0_usize;
        loop {
            let found = match self.candidates.find_at(value, from) {
                Ok(Some(found)) => found,
                Ok(None) => return Matched::No,
                Err(reason) => return Matched::Error(reason),
            };
            let candidate = value.get(found.clone()).unwrap_or_default();
            if (self.check)(candidate) {
                if let Some(captures) = captures {
                    captures.clear();
                    captures.set(0, candidate);
                }
                return Matched::Yes;
            }
            examined += candidate.len();
            if examined > CANDIDATE_BYTES_MAX {
                return Matched::Error(format!("more than {CANDIDATE_BYTES_MAX} bytes of candidates in one value"));
            }
            from = found.start + 1;
        }
    }
}

/// The values of the digits in a candidate, separators left out.
pub(super) fn digits(candidate: &[u8]) -> Vec<u32> {
    candidate.iter().filter(|byte| byte.is_ascii_digit()).map(|byte| u32::from(byte - b'0')).collect()
}
