//! `normalizePathWin`: `normalizePath` after backslashes have become slashes.

use super::normalize_path;

/// Turns backslashes into slashes, then does what `normalizePath` does.
///
/// `SecRule ARGS "@contains /windows/system32" "id:1,phase:2,deny,t:lowercase,t:normalizePathWin"`
///
/// Manual: Transformation functions, normalizePathWin (ModSecurity 3: normalisePathWin).
pub(super) fn apply(input: &[u8]) -> Option<Vec<u8>> {
    if memchr::memchr(b'\\', input).is_none() {
        return normalize_path::apply(input);
    }
    let slashes: Vec<u8> = input.iter().map(|&byte| if byte == b'\\' { b'/' } else { byte }).collect();
    normalize_path::apply(&slashes)
}
