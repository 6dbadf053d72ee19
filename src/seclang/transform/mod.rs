//! Transformations: what `t:` does to a value before an operator looks at it.

use std::borrow::Cow;

mod base64_decode;
mod base64_decode_ext;
mod base64_encode;
mod cmd_line;
mod code_page;
mod compress_whitespace;
mod css_decode;
pub(crate) mod digits;
mod escape_seq_decode;
mod hex_decode;
mod hex_encode;
mod html_entity_decode;
mod js_decode;
mod length;
mod lowercase;
mod md5;
mod normalize_path;
mod normalize_path_win;
mod parity_even_7bit;
mod parity_odd_7bit;
mod parity_zero_7bit;
mod remove_comments;
mod remove_comments_char;
mod remove_nulls;
mod remove_whitespace;
mod replace_comments;
mod replace_nulls;
mod sha1;
mod sql_hex_decode;
mod trim;
mod trim_left;
mod trim_right;
mod uppercase;
pub(crate) mod url_decode;
mod url_decode_uni;
mod url_encode;
mod utf8_to_unicode;

/// One transformation of the reference manual. `None` is `t:none`, which empties the list before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Transformation {
    /// `t:none`
    None,
    /// `t:base64Decode`
    Base64Decode,
    /// `t:base64DecodeExt`
    Base64DecodeExt,
    /// `t:base64Encode`
    Base64Encode,
    /// `t:cmdLine`
    CmdLine,
    /// `t:compressWhitespace`
    CompressWhitespace,
    /// `t:cssDecode`
    CssDecode,
    /// `t:escapeSeqDecode`
    EscapeSeqDecode,
    /// `t:hexDecode`
    HexDecode,
    /// `t:hexEncode`
    HexEncode,
    /// `t:htmlEntityDecode`
    HtmlEntityDecode,
    /// `t:jsDecode`
    JsDecode,
    /// `t:length`
    Length,
    /// `t:lowercase`
    Lowercase,
    /// `t:md5`
    Md5,
    /// `t:normalizePath`
    NormalizePath,
    /// `t:normalizePathWin`
    NormalizePathWin,
    /// `t:parityEven7bit`
    ParityEven7bit,
    /// `t:parityOdd7bit`
    ParityOdd7bit,
    /// `t:parityZero7bit`
    ParityZero7bit,
    /// `t:removeComments`
    RemoveComments,
    /// `t:removeCommentsChar`
    RemoveCommentsChar,
    /// `t:removeNulls`
    RemoveNulls,
    /// `t:removeWhitespace`
    RemoveWhitespace,
    /// `t:replaceComments`
    ReplaceComments,
    /// `t:replaceNulls`
    ReplaceNulls,
    /// `t:sha1`
    Sha1,
    /// `t:sqlHexDecode`
    SqlHexDecode,
    /// `t:trim`
    Trim,
    /// `t:trimLeft`
    TrimLeft,
    /// `t:trimRight`
    TrimRight,
    /// `t:uppercase`
    Uppercase,
    /// `t:urlDecode`
    UrlDecode,
    /// `t:urlDecodeUni`
    UrlDecodeUni,
    /// The same where `SecUnicodeMapFile` names code page 20127; no name of its own.
    UrlDecodeUniMapped,
    /// `t:urlEncode`
    UrlEncode,
    /// `t:utf8toUnicode`
    Utf8ToUnicode,
}

impl Transformation {
    /// Every transformation, in the order of the enum.
    pub const ALL: &[Self] = &[
        Self::None,
        Self::Base64Decode,
        Self::Base64DecodeExt,
        Self::Base64Encode,
        Self::CmdLine,
        Self::CompressWhitespace,
        Self::CssDecode,
        Self::EscapeSeqDecode,
        Self::HexDecode,
        Self::HexEncode,
        Self::HtmlEntityDecode,
        Self::JsDecode,
        Self::Length,
        Self::Lowercase,
        Self::Md5,
        Self::NormalizePath,
        Self::NormalizePathWin,
        Self::ParityEven7bit,
        Self::ParityOdd7bit,
        Self::ParityZero7bit,
        Self::RemoveComments,
        Self::RemoveCommentsChar,
        Self::RemoveNulls,
        Self::RemoveWhitespace,
        Self::ReplaceComments,
        Self::ReplaceNulls,
        Self::Sha1,
        Self::SqlHexDecode,
        Self::Trim,
        Self::TrimLeft,
        Self::TrimRight,
        Self::Uppercase,
        Self::UrlDecode,
        Self::UrlDecodeUni,
        Self::UrlEncode,
        Self::Utf8ToUnicode,
    ];

    /// The most bytes it makes of so many.
    pub fn output_bytes_max(self, input_bytes: usize) -> usize {
        match self {
            Self::HexEncode => input_bytes.saturating_mul(2),
            Self::Base64Encode => input_bytes.div_ceil(3).saturating_mul(4),
            // `%41` of one byte.
            Self::UrlEncode => input_bytes.saturating_mul(3),
            // `%u0000` and a byte of two, where they are longer than the character needs.
            Self::Utf8ToUnicode => input_bytes.saturating_mul(7).div_ceil(2),
            Self::Md5 => 16,
            Self::Sha1 => 20,
            // The number in decimal.
            Self::Length => 20,
            _ => input_bytes,
        }
    }

    /// Other spellings.
    pub const ALIASES: &[(&str, Self)] = &[("normalisePath", Self::NormalizePath), ("normalisePathWin", Self::NormalizePathWin)];

    /// The transformation of that name, in any case and in the spelling of ModSecurity 2 or 3.
    pub fn parse(name: &str) -> Option<Self> {
        let own = Self::ALL.iter().copied().find(|known| known.name().eq_ignore_ascii_case(name));
        own.or_else(|| Self::ALIASES.iter().find(|alias| alias.0.eq_ignore_ascii_case(name)).map(|alias| alias.1))
    }

    /// The name as the reference manual spells it.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Base64Decode => "base64Decode",
            Self::Base64DecodeExt => "base64DecodeExt",
            Self::Base64Encode => "base64Encode",
            Self::CmdLine => "cmdLine",
            Self::CompressWhitespace => "compressWhitespace",
            Self::CssDecode => "cssDecode",
            Self::EscapeSeqDecode => "escapeSeqDecode",
            Self::HexDecode => "hexDecode",
            Self::HexEncode => "hexEncode",
            Self::HtmlEntityDecode => "htmlEntityDecode",
            Self::JsDecode => "jsDecode",
            Self::Length => "length",
            Self::Lowercase => "lowercase",
            Self::Md5 => "md5",
            Self::NormalizePath => "normalizePath",
            Self::NormalizePathWin => "normalizePathWin",
            Self::ParityEven7bit => "parityEven7bit",
            Self::ParityOdd7bit => "parityOdd7bit",
            Self::ParityZero7bit => "parityZero7bit",
            Self::RemoveComments => "removeComments",
            Self::RemoveCommentsChar => "removeCommentsChar",
            Self::RemoveNulls => "removeNulls",
            Self::RemoveWhitespace => "removeWhitespace",
            Self::ReplaceComments => "replaceComments",
            Self::ReplaceNulls => "replaceNulls",
            Self::Sha1 => "sha1",
            Self::SqlHexDecode => "sqlHexDecode",
            Self::Trim => "trim",
            Self::TrimLeft => "trimLeft",
            Self::TrimRight => "trimRight",
            Self::Uppercase => "uppercase",
            Self::UrlDecode => "urlDecode",
            Self::UrlDecodeUni | Self::UrlDecodeUniMapped => "urlDecodeUni",
            Self::UrlEncode => "urlEncode",
            Self::Utf8ToUnicode => "utf8toUnicode",
        }
    }

    /// Whether its outcome is one more text for `multiMatch` even where it is the same text: these say so of every value in ModSecurity 2, and
    /// rules that count points count them so.
    pub fn always_counts(self) -> bool {
        matches!(self, Self::CmdLine | Self::HexDecode | Self::HexEncode | Self::Length | Self::Md5 | Self::Sha1 | Self::SqlHexDecode)
    }

    /// The value after the transformation. A value that does not change is handed back as it came,
    /// so a borrowed result means that nothing happened.
    pub fn apply<'a>(self, input: Cow<'a, [u8]>) -> Cow<'a, [u8]> {
        let changed = match self {
            Self::None => None,
            Self::Base64Decode => base64_decode::apply(&input),
            Self::Base64DecodeExt => base64_decode_ext::apply(&input),
            Self::Base64Encode => base64_encode::apply(&input),
            Self::CmdLine => cmd_line::apply(&input),
            Self::CompressWhitespace => compress_whitespace::apply(&input),
            Self::CssDecode => css_decode::apply(&input),
            Self::EscapeSeqDecode => escape_seq_decode::apply(&input),
            Self::HexDecode => hex_decode::apply(&input),
            Self::HexEncode => hex_encode::apply(&input),
            Self::HtmlEntityDecode => html_entity_decode::apply(&input),
            Self::JsDecode => js_decode::apply(&input),
            Self::Length => length::apply(&input),
            Self::Lowercase => lowercase::apply(&input),
            Self::Md5 => md5::apply(&input),
            Self::NormalizePath => normalize_path::apply(&input),
            Self::NormalizePathWin => normalize_path_win::apply(&input),
            Self::ParityEven7bit => parity_even_7bit::apply(&input),
            Self::ParityOdd7bit => parity_odd_7bit::apply(&input),
            Self::ParityZero7bit => parity_zero_7bit::apply(&input),
            Self::RemoveComments => remove_comments::apply(&input),
            Self::RemoveCommentsChar => remove_comments_char::apply(&input),
            Self::RemoveNulls => remove_nulls::apply(&input),
            Self::RemoveWhitespace => remove_whitespace::apply(&input),
            Self::ReplaceComments => replace_comments::apply(&input),
            Self::ReplaceNulls => replace_nulls::apply(&input),
            Self::Sha1 => sha1::apply(&input),
            Self::SqlHexDecode => sql_hex_decode::apply(&input),
            Self::Trim => trim::apply(&input),
            Self::TrimLeft => trim_left::apply(&input),
            Self::TrimRight => trim_right::apply(&input),
            Self::Uppercase => uppercase::apply(&input),
            Self::UrlDecode => url_decode::apply(&input),
            Self::UrlDecodeUni => url_decode_uni::apply(&input, false),
            Self::UrlDecodeUniMapped => url_decode_uni::apply(&input, true),
            Self::UrlEncode => url_encode::apply(&input),
            Self::Utf8ToUnicode => utf8_to_unicode::apply(&input),
        };
        match changed {
            Some(output) if *output != *input => Cow::Owned(output),
            _ => input,
        }
    }
}
