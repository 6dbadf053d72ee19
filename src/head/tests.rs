//! Header lists: what is put in is what is found and what is written.

use super::*;
use bytes::Bytes;
use proptest::prelude::*;

fn head(headers: &[(&str, &str)]) -> RawHead {
    RawHead::from_parts(b"GET", b"/", b"HTTP/1.1", headers.iter().map(|(n, v)| (n.as_bytes(), v.as_bytes())))
}

fn name(text: &str) -> Name {
    Name::new(text.as_bytes()).unwrap()
}

fn value(text: &str) -> Value<'_> {
    Value::new(text.as_bytes()).unwrap()
}

fn written(headers: &Headers) -> String {
    let mut out = Vec::new();
    headers.write(&mut out);
    String::from_utf8(out).unwrap()
}

#[test]
fn lines_go_on_as_they_were_spelled_and_added_ones_in_lower_case() {
    let (mut headers, whole) = Headers::of_head(&head(&[("Host", "a"), ("X-Own", "1"), ("ACCEPT", "b"), ("x-own", "2")]));
    assert!(whole);
    headers.append(&name("X-Added"), value("c"));
    headers.repeat(&HOST, &X_FORWARDED_HOST);
    assert_eq!(written(&headers), "Host: a\r\nX-Own: 1\r\nACCEPT: b\r\nx-own: 2\r\nx-added: c\r\nx-forwarded-host: a\r\n");
    headers.remove(&ACCEPT);
    headers.insert(&name("x-own"), value("3"));
    assert_eq!(written(&headers), "Host: a\r\nx-own: 3\r\nx-added: c\r\nx-forwarded-host: a\r\n");
    assert_eq!(headers.get_all(&name("X-OWN")).collect::<Vec<_>>(), ["3"]);
}

#[test]
fn a_line_with_other_white_space_is_written_anew() {
    let bytes = Bytes::from_static(b"Host:a\r\nAccept:  b \r\nX-A: c\r\n");
    let mut headers = Headers::of_bytes(bytes, 3);
    assert!(headers.came(&(0..4), &(5..6)) && headers.came(&(8..14), &(17..18)) && headers.came(&(21..24), &(26..27)));
    assert_eq!(written(&headers), "host: a\r\naccept: b\r\nX-A: c\r\n");
}

#[test]
fn what_could_end_a_line_is_no_value() {
    for bad in ["a\r\nb", "\n", "\0", "\u{7f}"] {
        assert!(Value::new(bad.as_bytes()).is_none() && OwnValue::new(bad).is_none(), "{bad:?}");
    }
    let (headers, whole) = Headers::of_head(&head(&[("a", "fine"), ("b", "\u{1}"), ("c d", "x"), ("", "x")]));
    assert!(!whole);
    assert_eq!(written(&headers), "a: fine\r\n");
}

#[derive(Clone, Debug)]
enum Step {
    Append(String, String),
    Insert(String, String),
    Remove(String),
    RemoveAny,
}

fn step() -> impl Strategy<Value = Step> {
    let name = "[hH]ost|[aA]ccept|[xX]-[a-c]|via";
    prop_oneof![
        (name, "[a-z]{0,3}").prop_map(|(n, v)| Step::Append(n, v)),
        (name, "[a-z]{0,3}").prop_map(|(n, v)| Step::Insert(n, v)),
        name.prop_map(Step::Remove),
        Just(Step::RemoveAny),
    ]
}

proptest! {
    /// The plainest list there is, beside ours.
    #[test]
    fn a_list_is_what_was_done_to_it(
        came in proptest::collection::vec(("[hH]ost|[aA]ccept|[xX]-[a-c]", "[a-z]{0,3}"), 0..6),
        steps in proptest::collection::vec(step(), 0..12),
    ) {
        let lines: Vec<(&str, &str)> = came.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        let mut ours = Headers::of_head(&head(&lines)).0;
        let mut plain: Vec<(String, String)> = came.iter().map(|(n, v)| (n.to_lowercase(), v.clone())).collect();
        let set = NameSet::new(|name| matches!(name, "host" | "x-b"));
        for step in steps {
            match step {
                Step::Append(n, v) => {
                    ours.append(&name(&n), value(&v));
                    plain.push((n.to_lowercase(), v));
                }
                Step::Insert(n, v) => {
                    ours.insert(&name(&n), value(&v));
                    let n = n.to_lowercase();
                    match plain.iter().position(|(other, _)| *other == n) {
                        None => plain.push((n, v)),
                        Some(place) => {
                            plain[place].1 = v;
                            let mut at = 0;
                            plain.retain(|(other, _)| { at += 1; at - 1 <= place || *other != n });
                        }
                    }
                }
                Step::Remove(n) => {
                    ours.remove(&name(&n));
                    plain.retain(|(other, _)| *other != n.to_lowercase());
                }
                Step::RemoveAny => {
                    ours.remove_any(&set);
                    plain.retain(|(other, _)| !matches!(other.as_str(), "host" | "x-b"));
                }
            }
            let got: Vec<(String, String)> =
                ours.iter().map(|(n, v)| (n.to_owned(), String::from_utf8(v.as_bytes().to_vec()).unwrap())).collect();
            prop_assert_eq!(&got, &plain);
            let all: String = plain.iter().map(|(n, v)| format!("{n}: {v}\r\n")).collect();
            prop_assert_eq!(written(&ours).to_lowercase(), all);
        }
    }
}
