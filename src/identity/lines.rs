//! The lines of a users or group file as Apache reads them, with what is odd about each.

use crate::diagnostic::{Diagnostic, Place, Severity};
use crate::limits::AUTH_FILE_BYTES_MAX;
use std::io::Read;
use std::path::Path;

/// Diagnostics of one file that are worth reading; a file that is wrong altogether would give one per line.
const DIAGNOSTICS_MAX: usize = 100;

/// One line that holds something.
pub(super) struct Line<'a> {
    /// Counted from 1.
    pub(super) number: usize,
    /// Characters before `text`, which Apache skips.
    pub(super) indent: usize,
    /// The line without the white space around it.
    pub(super) text: &'a str,
}

/// Collects a file's diagnostics.
pub(super) struct Report<'a> {
    path: &'a Path,
    list: Vec<Diagnostic>,
    errors: bool,
}

impl<'a> Report<'a> {
    pub(super) fn new(path: &'a Path) -> Self {
        Self { path, list: Vec::new(), errors: false }
    }

    pub(super) fn add(&mut self, severity: Severity, place: Place, line_text: String, message: String, help: String) {
        self.errors |= severity == Severity::Error;
        if self.list.len() < DIAGNOSTICS_MAX {
            self.list.push(Diagnostic { severity, path: self.path.to_owned(), place: Some(place), line_text, message, help });
        }
    }

    /// Whether the file can be used, with what there is to say about it.
    pub(super) fn finish(self) -> (bool, Vec<Diagnostic>) {
        (!self.errors, self.list)
    }
}

/// Reads a users or group file whole.
///
/// # Errors
/// One diagnostic about the file: unreadable, or larger than [`AUTH_FILE_BYTES_MAX`].
pub(super) fn read(path: &Path) -> Result<Vec<u8>, Diagnostic> {
    let unreadable = |e: std::io::Error| {
        let help = "the file must exist and be readable by the account that the gateway runs under";
        Diagnostic::file(path, format!("cannot be read: {e}"), help)
    };
    let file = std::fs::File::open(path).map_err(unreadable)?;
    let mut content = Vec::new();
    file.take(AUTH_FILE_BYTES_MAX + 1).read_to_end(&mut content).map_err(unreadable)?;
    if content.len() as u64 > AUTH_FILE_BYTES_MAX {
        return Err(Diagnostic::file(
            path,
            format!("is larger than {AUTH_FILE_BYTES_MAX} bytes"),
            "split the users over several sites' files",
        ));
    }
    Ok(content)
}

/// Calls `each` for every line that is neither blank nor a comment. `mask` makes of a line what may be shown of it.
pub(super) fn each<'a>(
    content: &'a [u8],
    report: &mut Report<'_>,
    mask: fn(&str) -> String,
    mut each: impl FnMut(&mut Report<'_>, Line<'a>),
) {
    for (index, raw) in content.split(|&b| b == b'\n').enumerate() {
        let number = index + 1;
        let whole = |length: usize| Place::new(number, 1, length);
        let Ok(raw) = std::str::from_utf8(raw) else {
            let help = "save the file as UTF-8, for instance with iconv -f latin1 -t utf-8";
            report.add(Severity::Error, whole(1), "[not text]".into(), "this line is not UTF-8".into(), help.into());
            continue;
        };
        if index == 0 && raw.starts_with('\u{feff}') {
            let help = "save the file without a byte order mark: it would become part of the first name";
            report.add(
                Severity::Error,
                whole(1),
                mask(raw.trim_start_matches('\u{feff}')),
                "the file begins with a byte order mark".into(),
                help.into(),
            );
            continue;
        }
        let (line, crlf) = raw.strip_suffix('\r').map_or((raw, false), |line| (line, true));
        let text = line.trim_matches([' ', '\t']);
        if text.is_empty() || text.starts_with('#') {
            continue;
        }
        let shown = mask(text);
        let length = shown.chars().count();
        if let Some(at) = text.find(|c: char| c.is_control() && c != '\t') {
            // A column is only given where the text before it may be shown.
            let column = if shown.starts_with(&text[..at]) { text[..at].chars().count() + 1 } else { length };
            let place = Place::new(number, column, 1);
            report.add(Severity::Error, place, shown, "this line holds a control character".into(), "write the line anew".into());
            continue;
        }
        if crlf {
            let help = "Apache and Portcullis skip it; to be rid of it, save the file with Unix line ends";
            report.add(Severity::Warning, whole(length), shown.clone(), "this line ends with CR LF".into(), help.into());
        } else if text.len() != line.len() {
            let help = "Apache and Portcullis skip it; remove it lest somebody think that it counts";
            report.add(
                Severity::Warning,
                whole(length),
                shown.clone(),
                "this line has white space at its start or end".into(),
                help.into(),
            );
        }
        let indent = line.len() - line.trim_start_matches([' ', '\t']).len();
        each(report, Line { number, indent, text });
    }
}

/// A word as a shell takes it, for commands in help lines.
pub(super) fn shell_word(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./@+".contains(c);
    if !word.is_empty() && !word.starts_with('-') && word.chars().all(plain) {
        word.into()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}
