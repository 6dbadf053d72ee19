//! Body parsers: what a request body holds, as names and values that rules can look at.
//!
//! No parser stops a request by itself. Each gives what it found until it met a mistake, and the mistake: rules decide.

mod url_encoded;

pub mod json;
pub mod multipart;
pub mod xml;

pub use url_encoded::{UrlEncoded, url_encoded};

/// Default of [`Limits::arguments_max`]: `SecArgumentsLimit` as ModSecurity recommends it.
pub const ARGUMENTS_MAX: usize = 1_000;

/// Default of [`Limits::depth_max`]: `SecRequestBodyJsonDepthLimit` as ModSecurity recommends it.
pub const DEPTH_MAX: usize = 512;

/// Default of [`Limits::files_max`]: `SecUploadFileLimit` of ModSecurity 2.
pub const FILES_MAX: usize = 100;

/// Default of [`Limits::name_bytes_max`]. A name is the path to a value and is written anew for each value below it, so
/// without a bound a long key over many values would multiply the body.
pub const NAME_BYTES_MAX: usize = 4 * 1024;

/// Default of [`Limits::header_bytes_max`]: longer part headers serve nobody; ModSecurity 2 has the same number.
pub const HEADER_BYTES_MAX: usize = 4 * 1024;

/// Default of [`Limits::headers_max`]: browsers send two or three a part.
pub const HEADERS_MAX: usize = 32;

/// Default of [`Limits::entity_bytes_max`]: enough for names of symbols, too little for a "billion laughs".
pub const ENTITY_BYTES_MAX: usize = 64 * 1024;

/// [`Limits::nodes_max`] where a rule follows paths: some 6 MB of nodes.
pub const NODES_MAX: usize = 100_000;

/// Bounds of one body. Past any of them the parser stops and says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most arguments, multipart parts, or XML attributes.
    pub arguments_max: usize,
    /// Deepest nesting of JSON arrays and objects, or of XML elements.
    pub depth_max: usize,
    /// Most uploaded files.
    pub files_max: usize,
    /// Longest name of an argument, in bytes.
    pub name_bytes_max: usize,
    /// Longest header of a multipart part, in bytes, folded lines included.
    pub header_bytes_max: usize,
    /// Most headers of a multipart part.
    pub headers_max: usize,
    /// Most text that XML entities may expand to, in bytes, in one body.
    pub entity_bytes_max: usize,
    /// Most elements and pieces of text of an XML body that are kept for paths; 0 keeps none and counts none.
    pub nodes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            arguments_max: ARGUMENTS_MAX,
            depth_max: DEPTH_MAX,
            files_max: FILES_MAX,
            name_bytes_max: NAME_BYTES_MAX,
            header_bytes_max: HEADER_BYTES_MAX,
            headers_max: HEADERS_MAX,
            entity_bytes_max: ENTITY_BYTES_MAX,
            nodes_max: 0,
        }
    }
}

/// A name and its value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Argument {
    /// The name, for example `user.0`.
    pub name: Vec<u8>,
    /// The value.
    pub value: Vec<u8>,
}

/// Why a body was not understood: the text of `REQBODY_ERROR_MSG`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BodyError {
    /// Where in the body, in bytes from its start.
    pub offset: usize,
    /// What is wrong, as a sentence without a full stop.
    pub message: String,
    /// Whether a limit of ours was hit, as opposed to a mistake in the body.
    pub limit: bool,
}

impl BodyError {
    fn mistake(offset: usize, message: impl Into<String>) -> Self {
        Self { offset, message: message.into(), limit: false }
    }

    fn limit(offset: usize, message: impl Into<String>) -> Self {
        Self { offset, message: message.into(), limit: true }
    }
}

impl std::fmt::Display for BodyError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{} (at byte {})", self.message, self.offset)
    }
}

impl std::error::Error for BodyError {}
