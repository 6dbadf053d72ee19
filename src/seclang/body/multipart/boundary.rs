//! The boundary that a `Content-Type` names.

use super::Flags;

/// Longest boundary, in bytes (RFC 2046, section 5.1.1).
const BOUNDARY_BYTES_MAX: usize = 70;

/// Whether a boundary may hold the byte (RFC 2046, section 5.1.1, without the blank).
pub(super) fn is_boundary_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"'()+_,-./:=?".contains(&byte)
}

/// The boundary, or what is wrong with the header.
pub(super) fn from_content_type(content_type: &[u8], flags: &mut Flags) -> Result<Vec<u8>, String> {
    const TYPE: &[u8] = b"multipart/form-data";
    let content_type = content_type.trim_ascii();
    let Some((kind, parameters)) = content_type.split_at_checked(TYPE.len()).filter(|(kind, _)| kind.eq_ignore_ascii_case(TYPE)) else {
        return Err("the content type is not multipart/form-data".to_owned());
    };
    debug_assert_eq!(kind.len(), TYPE.len());
    if !parameters.trim_ascii_start().starts_with(b";") {
        flags.missing_semicolon = true;
    }
    let lower = parameters.to_ascii_lowercase();
    let mut places = memchr::memmem::find_iter(&lower, b"boundary");
    let Some(at) = places.next() else { return Err("the content type names no boundary".to_owned()) };
    // A boundary's value may hold the word too, as WebKit's does: only another parameter counts.
    let assigned = |place: usize| lower.get(place + 8..).is_some_and(|behind| behind.trim_ascii_start().starts_with(b"="));
    if places.any(assigned) {
        return Err("the content type names more than one boundary".to_owned());
    }
    if !lower.get(..at).unwrap_or_default().ends_with(b";")
        && !lower.get(..at).unwrap_or_default().ends_with(b" ")
        && !flags.missing_semicolon
    {
        return Err("the boundary parameter has another name".to_owned());
    }
    let behind = parameters.get(at + b"boundary".len()..).unwrap_or_default();
    let trimmed = behind.trim_ascii_start();
    let Some(value) = trimmed.strip_prefix(b"=") else { return Err("the boundary parameter has no value".to_owned()) };
    let value_trimmed = value.trim_ascii_start();
    flags.boundary_whitespace |= trimmed.len() != behind.len() || value_trimmed.len() != value.len();
    let boundary = match value_trimmed.strip_prefix(b"\"") {
        Some(quoted) => {
            flags.boundary_quoted = true;
            let Some(end) = memchr::memchr(b'"', quoted) else { return Err("the boundary's quotes do not end".to_owned()) };
            if !matches!(quoted.get(end + 1..).unwrap_or_default().trim_ascii_start().first(), None | Some(b';')) {
                return Err("something follows the boundary's quotes".to_owned());
            }
            quoted.get(..end).unwrap_or_default()
        }
        None => {
            let value = value_trimmed.split(|byte| *byte == b';').next().unwrap_or_default();
            flags.boundary_whitespace |= value.last().is_some_and(u8::is_ascii_whitespace);
            value.trim_ascii_end()
        }
    };
    if boundary.is_empty() || boundary.len() > BOUNDARY_BYTES_MAX {
        return Err(format!("the boundary is empty or longer than {BOUNDARY_BYTES_MAX} bytes"));
    }
    if let Some(byte) = boundary.iter().find(|&&byte| !is_boundary_byte(byte)) {
        return Err(format!("the boundary holds the byte `{}`", byte.escape_ascii()));
    }
    Ok(boundary.to_vec())
}
