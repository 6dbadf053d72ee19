//! `@strmatch`: the text is somewhere in the value, compiled once.

use memchr::memmem;

/// True where the argument, taken as it is written, stands somewhere in the value. The manual promises a
/// Boyer-Moore-Horspool search: what counts is that the needle is prepared once.
///
/// `SecRule REQUEST_HEADERS:User-Agent "@strmatch WebZIP" "id:1,phase:1,deny"`
///
/// Manual: Operators, strmatch.
#[derive(Debug)]
pub struct StrMatch(memmem::Finder<'static>);

impl StrMatch {
    pub(super) fn compile(argument: &str) -> Self {
        Self(memmem::Finder::new(argument.as_bytes()).into_owned())
    }

    /// The text that is looked for.
    pub(crate) fn text(&self) -> &[u8] {
        self.0.needle()
    }

    pub(super) fn matches(&self, value: &[u8]) -> bool {
        self.0.find(value).is_some()
    }
}
