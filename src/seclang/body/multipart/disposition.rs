//! The value of a part's `Content-Disposition`.

/// What it says.
#[derive(Debug, Default)]
pub(super) struct Disposition {
    pub(super) name: Option<Vec<u8>>,
    pub(super) filename: Option<Vec<u8>>,
    /// A value is quoted as no browser does it.
    pub(super) invalid_quoting: bool,
    /// It is not `form-data` with one of each parameter.
    pub(super) invalid: bool,
}

/// Reads `form-data; name="..."; filename="..."`. Of `filename*` (RFC 8187, which RFC 7578 forbids here) the text is
/// taken as it is where there is no `filename`, and the part counts as invalid: back ends differ in which they follow.
pub(super) fn parse(value: &[u8]) -> Disposition {
    let mut found = Disposition::default();
    let value = value.trim_ascii();
    let kind_length = value.iter().position(|&byte| byte == b';').unwrap_or(value.len());
    let (kind, mut rest) = value.split_at_checked(kind_length).unwrap_or((value, &[]));
    found.invalid |= !kind.trim_ascii().eq_ignore_ascii_case(b"form-data");
    while let Some(behind) = rest.strip_prefix(b";") {
        let behind = behind.trim_ascii_start();
        if behind.is_empty() {
            break;
        }
        let Some(equals) = behind.iter().position(|byte| matches!(byte, b'=' | b';')).filter(|&at| behind.get(at) == Some(&b'=')) else {
            found.invalid = true;
            break;
        };
        let (key, text) = behind.split_at_checked(equals).unwrap_or_default();
        let text = text.get(1..).unwrap_or_default();
        found.invalid_quoting |= key.last().is_some_and(u8::is_ascii_whitespace) || text.first().is_some_and(u8::is_ascii_whitespace);
        let (value, after) = parameter(text.trim_ascii_start(), &mut found.invalid_quoting);
        found.take(key.trim_ascii(), value);
        rest = after.trim_ascii_start();
    }
    found.invalid |= !rest.is_empty() && !rest.starts_with(b";");
    found
}

impl Disposition {
    fn take(&mut self, key: &[u8], value: Vec<u8>) {
        let slot = match key.to_ascii_lowercase().as_slice() {
            b"name" => &mut self.name,
            b"filename" => &mut self.filename,
            b"filename*" => {
                self.invalid = true;
                self.filename.get_or_insert(value);
                return;
            }
            _ => return,
        };
        if slot.is_some() {
            self.invalid = true;
        } else {
            *slot = Some(value);
        }
    }
}

/// A value in quotes or bare, and what stands behind it.
fn parameter<'a>(text: &'a [u8], invalid_quoting: &mut bool) -> (Vec<u8>, &'a [u8]) {
    let (quote, quoted) = match text {
        [quote @ (b'"' | b'\''), quoted @ ..] => (*quote, quoted),
        _ => {
            let end = text.iter().position(|&byte| byte == b';').unwrap_or(text.len());
            let (value, behind) = text.split_at_checked(end).unwrap_or((text, &[]));
            *invalid_quoting |= value.iter().any(|byte| matches!(byte, b'"' | b'\'' | b'\\'));
            return (value.trim_ascii_end().to_vec(), behind);
        }
    };
    // Single quotes are read as quotes by some back ends.
    *invalid_quoting |= quote == b'\'';
    let mut value = Vec::new();
    let mut rest = quoted;
    loop {
        match rest {
            [byte, behind @ ..] if *byte == quote => return (value, behind),
            // Browsers escape a quote as %22; of the backslash forms only these two are read alike everywhere.
            [b'\\', escaped, behind @ ..] if *escaped == quote || *escaped == b'\\' => {
                value.push(*escaped);
                rest = behind;
            }
            [byte, behind @ ..] => {
                value.push(*byte);
                rest = behind;
            }
            [] => {
                *invalid_quoting = true;
                return (value, rest);
            }
        }
    }
}
