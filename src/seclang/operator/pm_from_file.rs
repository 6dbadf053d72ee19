//! `@pmFromFile` (`@pmf`): one of the phrases in a file is in the value.

use super::pm::Pm;
use crate::source::FileSource;

/// Takes one or more files with one phrase a line. Blanks at both ends do not count, nor do empty lines and
/// lines that begin with `#`.
///
/// `SecRule REQUEST_HEADERS:User-Agent "@pmFromFile scanners.data" "id:1,phase:1,deny"`
///
/// Manual: Operators, pmFromFile, pmf.
pub(super) fn compile(argument: &str, files: &dyn FileSource, rule_path: &str) -> Result<Pm, String> {
    Pm::from_phrases(lines(argument, files, rule_path)?.into_iter()).map_err(|reason| format!("{argument}: {reason}"))
}

/// The lines that count in the files that `argument` names.
pub(super) fn lines(argument: &str, files: &dyn FileSource, rule_path: &str) -> Result<Vec<Vec<u8>>, String> {
    if argument.split_whitespace().next().is_none() {
        return Err("the name of a file is missing".to_owned());
    }
    let mut lines = Vec::new();
    for path in argument.split_whitespace() {
        if path.starts_with("https://") || path.starts_with("http://") {
            return Err(format!("{path}: lists are not fetched over the network; save it as a file and name that"));
        }
        let text = files.read(path, rule_path).map_err(|reason| format!("{path}: {reason}"))?;
        let kept = text.split(|&byte| byte == b'\n').map(<[u8]>::trim_ascii).filter(|line| !line.is_empty() && !line.starts_with(b"#"));
        lines.extend(kept.map(<[u8]>::to_vec));
    }
    Ok(lines)
}
