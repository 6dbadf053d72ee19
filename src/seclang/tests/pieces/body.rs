//! Body parsers: forms, multipart, JSON and XML, and that nothing panics or runs away on hostile ones.

use proptest::prelude::*;
use seclang::body::{Limits, json, multipart, url_encoded, xml};

fn pairs(arguments: &[seclang::body::Argument]) -> Vec<(String, String)> {
    let text = |bytes: &[u8]| bytes.escape_ascii().to_string();
    arguments.iter().map(|argument| (text(&argument.name), text(&argument.value))).collect()
}

fn owned(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn forms_are_split_before_they_are_decoded() {
    let form = url_encoded(b"a=1%262&a=b=c&&d&e%3Df=%41+b&", b'&', 100);
    assert_eq!(pairs(&form.arguments), owned(&[("a", "1&2"), ("a", "b=c"), ("", ""), ("d", ""), ("e=f", "A b")]));
    assert!(!form.invalid_encoding && !form.truncated);
    assert!(url_encoded(b"a=100%", b'&', 100).invalid_encoding);
    assert!(url_encoded(b"%zz", b'&', 100).invalid_encoding);
    let cut = url_encoded(b"a;b;c", b';', 2);
    assert_eq!(pairs(&cut.arguments), owned(&[("a", ""), ("b", "")]));
    assert!(cut.truncated && !url_encoded(b"a;b", b';', 2).truncated);
}

#[test]
fn json_is_flattened_and_equal_keys_are_both_seen() {
    let parsed = json::parse(
        br#" {"a":{"b":["x",1.5e3,{"c":null}]},"a":true,"e":{},"f":[], "\u0041\ud83d\ude00":"\"\/\u00e9\n"} "#,
        &Limits::default(),
    );
    assert_eq!(parsed.error, None);
    assert_eq!(
        pairs(&parsed.arguments),
        owned(&[
            ("a.b.0", "x"),
            ("a.b.1", "1.5e3"),
            ("a.b.2.c", ""),
            ("a.b", "3"),
            ("a", "true"),
            ("e", ""),
            ("f", ""),
            (r"A\xf0\x9f\x98\x80", r#"\"/\xc3\xa9\n"#),
        ])
    );
    assert_eq!(pairs(&json::parse(b"\"top\"", &Limits::default()).arguments), owned(&[("", "top")]));
    let names = |body: &[u8]| pairs(&json::parse(body, &Limits::default()).arguments);
    assert_eq!(names(br#"[1,{"a":[]}]"#), owned(&[("array.0", "1"), ("array.1.a", "")]));
    assert_eq!(names(br#"{"":{"":1},"a":{}}"#), owned(&[(".", "1"), ("a", "")]));
    assert_eq!((names(b"{}"), names(b"[]")), (owned(&[]), owned(&[])), "nothing has a name there");
}

#[test]
fn json_mistakes_are_exact_and_what_came_before_is_kept() {
    let cases: &[(&[u8], usize, &str)] = &[
        (b"", 0, "ends too early"),
        (b"{\"a\":1", 6, "ends too early"),
        (b"{\"a\":1,}", 7, "key has to be a string"),
        (b"[1,]", 3, "a value is missing"),
        (b"[1 2]", 3, "comma"),
        (b"{a:1}", 1, "key has to be a string"),
        (b"{\"a\" 1}", 5, "colon"),
        (b"[1}", 2, "other kind"),
        (b"01", 0, "zero"),
        (b"1.", 2, "digit"),
        (b"-", 1, "digit"),
        (b"tru", 0, "none of true"),
        (b"1 1", 2, "follows"),
        (b"\"a", 2, "does not end"),
        (b"\"\n\"", 1, "control"),
        (b"\"\\x\"", 1, "escape"),
        (b"\"\\u12\"", 1, "four"),
        (b"'a'", 0, "a value is missing"),
        (b"/* c */1", 0, "a value is missing"),
        (b"\xEF\xBB\xBF1", 0, "a value is missing"),
    ];
    for (body, offset, part) in cases {
        let error = json::parse(body, &Limits::default()).error.unwrap_or_else(|| panic!("no error: {}", body.escape_ascii()));
        assert!(error.offset == *offset && error.message.contains(part) && !error.limit, "{}: {error}", body.escape_ascii());
    }
    let parsed = json::parse(b"{\"q\":\"<script>\",", &Limits::default());
    assert_eq!(pairs(&parsed.arguments), owned(&[("q", "<script>")]));
    assert!(parsed.error.is_some());
}

#[test]
fn json_limits_hold() {
    let limits = Limits { arguments_max: 3, depth_max: 4, name_bytes_max: 20, ..Limits::default() };
    for body in [&b"[1,2,3,4]"[..], b"[[[[[1]]]]]", b"{\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaa\":1}"] {
        assert!(json::parse(body, &limits).error.is_some_and(|error| error.limit), "{}", body.escape_ascii());
    }
    assert_eq!(json::parse(b"[[[[1]]]]", &limits).error, None);
    let deep = [vec![b'['; 1_000_000], vec![b']'; 1_000_000]].concat();
    assert!(json::parse(&deep, &Limits::default()).error.is_some_and(|error| error.limit));
}

#[test]
fn xml_gives_text_and_attributes() {
    let body = br#"<?xml version="1.0" encoding="UTF-8"?><!-- no --><!DOCTYPE a [<!ENTITY who "O&apos;Brien"><!ELEMENT a ANY>]>
<a x="1 &lt; 2" xmlns:n='u'><n:b y='&#x41;&#66;'/>one<![CDATA[<two>]]><!-- no -->&who;<?pi no?></a>
"#;
    let parsed = xml::parse(body, &Limits::default());
    assert_eq!(parsed.error, None);
    assert_eq!(parsed.text.escape_ascii().to_string(), r"one<two>O\'Brien");
    assert_eq!(pairs(&parsed.attributes), owned(&[("x", "1 < 2"), ("y", "AB")]));
}

#[test]
fn xml_mistakes_are_said_and_nothing_is_fetched() {
    let cases: &[(&str, &str)] = &[
        ("", "no element"),
        ("<a>", "does not end"),
        ("<a></b>", "`b` ends where `a` is open"),
        ("</a>", "not open"),
        ("<a/><b/>", "more than one root"),
        ("text", "outside"),
        ("<a x=1/>", "quotes"),
        ("<a x/>", "no value"),
        ("<a x='1'y='2'/>", "blank"),
        ("<a x='<'/>", "`<`"),
        ("<a>&nothing;</a>", "not declared"),
        ("<a>a & b</a>", "ampersand"),
        ("<a>&#0xZ;</a>", "not declared"),
        ("<!DOCTYPE a [<!ENTITY e SYSTEM \"file:///etc/passwd\">]><a>&e;</a>", "not fetched"),
        ("<!DOCTYPE a [<!ENTITY % p \"x\">]><a/>", "parameter"),
        ("<?xml version='1.0' encoding='UTF-7'?><a/>", "encoding"),
        ("\u{0}<a/>", "ASCII"),
        ("<!-- <a/>", "does not end"),
    ];
    for (body, part) in cases {
        let error = xml::parse(body.as_bytes(), &Limits::default()).error.unwrap_or_else(|| panic!("no error: {body}"));
        assert!(error.message.contains(part), "{body}: {error}");
    }
    assert_eq!(xml::parse(b"<!DOCTYPE a SYSTEM \"http://x/y.dtd\"><a/>", &Limits::default()).error, None);
}

#[test]
fn xml_entities_do_not_explode() {
    let mut body = b"<!DOCTYPE a [<!ENTITY e0 \"ha\">".to_vec();
    for level in 1..30 {
        let declaration = format!("<!ENTITY e{level} \"{}\">", format!("&e{};", level - 1).repeat(10));
        body.extend_from_slice(declaration.as_bytes());
    }
    body.extend_from_slice(b"]><a>&e7;</a>");
    let parsed = xml::parse(&body, &Limits::default());
    assert!(parsed.error.is_some_and(|error| error.limit));
    assert!(parsed.text.len() < 100_000);
    let itself = xml::parse(b"<!DOCTYPE a [<!ENTITY e \"&e;\">]><a>&e;</a>", &Limits::default());
    assert!(itself.error.is_some_and(|error| error.limit));
}

const TYPE: &[u8] = b"multipart/form-data; boundary=xyz";

fn field(name: &str, value: &str) -> String {
    format!("--xyz\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
}

#[test]
fn multipart_parts_are_read_and_a_browsers_body_raises_no_flag() {
    let body = format!(
        "{}--xyz\r\nContent-Disposition: form-data; name=\"f\"; filename=\"a \\\"b\\\".txt\"\r\nContent-Type: text/plain\r\n\r\none\ntwo\r\n\r\n--xyz--\r\n",
        field("a", "1")
    );
    let parsed = multipart::parse(body.as_bytes(), TYPE, &Limits::default());
    assert_eq!(parsed.error, None);
    assert!(!parsed.flags.strict_error() && !parsed.flags.crlf_lf_lines() && parsed.flags.unmatched_boundary == 0, "{:?}", parsed.flags);
    let [first, second] = parsed.parts.as_slice() else { panic!("two parts") };
    assert_eq!((first.name.as_slice(), first.filename.is_none(), &body.as_bytes()[first.content.clone()]), (&b"a"[..], true, &b"1"[..]));
    assert_eq!(second.filename.as_deref(), Some(&b"a \"b\".txt"[..]));
    assert_eq!(&body.as_bytes()[second.content.clone()], b"one\ntwo\r\n");
    assert_eq!(second.headers[1], b"Content-Type: text/plain");
}

#[test]
fn multipart_deviations_raise_their_flags() {
    let good = format!("{}--xyz--\r\n", field("a", "1"));
    let flags = |body: &str, content_type: &str| multipart::parse(body.as_bytes(), content_type.as_bytes(), &Limits::default()).flags;
    let kind = "multipart/form-data; boundary=xyz";
    assert!(flags(&good, "multipart/form-data; boundary=\"xyz\"").boundary_quoted);
    assert!(flags(&good, "multipart/form-data; boundary= xyz").boundary_whitespace);
    assert!(flags(&good, "multipart/form-data boundary=xyz").missing_semicolon);
    assert!(flags(&format!("junk\r\n{good}"), kind).data_before);
    assert!(flags(&format!("{good}junk"), kind).data_after);
    let bare = flags(&good.replace("\r\n", "\n"), kind);
    assert!(bare.lf_line && !bare.crlf_lf_lines());
    assert!(flags(&good.replacen("\r\n", "\n", 1), kind).crlf_lf_lines());
    assert!(flags(&good.replace("; name", ";\r\n name"), kind).header_folding);
    assert!(flags(&good.replace("Content-D", " x\r\nContent-D"), kind).invalid_header_folding);
    assert!(flags(&good.replace("\"a\"", "'a'"), kind).invalid_quoting);
    assert!(flags(&good.replace("\"a\"", "\"a"), kind).invalid_quoting);
    assert!(flags(&good.replace("name=\"a\"", "name=\"a\"; name=\"b\""), kind).invalid_part);
    assert!(flags(&good.replace("form-data; n", "attachment; n"), kind).invalid_part);
    assert_eq!(flags(&good.replace("\r\n1\r\n", "\r\n--other\r\n"), kind).unmatched_boundary, 1);
    assert_eq!(flags(&good.replace("\r\n1\r\n", "\r\n-- a signature\r\n"), kind).unmatched_boundary, 2);
}

#[test]
fn multipart_mistakes_end_the_reading() {
    let good = format!("{}--xyz--\r\n", field("a", "1"));
    let error = |body: &str, content_type: &str| {
        multipart::parse(body.as_bytes(), content_type.as_bytes(), &Limits::default()).error.map(|error| error.message).unwrap_or_default()
    };
    let kind = "multipart/form-data; boundary=xyz";
    assert!(error(&good, "multipart/form-data").contains("no boundary"));
    assert!(error(&good, "multipart/form-data; boundary=a; boundary=b").contains("more than one"));
    assert!(error(&good, "multipart/form-data; boundary=a\u{1}b").contains("byte"));
    assert!(error(&good, "multipart/form-data; boundary=").contains("empty"));
    assert!(error(&good, "multipart/form-data; xboundary=xyz").contains("no boundary"));
    assert!(error(&good, "multipart/form-data; boundary=a,boundary=b").contains("more than one"));
    assert_eq!(error(&good.replace("xyz", "boundary"), "multipart/form-data; charset=utf-8; boundary=boundary"), "");
    assert!(error(&good, "multipart/mixed; boundary=xyz").contains("not multipart/form-data"));
    assert!(error(&good.replace("name=\"a\"", "x=\"a\""), kind).contains("no name"));
    assert!(error(&field("a", "1"), kind).contains("last boundary"));
    assert!(error("nothing", kind).contains("does not come"));
    assert!(error("--xyz\r\nContent", kind).contains("do not end"));
    assert!(error("--xyz\r\nno colon\r\n\r\n", kind).contains("colon"));
    assert!(error(&good.replace("--xyz--", "--xyz --"), kind).contains("white space"));
}

#[test]
fn multipart_limits_hold() {
    let limits = Limits { files_max: 1, arguments_max: 3, header_bytes_max: 100, headers_max: 2, ..Limits::default() };
    let file = "--xyz\r\nContent-Disposition: form-data; name=\"f\"; filename=\"a\"\r\n\r\n1\r\n".repeat(2) + "--xyz--\r\n";
    let parsed = multipart::parse(file.as_bytes(), TYPE, &limits);
    assert!(parsed.flags.file_limit_exceeded && parsed.parts.len() == 1);
    for body in [field("a", "1").repeat(4) + "--xyz--\r\n", field(&"a".repeat(100), "1"), format!("--xyz\r\n{}\r\n", "a: b\r\n".repeat(3))]
    {
        assert!(multipart::parse(body.as_bytes(), TYPE, &limits).error.is_some_and(|error| error.limit), "{body}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3_000))]

    #[test]
    fn no_body_panics(body in "[{}\\[\\]\",:0-9a\\\\u<>/!&;='x?\\-\r\n \u{0}\u{e9}]{0,80}", kind in "[;= \"xyzboundary]{0,20}") {
        let limits = Limits { arguments_max: 5, depth_max: 5, ..Limits::default() };
        let _ = json::parse(body.as_bytes(), &limits);
        let _ = xml::parse(body.as_bytes(), &limits);
        let _ = url_encoded(body.as_bytes(), b'&', 5);
        let _ = multipart::parse(body.as_bytes(), format!("multipart/form-data{kind}").as_bytes(), &limits);
        let body = format!("--x\r\nContent-Disposition: form-data; {kind}\r\n{body}\r\n--x\r\n{body}--x--");
        let parsed = multipart::parse(body.as_bytes(), b"multipart/form-data; boundary=x", &limits);
        for part in parsed.parts {
            prop_assert!(body.as_bytes().get(part.content).is_some());
        }
    }

    #[test]
    fn json_agrees_with_a_general_parser_on_what_is_valid(body in "[{}\\[\\]\",:0-9.eE+\\-a\\\\utrfalsn ]{0,12}") {
        let ours = json::parse(body.as_bytes(), &Limits::default()).error.is_none();
        let theirs = serde_json::from_str::<serde_json::Value>(&body);
        // The general parser refuses lone surrogates and numbers past a float's range; ours only reads on.
        let differs = body.contains("\\u") || body.contains(['e', 'E']);
        prop_assert!(ours == theirs.is_ok() || differs, "{}: ours {}, theirs {:?}", body, ours, theirs);
    }
}

#[test]
fn hostile_bodies_take_no_more_than_linear_time() {
    const BYTES: usize = 512 * 1024;
    let limits = Limits { arguments_max: usize::MAX, depth_max: usize::MAX, headers_max: usize::MAX, ..Limits::default() };
    for seed in [
        "&",
        "a=%",
        "[",
        "{\"a\":",
        "[1,",
        "\"\\",
        "<a>",
        "<a ",
        "<a b='&lt;'/>",
        "&amp;",
        "--xyz\r\n",
        "--xyz\r\n\r\n",
        "--",
        "\n",
        "a:b\n",
        " \n",
    ] {
        for prefix in ["", "<a>", "[", "\"", "--xyz\r\n", "--xyz\r\na:b\r\n\r\n"] {
            let body: Vec<u8> = prefix.bytes().chain(seed.bytes().cycle()).take(BYTES).collect();
            let start = std::time::Instant::now();
            let _ = (
                url_encoded(&body, b'&', usize::MAX),
                json::parse(&body, &limits),
                xml::parse(&body, &limits),
                multipart::parse(&body, TYPE, &limits),
            );
            assert!(start.elapsed().as_secs() < 10, "{prefix:?} and {seed:?} took {:?}", start.elapsed());
        }
    }
}
