//! `@ipMatchFromFile` (`@ipMatchF`): the value is an address in the list that a file holds.

use super::addresses::Addresses;
use super::pm_from_file::lines;
use crate::source::FileSource;

/// Takes a file with one address or network a line; `#` begins a comment line.
///
/// `SecRule REMOTE_ADDR "@ipMatchFromFile ips.txt" "id:1,phase:1,deny"`
///
/// Manual: Operators, ipMatchFromFile, ipMatchF.
pub(super) fn compile(argument: &str, files: &dyn FileSource, rule_path: &str) -> Result<Addresses, String> {
    let mut words = Vec::new();
    for text in lines(argument, files, rule_path)? {
        words.push(String::from_utf8(text).map_err(|_| format!("{argument}: a line is not text"))?);
    }
    Addresses::build(words.iter().map(String::as_str)).map_err(|reason| format!("{argument}: {reason}"))
}
