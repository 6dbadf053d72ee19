//! Which bytes a value must hold for a transformation to change it.

use super::ByteSet;
use crate::transform::Transformation;

/// A value without any of these bytes stays as it is; none where every value may change. A test tries it with arbitrary bytes.
pub(crate) fn triggers(transformation: Transformation) -> Option<ByteSet> {
    use Transformation as T;
    let any = |bytes: &'static [u8]| Some(ByteSet::of(|byte| bytes.contains(&byte)));
    // Blanks of C's isspace, NUL, and the no-break space of ISO 8859-1, which some transformations count as one.
    const BLANKS: &[u8] = b" \t\n\r\x0B\x0C\x00\xA0\x85";
    match transformation {
        T::None => any(b""),
        // A slash and a bracket take away blanks before them, so that there are blanks.
        T::CmdLine => Some(ByteSet::of(|byte| byte.is_ascii_uppercase() || b"\\\"'^ ,;\t\r\n".contains(&byte))),
        T::CompressWhitespace | T::RemoveWhitespace | T::Trim | T::TrimLeft | T::TrimRight => any(BLANKS),
        T::CssDecode | T::EscapeSeqDecode | T::JsDecode => any(b"\\"),
        T::HtmlEntityDecode => any(b"&"),
        T::Lowercase => Some(ByteSet::of(|byte| byte.is_ascii_uppercase())),
        T::Uppercase => Some(ByteSet::of(|byte| byte.is_ascii_lowercase())),
        T::NormalizePath => any(b"/."),
        T::NormalizePathWin => any(b"/.\\"),
        T::ParityZero7bit | T::Utf8ToUnicode => Some(ByteSet::of(|byte| !byte.is_ascii())),
        // A comment with a slash has an asterisk, too.
        T::RemoveComments | T::RemoveCommentsChar => any(b"#-*<"),
        T::RemoveNulls | T::ReplaceNulls => any(b"\0"),
        T::ReplaceComments => any(b"*"),
        T::SqlHexDecode => any(b"xX"),
        T::UrlDecode | T::UrlDecodeUni | T::UrlDecodeUniMapped => any(b"%+"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use proptest::prelude::*;

    use super::*;

    /// Any, but mostly one that means something somewhere.
    fn byte() -> impl Strategy<Value = u8> {
        prop_oneof![prop::sample::select(b"/*-#<>!.\\&;%+'\"^ ,\t\r\n\0(aAxX0".to_vec()), any::<u8>()]
    }

    proptest! {
        #[test]
        fn a_value_without_the_bytes_of_a_transformation_stays(value in prop::collection::vec(byte(), 0..60)) {
            for transformation in Transformation::ALL {
                let Some(bytes) = triggers(*transformation) else { continue };
                let quiet: Vec<u8> = value.iter().copied().filter(|byte| !bytes.contains(*byte)).collect();
                let after = transformation.apply(Cow::Borrowed(&quiet));
                prop_assert_eq!(after.as_ref(), quiet.as_slice(), "{}", transformation.name());
            }
        }
    }
}
