//! `@validateByteRange`: a byte outside the allowed ones is in the value.

/// Takes bytes and ranges in decimal (`10,13,32-126`) and is true where a byte of the value is none of them.
///
/// `SecRule ARGS "@validateByteRange 10,13,32-126" "id:1,phase:2,deny"`
///
/// Manual: Operators, validateByteRange.
#[derive(Debug)]
pub struct ByteRange {
    allowed: Box<[bool; 256]>,
}

impl ByteRange {
    pub(super) fn compile(argument: &str) -> Result<Self, String> {
        let mut allowed = Box::new([false; 256]);
        for word in argument.split(',').map(str::trim).filter(|word| !word.is_empty()) {
            let (first, last) = word.split_once('-').unwrap_or((word, word));
            let number = |text: &str| text.trim().parse::<u8>().map_err(|_| format!("`{word}` is not a byte or a range of bytes (0-255)"));
            let (first, last) = (number(first)?, number(last)?);
            if first > last {
                return Err(format!("the range `{word}` runs backwards"));
            }
            for byte in first..=last {
                allowed[usize::from(byte)] = true;
            }
        }
        if allowed.contains(&true) { Ok(Self { allowed }) } else { Err("@validateByteRange needs at least one byte or range".to_owned()) }
    }

    /// Whether the byte is one of the allowed ones.
    pub(crate) fn allows(&self, byte: u8) -> bool {
        self.allowed[usize::from(byte)]
    }

    pub(super) fn matches(&self, value: &[u8]) -> bool {
        value.iter().any(|&byte| !self.allowed[usize::from(byte)])
    }
}
