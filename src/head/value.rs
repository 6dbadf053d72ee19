//! Values of header fields: bytes that cannot end a line.

use super::class::are_values;
use std::fmt;

/// A field value as it may stand in a head: tabs, spaces, visible ASCII and bytes above it (RFC 9110 section 5.5).
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Value<'a>(pub(super) &'a [u8]);

impl<'a> Value<'a> {
    /// A value; `None` where a byte is none of a value's.
    pub fn new(bytes: &'a [u8]) -> Option<Self> {
        are_values(bytes).then_some(Self(bytes))
    }

    /// A value of our own, for constants: a wrong one does not compile.
    ///
    /// # Panics
    /// Elsewhere, where a byte is none of a value's.
    pub const fn from_static(text: &'static str) -> Self {
        let bytes = text.as_bytes();
        let mut at = 0;
        while at < bytes.len() {
            assert!(bytes[at] == b'\t' || (bytes[at] >= b' ' && bytes[at] != 0x7F), "not a field value");
            at += 1;
        }
        Self(bytes)
    }

    /// The bytes.
    pub fn as_bytes(self) -> &'a [u8] {
        self.0
    }

    /// The value as text; `None` where it is not visible ASCII.
    pub fn text(self) -> Option<&'a str> {
        std::str::from_utf8(self.0).ok().filter(|text| text.is_ascii())
    }
}

impl fmt::Debug for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        String::from_utf8_lossy(self.0).fmt(f)
    }
}

impl PartialEq<str> for Value<'_> {
    fn eq(&self, other: &str) -> bool {
        self.0 == other.as_bytes()
    }
}

impl PartialEq<&str> for Value<'_> {
    fn eq(&self, other: &&str) -> bool {
        self.0 == other.as_bytes()
    }
}

/// A value that is kept: checked once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OwnValue(Box<[u8]>);

impl OwnValue {
    /// A value; `None` where a byte is none of a value's.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Option<Self> {
        let bytes = bytes.into();
        are_values(&bytes).then(|| Self(bytes.into()))
    }

    /// To be put among headers.
    pub fn get(&self) -> Value<'_> {
        Value(&self.0)
    }
}
