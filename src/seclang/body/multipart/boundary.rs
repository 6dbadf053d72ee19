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
    let mut found = parameters.split(|&byte| byte == b';').filter_map(|parameter| {
        let equals = memchr::memchr(b'=', parameter)?;
        let (name, value) = parameter.split_at_checked(equals)?;
        name.trim_ascii().eq_ignore_ascii_case(b"boundary").then(|| (name, value.get(1..).unwrap_or_default()))
    });
    let Some((name, value)) = found.next() else { return Err("the content type names no boundary".to_owned()) };
    // A comma instead of a semicolon would hide the second one in the first.
    let hidden = value.windows(b"boundary=".len()).any(|window| window.eq_ignore_ascii_case(b"boundary="));
    if found.next().is_some() || hidden {
        return Err("the content type names more than one boundary".to_owned());
    }
    let value_trimmed = value.trim_ascii_start();
    flags.boundary_whitespace |= name.last().is_some_and(u8::is_ascii_whitespace) || value_trimmed.len() != value.len();
    let boundary = match value_trimmed.strip_prefix(b"\"") {
        Some(quoted) => {
            flags.boundary_quoted = true;
            let Some(end) = memchr::memchr(b'"', quoted) else { return Err("the boundary's quotes do not end".to_owned()) };
            if !quoted.get(end + 1..).unwrap_or_default().trim_ascii().is_empty() {
                return Err("something follows the boundary's quotes".to_owned());
            }
            quoted.get(..end).unwrap_or_default()
        }
        None => {
            flags.boundary_whitespace |= value_trimmed.last().is_some_and(u8::is_ascii_whitespace);
            value_trimmed.trim_ascii_end()
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
