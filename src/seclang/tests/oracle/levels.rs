//! Levels: rules behind others that only skip, where the level that these ask for may change on the way, and rules that only set variables.

use std::fmt::Write as _;
use std::sync::Arc;

use proptest::prelude::*;
use seclang::source::MemoryFiles;
use seclang::{Mode, RuleSet};

use crate::corpus::Request;
use crate::same::compare_with;

/// Rules that see nothing but TX, and leave variables in it.
const SETTING: &[&str] = &[
    "SecAction \"id:N,phase:1,pass,nolog,setvar:tx.level=2\"",
    "SecAction \"id:N,phase:1,pass,nolog,setvar:tx.Level=1,setvar:tx.other=0\"",
    "SecAction \"id:N,phase:1,pass,nolog,setvar:tx.a=%{tx.level},setvar:tx.b=+%{tx.a}\"",
    "SecAction \"id:N,phase:1,pass,nolog,setvar:tx.1=x,setvar:tx.B=7\"",
    "SecRule &TX:level \"@eq 0\" \"id:N,phase:1,pass,nolog,setvar:tx.level=1\"",
    "SecRule &TX:other \"@eq 0\" \"id:N,phase:1,pass,nolog,setvar:tx.other=3,skip:1\"",
    "SecRule TX:a \"@ge 1\" \"id:N,phase:1,pass,nolog,setvar:tx.b=+2\"",
    "SecRule TX:b \"@lt 3\" \"id:N,phase:1,pass,nolog,skipAfter:M1\"",
    "SecRule &TX:b \"@gt 0\" \"id:N,phase:1,pass,log,msg:'%{matched_var} %{matched_var_name}'\"",
    "SecRule TX:level \"@eq 2\" \"id:N,phase:1,pass,nolog,setvar:!tx.a\"",
];

/// Gates, and rules between them; those of the second list may lead somewhere else.
const GATES: &[&str] = &[
    "SecRule TX:level \"@lt 1\" \"id:N,phase:P,pass,nolog,skipAfter:M1\"",
    "SecRule TX:level \"@lt 2\" \"id:N,phase:P,pass,nolog,skipAfter:M1\"",
    "SecRule TX:level \"@lt 2\" \"id:N,phase:P,pass,nolog,skipAfter:M2\"",
    "SecRule TX:LEVEL \"@lt 3\" \"id:N,phase:P,pass,nolog,skipAfter:M2\"",
    "SecRule TX:level \"!@ge 3\" \"id:N,phase:P,pass,nolog,skip:2\"",
    "SecRule TX:other \"@eq 3\" \"id:N,phase:P,pass,nolog,skipAfter:M2\"",
];
const BETWEEN: &[&str] = &[
    "SecRule ARGS \"@rx union\" \"id:N,phase:P,pass,tag:t,msg:'%{matched_var} %{tx.level}'\"",
    "SecRule ARGS_NAMES|REQUEST_HEADERS \"@contains sel\" \"id:N,phase:P,pass,tag:t,t:lowercase,msg:'%{matched_var_name}'\"",
    "SecRule ARGS:q \"@pm union select\" \"id:N,phase:P,pass,t:urlDecodeUni,capture,setvar:tx.score=+5\"",
    "SecRule MATCHED_VAR \"@rx .\" \"id:N,phase:P,pass,msg:'%{matched_var_name}=%{matched_var}'\"",
    "SecAction \"id:N,phase:P,pass,nolog,setvar:'tx.seen=%{matched_var} %{matched_var_name} %{rule.id}'\"",
    "SecAction \"id:N,phase:P,pass,log,msg:'%{matched_var} %{matched_var_name}'\"",
    "SecRule ARGS:level \"@rx ^(.)\" \"id:N,phase:P,pass,nolog,setvar:tx.level=%{matched_var}\"",
    "SecRule ARGS:level \"@contains 2\" \"id:N,phase:P,pass,nolog,setvar:!tx.level,setvar:tx.LEVEL=2\"",
    "SecRule ARGS:off \"@contains gate\" \"id:N,phase:P,pass,nolog,ctl:ruleRemoveById=4-9\"",
    "SecRule ARGS:off \"@contains level\" \"id:N,phase:P,pass,nolog,ctl:ruleRemoveTargetById=6;TX:level\"",
    "SecRule ARGS:off \"@contains tag\" \"id:N,phase:P,pass,nolog,ctl:ruleRemoveTargetByTag=t;ARGS\"",
    "SecRule ARGS:off \"@contains engine\" \"id:N,phase:P,pass,nolog,ctl:ruleEngine=Off\"",
    "SecRule ARGS \"@streq skip\" \"id:N,phase:P,pass,skipAfter:M1\"",
    "SecRule ARGS \"@streq skip\" \"id:N,phase:P,pass,nolog,skip:3\"",
    "SecRule ARGS \"@streq deny\" \"id:N,phase:P,deny,status:409\"",
    "SecRule TX:score \"@ge 5\" \"id:N,phase:P,pass,nolog,setvar:tx.level=-1\"",
    "SecMarker M1",
    "SecMarker M2",
];

fn rules() -> impl Strategy<Value = String> {
    let setting = prop::collection::vec(prop::sample::select(SETTING), 0..6);
    let rest = prop_oneof![prop::sample::select(GATES), prop::sample::select(GATES), prop::sample::select(BETWEEN)];
    let rest = || prop::collection::vec(rest.clone(), 0..16);
    let first = prop::option::of(prop::sample::select(BETWEEN));
    (first, setting, rest(), rest()).prop_map(|(first, setting, one, two)| {
        let mut text = String::new();
        let numbered = first.into_iter().chain(setting).chain(one).map(|rule| (rule, "1"));
        for (number, (rule, phase)) in numbered.chain(two.into_iter().map(|rule| (rule, "2"))).enumerate() {
            let _ = writeln!(text, "{}", rule.replace("id:N", &format!("id:{}", number + 1)).replace("phase:P", &format!("phase:{phase}")));
        }
        text + "SecMarker M1\nSecMarker M2\nSecAction \"id:100,phase:2,pass,log,msg:'%{matched_var} %{matched_var_name} %{tx.0}'\"\n"
    })
}

fn request() -> impl Strategy<Value = Request> {
    let name = prop::sample::select(vec!["q", "level", "off", "select"]);
    let value = prop::sample::select(vec!["union", "1", "2", "3", "x", "gate", "level", "tag", "engine", "skip", "deny", "2;gate"]);
    prop::collection::vec((name, value), 0..4).prop_map(|arguments| Request {
        name: "a level".to_owned(),
        method: "GET".to_owned(),
        uri: format!("/?{}", arguments.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&")),
        version: "HTTP/1.1".to_owned(),
        headers: vec![("User-Agent".to_owned(), "selected".to_owned())],
        body: Vec::new(),
    })
}

/// What a site may set before the first rule.
fn variables() -> impl Strategy<Value = Vec<(&'static str, &'static str)>> {
    let one =
        (prop::sample::select(vec!["level", "Level", "other", "a", "b", "1", "x"]), prop::sample::select(vec!["0", "1", "2", "3", ""]));
    prop::collection::vec(one, 0..3)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn both_evaluators_agree_wherever_gates_lead(text in rules(), requests in prop::collection::vec((request(), variables()), 1..5), block in any::<bool>()) {
        let files = MemoryFiles::new().with("rules.conf", text.as_str());
        let set = match RuleSet::load(&files, &["rules.conf"]) {
            Ok((set, _)) => Arc::new(set),
            Err(diagnostics) => panic!("{text}\n{}", diagnostics.iter().map(|one| format!("{one}\n")).collect::<String>()),
        };
        for (request, variables) in &requests {
            let mode = if block { Mode::Block } else { Mode::Detect };
            if let Err(difference) = compare_with(&set, request, mode, variables) {
                prop_assert!(false, "{text}\n{request:?} {variables:?}\n{difference}");
            }
        }
    }
}
