//! Condensed multipart bodies: what the parser finds in them is what it finds in the whole.

use proptest::prelude::*;
use seclang::body::Limits;
use seclang::body::multipart::{Condenser, parse};

const TYPE: &[u8] = b"multipart/form-data; boundary=b";

/// Feeds a body in pieces of this size.
fn condensed(body: &[u8], file_bytes_max: usize, piece: usize) -> seclang::body::multipart::Condensed {
    let mut condenser = Condenser::new(TYPE, file_bytes_max, Limits::default()).expect("a boundary");
    body.chunks(piece.max(1)).for_each(|piece| condenser.push(piece));
    condenser.finish()
}

fn piece() -> impl Strategy<Value = String> {
    let fixed = [
        "--b",
        "--b--",
        "--bb",
        "--b \t",
        "--",
        "-",
        "\r\n",
        "\r\n",
        "\r\n",
        "\n",
        "\r",
        " ",
        "\t",
        "a:b",
        ":",
        "x",
        "",
        "\u{1}",
        "Content-Disposition: form-data; name=\"a\"",
        "Content-Disposition: form-data; name=\"f\"; filename=\"g\"",
        "\r\n--b\r\nContent-Disposition: form-data; name=\"f\"; filename=\"g\"\r\n\r\n",
        "\r\n--b\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n",
        "\r\n--b--\r\n",
    ];
    prop_oneof![
        8 => proptest::sample::select(fixed.to_vec()).prop_map(str::to_owned),
        2 => (1_usize..60).prop_map(|count| "x".repeat(count)),
        1 => (200_usize..600).prop_map(|count| "-".repeat(count)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]
    #[test]
    fn the_parser_finds_in_the_condensed_body_what_is_in_the_whole(
        pieces in proptest::collection::vec(piece(), 0..40), file_bytes_max in 0_usize..80, size in 1_usize..50
    ) {
        let body = format!("--b\r\n{}", pieces.concat()).into_bytes();
        let condensed = condensed(&body, file_bytes_max, size);
        let (whole, kept) = (parse(&body, TYPE, &Limits::default()), parse(&condensed.body, TYPE, &Limits::default()));
        prop_assert_eq!(kept.error.as_ref().map(|e| &e.message), whole.error.as_ref().map(|e| &e.message));
        prop_assert_eq!(kept.flags, whole.flags);
        prop_assert_eq!(kept.parts.len(), whole.parts.len());
        let mut sizes = condensed.file_sizes.iter();
        for (kept, whole) in kept.parts.iter().zip(&whole.parts) {
            prop_assert_eq!((&kept.name, &kept.filename, &kept.headers), (&whole.name, &whole.filename, &whole.headers));
            let (of_kept, of_whole) = (&condensed.body[kept.content.clone()], &body[whole.content.clone()]);
            if whole.filename.is_none() {
                prop_assert_eq!(of_kept, of_whole);
            } else {
                prop_assert_eq!(sizes.next().copied(), Some(of_whole.len() as u64));
                let most = of_whole.len().min(file_bytes_max);
                // A line end at the cut may count as the boundary's.
                let start = of_whole[..most].iter().rposition(|byte| !b"\r\n".contains(byte)).map_or(0, |at| at + 1);
                prop_assert!(of_kept.starts_with(&of_whole[..start]));
            }
        }
        let again = self::condensed(&body, file_bytes_max, body.len());
        prop_assert_eq!(condensed, again, "how the pieces were cut makes no difference");
    }
}

#[test]
fn little_is_kept_of_a_large_file_and_its_size_is_known() {
    let content = "some line of a file\n".repeat(100_000);
    let head = "--b\r\nContent-Disposition: form-data; name=\"f\"; filename=\"g\"\r\n\r\n";
    let body = format!("{head}{content}\r\n--b\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nfield\r\n--b--\r\n");
    let condensed = condensed(body.as_bytes(), 1_000, 1_460);
    assert!(condensed.is_cut && condensed.body.len() < 1_200, "{}", condensed.body.len());
    assert_eq!(condensed.file_sizes, [content.len() as u64]);
    assert_eq!(parse(&condensed.body, TYPE, &Limits::default()).parts.len(), 2);
}
