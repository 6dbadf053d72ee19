//! Transformations: the cases in `tests/transform/NAME.txt`, and what holds for all of them.

use std::borrow::Cow;

use proptest::prelude::*;
use seclang::transform::Transformation;

use crate::cases::{self, Word};

#[test]
fn cases_give_what_they_say() {
    let mut failures = Vec::new();
    let mut seen = Vec::new();
    for (name, cases) in cases::read("transform") {
        let transformation = Transformation::parse(&name).unwrap_or_else(|| panic!("no transformation is called {name}"));
        assert!(!cases.is_empty(), "{name}.txt has no case");
        seen.push(transformation);
        for case in cases {
            let (input, wanted) = match case.words.as_slice() {
                [Word::Value(input), Word::Bare(arrow), Word::Value(output)] if arrow == "->" => (input, Some(output)),
                [Word::Value(input), Word::Bare(word)] if word == "unchanged" => (input, None),
                words => panic!("{}: not a case: {words:?}", case.place),
            };
            let got = transformation.apply(Cow::Borrowed(input));
            let borrowed = matches!(got, Cow::Borrowed(_));
            if wanted.is_none() != borrowed || *got != **wanted.unwrap_or(input) {
                failures.push(format!("{}: got \"{}\"", case.place, got.escape_ascii()));
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    let missing: Vec<_> = Transformation::ALL.iter().filter(|known| !seen.contains(known)).collect();
    assert!(missing.is_empty(), "no cases for {missing:?}");
}

#[test]
fn names_are_read_back_in_any_case() {
    for &transformation in Transformation::ALL {
        assert_eq!(Transformation::parse(transformation.name()), Some(transformation));
        assert_eq!(Transformation::parse(&transformation.name().to_uppercase()), Some(transformation));
    }
    assert_eq!(Transformation::parse("normalisePathWin"), Some(Transformation::NormalizePathWin));
    assert_eq!(Transformation::parse("normalisePath"), Some(Transformation::NormalizePath));
    assert_eq!(Transformation::parse("rot13"), None);
}

/// Bytes that the decoders look at, so that random input meets their branches.
fn spiced() -> impl Strategy<Value = Vec<u8>> {
    let pieces = prop_oneof![
        proptest::collection::vec(any::<u8>(), 1..4),
        proptest::sample::select(vec![
            "\\",
            "\\u",
            "\\x",
            "%",
            "%u",
            "%4",
            "&#",
            "&#x",
            "&lt",
            ";",
            "/*",
            "*/",
            "--",
            "#",
            "<!--",
            "-->",
            "0x",
            "ff",
            "FF",
            "0",
            "7",
            "/",
            "..",
            ".",
            " ",
            "\n",
            "+",
            "\u{e9}",
            "\u{1f600}",
        ])
        .prop_map(|text| text.as_bytes().to_vec()),
    ];
    proptest::collection::vec(pieces, 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn nothing_panics_and_ownership_makes_no_difference(input in spiced()) {
        for &transformation in Transformation::ALL {
            let borrowed = transformation.apply(Cow::Borrowed(&input));
            let owned = transformation.apply(Cow::Owned(input.clone()));
            prop_assert_eq!(&borrowed, &owned);
            prop_assert_eq!(matches!(borrowed, Cow::Borrowed(_)), *borrowed == *input);
        }
    }
}

/// Done twice they do what they do once.
const IDEMPOTENT: [Transformation; 12] = [
    Transformation::None,
    Transformation::CmdLine,
    Transformation::CompressWhitespace,
    Transformation::Lowercase,
    Transformation::NormalizePath,
    Transformation::ParityZero7bit,
    Transformation::RemoveNulls,
    Transformation::RemoveWhitespace,
    Transformation::ReplaceNulls,
    Transformation::Trim,
    Transformation::TrimLeft,
    Transformation::Uppercase,
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn none_makes_more_than_it_says(input in spiced()) {
        for &transformation in Transformation::ALL {
            let output = transformation.apply(Cow::Borrowed(&input)).len();
            prop_assert!(output <= transformation.output_bytes_max(input.len()), "{transformation:?}: {output} of {}", input.len());
        }
    }

    #[test]
    fn some_do_the_same_once_and_twice(input in spiced()) {
        for transformation in IDEMPOTENT {
            let once = transformation.apply(Cow::Borrowed(&input)).into_owned();
            prop_assert_eq!(&*transformation.apply(Cow::Borrowed(&once)), &*once, "{:?}", transformation);
        }
    }

    #[test]
    fn what_is_encoded_is_decoded_again(input in proptest::collection::vec(any::<u8>(), 0..60)) {
        use Transformation::{Base64Decode, Base64Encode, HexDecode, HexEncode, UrlDecode, UrlEncode};
        for (encode, decode) in [(Base64Encode, Base64Decode), (HexEncode, HexDecode), (UrlEncode, UrlDecode)] {
            let encoded = encode.apply(Cow::Borrowed(&input)).into_owned();
            prop_assert_eq!(&*decode.apply(Cow::Borrowed(&encoded)), &*input, "{:?}", encode);
        }
    }
}

/// What makes a naive decoder look at the same bytes again and again.
const HOSTILE: [&str; 16] = ["%", "%u", "&", "&a", "&#", "&#x1", "\\", "\\u", "/*", "<!--", "--", "../", "./", "0x", " ", "\u{e9}"];

#[test]
fn hostile_values_take_no_more_than_linear_time() {
    const BYTES: usize = 128 * 1024;
    for seed in HOSTILE {
        let value: Vec<u8> = seed.bytes().cycle().take(BYTES).collect();
        for &transformation in Transformation::ALL {
            let start = std::time::Instant::now();
            let _ = transformation.apply(Cow::Borrowed(&value));
            // Linear is some ten milliseconds unoptimised, square would be minutes: a busy machine does not matter.
            assert!(start.elapsed().as_secs() < 5, "{transformation:?} on {seed:?} took {:?}", start.elapsed());
        }
    }
}
