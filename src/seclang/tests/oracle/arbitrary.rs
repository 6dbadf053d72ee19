//! Arbitrary rule sets over arbitrary requests.

use proptest::prelude::*;
use seclang::{MemoryFiles, Mode, RuleSet};
use std::sync::Arc;

use crate::corpus::Request;
use crate::same::compare;

const TARGETS: &[&str] = &[
    "ARGS",
    "ARGS_NAMES",
    "ARGS_GET",
    "ARGS_POST:b",
    "ARGS:a",
    "ARGS:/^[ab]/",
    "REQUEST_HEADERS",
    "REQUEST_HEADERS:X-Any",
    "REQUEST_HEADERS_NAMES",
    "REQUEST_HEADERS:User-Agent",
    "REQUEST_HEADERS:User-Agent|ARGS|REQUEST_HEADERS:X-Any",
    "REQUEST_HEADERS|!REQUEST_HEADERS:Host",
    "REQUEST_COOKIES",
    "REQUEST_COOKIES_NAMES",
    "REQUEST_URI",
    "REQUEST_BODY",
    "REQUEST_LINE",
    "REQUEST_METHOD",
    "REQUEST_FILENAME",
    "QUERY_STRING",
    "TX:n",
    "TX:1",
    "TX",
    "TX:/^n/",
    "MATCHED_VAR",
    "MATCHED_VARS",
    "MATCHED_VARS_NAMES",
    "&ARGS",
    "&TX:n",
    "&REQUEST_HEADERS:x-any",
    "&REQUEST_COOKIES",
    "REQBODY_PROCESSOR",
    "XML:/*",
    "XML://@*",
    "FILES",
    "RESPONSE_BODY",
    "RESPONSE_HEADERS",
    "HIGHEST_SEVERITY",
    "ARGS_COMBINED_SIZE",
    "UNIQUE_ID",
    "IP:n",
    "ENV:n",
    "ARGS|!ARGS:a",
    "REQUEST_HEADERS|!REQUEST_HEADERS:/^x-/",
    "ARGS|REQUEST_COOKIES|TX:n",
    "ARGS_NAMES|ARGS|XML:/*",
    "DURATION",
    "REQUEST_BODY|ARGS",
];

const OPERATORS: &[&str] = &[
    "@rx a",
    "@rx (?i)(sel)(ect)",
    "@rx ^x?$",
    "!@rx ^a",
    "@rx ^.*$",
    "@rx [<>]",
    "@rx (a|b)(.)",
    "@rx %{tx.n}",
    "@pm abc select x%41",
    "!@pm abc",
    "@contains ab",
    "@contains %{tx.n}",
    "@streq a",
    "!@streq %{args.a}",
    "@beginsWith /a",
    "@endsWith b",
    "@within a ab select",
    "@eq 0",
    "@gt 1",
    "!@eq 1",
    "@lt 5",
    "@ge %{tx.n}",
    "@validateByteRange 32-126",
    "@validateUrlEncoding",
    "@validateUtf8Encoding",
    "@detectSQLi",
    "@detectXSS",
    "@unconditionalMatch",
    "@noMatch",
    "@containsWord ab",
    "@rx a(?=b)",
    "@ipMatch 192.0.2.0/24",
    "@strmatch ab",
    "@rxGlobal (a)",
    "@rx \\x00",
];

const TRANSFORMATIONS: &[&str] = &[
    "none",
    "lowercase",
    "urlDecodeUni",
    "urlDecode",
    "htmlEntityDecode",
    "removeNulls",
    "compressWhitespace",
    "removeWhitespace",
    "cmdLine",
    "jsDecode",
    "cssDecode",
    "utf8toUnicode",
    "normalizePath",
    "normalizePathWin",
    "replaceComments",
    "removeComments",
    "length",
    "hexEncode",
    "base64Decode",
    "sha1",
    "trim",
    "uppercase",
    "escapeSeqDecode",
];

const ACTIONS: &[&str] = &[
    "capture",
    "multiMatch",
    "setvar:tx.n=+1",
    "setvar:tx.n=%{matched_var}",
    "setvar:'tx.n_%{matched_var_name}=%{tx.0}'",
    "setvar:!tx.n",
    "setvar:tx.anomaly_score=+5",
    "ctl:ruleRemoveById=3",
    "ctl:ruleRemoveById=5-7",
    "ctl:ruleRemoveTargetById=4;ARGS:a",
    "ctl:ruleRemoveTargetByTag=t;REQUEST_HEADERS",
    "ctl:requestBodyProcessor=JSON",
    "ctl:forceRequestBodyVariable=On",
    "ctl:ruleEngine=DetectionOnly",
    "setvar:ip.n=+1",
    "setenv:n=%{matched_var}",
    "severity:2",
    "logdata:'%{matched_var} %{tx.1} %{rule.id}'",
    "msg:'%{matched_var_name} %{highest_severity}'",
    "tag:t",
    "nolog",
    "ctl:auditEngine=Off",
    "ctl:requestBodyProcessor=XML",
    "ctl:ruleRemoveTargetById=2;ARGS",
];

/// Only a rule that starts a chain may have these.
const FLOWS: &[&str] = &[
    "pass",
    "pass",
    "pass",
    "deny",
    "deny,status:409",
    "allow",
    "allow:phase",
    "allow:request",
    "drop",
    "pass,skip:1",
    "pass,skip:2",
    "pass,skipAfter:M",
    "pass,skipAfter:5",
];

#[derive(Clone, Debug)]
struct Link {
    target: &'static str,
    operator: &'static str,
    transformations: Vec<&'static str>,
    actions: Vec<&'static str>,
}

fn link() -> impl Strategy<Value = Link> {
    let transformations = prop::collection::vec(prop::sample::select(TRANSFORMATIONS), 0..4);
    let actions = prop::collection::vec(prop::sample::select(ACTIONS), 0..3);
    (prop::sample::select(TARGETS), prop::sample::select(OPERATORS), transformations, actions)
        .prop_map(|(target, operator, transformations, actions)| Link { target, operator, transformations, actions })
}

fn rule() -> impl Strategy<Value = (usize, &'static str, Vec<Link>)> {
    (1..=5_usize, prop::sample::select(FLOWS), prop::collection::vec(link(), 1..3))
}

fn text(rules: &[(usize, &'static str, Vec<Link>)]) -> String {
    let mut text = String::from(
        "SecRequestBodyAccess On\nSecResponseBodyAccess On\nSecAction \"id:100,phase:1,pass,nolog,initcol:ip=%{remote_addr},setvar:tx.n=2\"\n",
    );
    for (index, (phase, flow, links)) in rules.iter().enumerate() {
        if index == 4 {
            text += "SecMarker M\n";
        }
        for (number, link) in links.iter().enumerate() {
            let mut actions = Vec::new();
            if number == 0 {
                actions.push(format!("id:{},phase:{phase},{flow}", index + 1));
            }
            let own = |action: &&&str| {
                number == 0
                    || !matches!(**action, "nolog" | "tag:t" | "severity:2") && !action.starts_with("msg") && !action.starts_with("logdata")
            };
            actions.extend(link.actions.iter().filter(own).map(|action| (*action).to_owned()));
            actions.extend(link.transformations.iter().map(|transformation| format!("t:{transformation}")));
            if number + 1 < links.len() {
                actions.push("chain".to_owned());
            }
            text += &format!(
                "SecRule {} \"{}\" \"{}\"\n",
                link.target,
                link.operator,
                if actions.is_empty() { "t:none".to_owned() } else { actions.join(",") }
            );
        }
    }
    text
}

fn piece() -> impl Strategy<Value = String> {
    let texts = vec![
        "a",
        "ab",
        "b",
        "x",
        "select",
        "SELECT 1",
        "1' or '1'='1",
        "<a>",
        "%41",
        "%00",
        "+",
        "&amp;",
        "\\x41",
        "/a/../b",
        "/*c*/",
        "é",
        "A B",
        "'",
        "\"",
        "2",
        "0",
        "Abc",
    ];
    prop::collection::vec(prop::sample::select(texts), 0..4).prop_map(|pieces| pieces.concat())
}

fn request() -> impl Strategy<Value = Request> {
    let pair = || (prop::sample::select(vec!["a", "b", "c", "A", ""]), piece());
    let form = || {
        prop::collection::vec(pair(), 0..5).prop_map(|pairs| {
            pairs.into_iter().map(|(name, value)| format!("{name}={}", value.replace(' ', "+"))).collect::<Vec<_>>().join("&")
        })
    };
    let kinds = vec!["application/x-www-form-urlencoded", "application/json", "text/xml", "text/plain", "multipart/form-data; boundary=x"];
    let header = (prop::sample::select(vec!["X-Any", "x-other", "Cookie", "Host", "User-Agent"]), piece());
    (form(), form(), prop::sample::select(kinds), prop::collection::vec(header, 0..4), piece()).prop_map(|(query, form, kind, headers, path)| {
        let body = match kind {
            "application/json" => format!("{{\"a\": {:?}, \"b\": [1, {:?}]}}", query, path),
            "text/xml" => format!("<a b=\"{}\">{}</a>", path.replace(['<', '&', '"'], ""), form.replace(['<', '&'], "")),
            "multipart/form-data; boundary=x" => format!("--x\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n{form}\r\n--x\r\nContent-Disposition: form-data; name=\"f\"; filename=\"{}\"\r\n\r\nab\r\n--x--\r\n", path.replace('"', "")),
            _ => form,
        };
        let mut all = vec![("Content-Type".to_owned(), kind.to_owned())];
        all.extend(headers.into_iter().map(|(name, value)| (name.to_owned(), if name == "Cookie" { format!("a={value}; b=ab") } else { value })));
        let uri = format!("/{path}?{query}").replace(' ', "%20");
        Request { name: "arbitrary".to_owned(), method: "POST".to_owned(), uri, version: "HTTP/1.1".to_owned(), headers: all, body: body.into_bytes() }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn both_evaluators_agree_on_arbitrary_rules_and_requests(rules in prop::collection::vec(rule(), 1..9), requests in prop::collection::vec(request(), 1..4), block in any::<bool>()) {
        let text = text(&rules);
        let files = MemoryFiles::new().with("rules.conf", text.as_str());
        let set = match RuleSet::load(&files, &["rules.conf"]) {
            Ok((set, _)) => Arc::new(set),
            Err(diagnostics) => panic!("{text}\n{}", diagnostics.iter().map(|one| format!("{one}\n")).collect::<String>()),
        };
        // Then the same common headers with what else the others have: what a thread remembers of them holds for any.
        let is_common = |header: &&(String, String)| !matches!(header.0.as_str(), "X-Any" | "x-other" | "Cookie");
        let common: Vec<_> = requests.iter().take(1).flat_map(|first| &first.headers).filter(is_common).cloned().collect();
        let mixed = requests.iter().map(|request| {
            let rest = request.headers.iter().filter(|header| !is_common(header)).cloned();
            Request { headers: common.iter().cloned().chain(rest).collect(), ..request.clone() }
        });
        let mixed: Vec<Request> = mixed.collect();
        for request in requests.iter().chain(&mixed) {
            let mode = if block { Mode::Block } else { Mode::Detect };
            if let Err(difference) = compare(&set, request, mode) {
                prop_assert!(false, "{text}\n{request:?}\n{difference}");
            }
        }
    }
}

#[test]
fn both_evaluators_agree_where_they_once_did_not() {
    const FOUND: &[(&str, &str)] = &[
        // What `t:lowercase` made is changed by a transformation that leaves capitals alone.
        ("SecRule ARGS \"!@rx ^a\" \"id:1,phase:1,pass,t:lowercase,t:uppercase\"", "/?a=%41"),
    ];
    for (text, uri) in FOUND {
        let files = MemoryFiles::new().with("rules.conf", *text);
        let (set, _) = RuleSet::load(&files, &["rules.conf"]).expect("rules that load");
        let request = Request { method: "GET".to_owned(), uri: (*uri).to_owned(), version: "HTTP/1.1".to_owned(), ..Request::default() };
        assert_eq!(compare(&Arc::new(set), &request, Mode::Block), Ok(1), "{text}");
    }
}
