//! `normalizePath`: one spelling for a path.

/// Removes empty segments, `.` and, with the segment before them, `..`. An absolute path does not
/// rise above its root; a relative one keeps the `..` that lead out of it. A slash at the end stays.
///
/// `SecRule REQUEST_FILENAME "@beginsWith /admin" "id:1,phase:1,deny,t:normalizePath"`
///
/// Manual: Transformation functions, normalizePath (ModSecurity 3: normalisePath).
pub(super) fn apply(input: &[u8]) -> Option<Vec<u8>> {
    let absolute = input.first() == Some(&b'/');
    let mut segments: Vec<&[u8]> = Vec::new();
    for segment in input.split(|&byte| byte == b'/') {
        match segment {
            b"" | b"." => {}
            b".." => match segments.last() {
                Some(&last) if last != b".." => {
                    segments.pop();
                }
                _ if absolute => {}
                _ => segments.push(segment),
            },
            _ => segments.push(segment),
        }
    }
    let mut out = Vec::with_capacity(input.len());
    for segment in &segments {
        if absolute || !out.is_empty() {
            out.push(b'/');
        }
        out.extend_from_slice(segment);
    }
    if (absolute && out.is_empty()) || (input.last() == Some(&b'/') && !out.is_empty()) {
        out.push(b'/');
    }
    Some(out)
}
