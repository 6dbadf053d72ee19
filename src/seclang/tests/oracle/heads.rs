//! Heads that a thread knows: whatever it remembers of one, both evaluators decide the same on every request that has it.

use std::sync::Arc;

use proptest::prelude::*;
use seclang::source::MemoryFiles;
use seclang::{Mode, RuleSet};

use crate::corpus::Request;
use crate::same::compare;

/// Rules that see nothing but a head, and others that change what they ask for, what they find in TX, or what they are.
const RULES: &str = r#"
SecAction "id:1,phase:1,pass,nolog,setvar:'tx.list=/x-any/ /other/',setvar:'tx.methods=GET HEAD'"
SecRule ARGS:list "@rx ." "id:2,phase:1,pass,nolog,setvar:'tx.list=/%{matched_var}/'"
SecRule ARGS:seen "@rx ^.*$" "id:3,phase:1,pass,nolog,capture,setvar:'tx.seen_%{tx.0}=/%{tx.0}/'"
SecRule ARGS:off "@streq rule" "id:4,phase:1,pass,nolog,ctl:ruleRemoveById=10"
SecRule ARGS:off "@streq names" "id:5,phase:1,pass,nolog,ctl:ruleRemoveTargetById=10;REQUEST_HEADERS_NAMES:host"
SecRule ARGS:off "@streq agent" "id:6,phase:1,pass,nolog,ctl:ruleRemoveTargetByTag=t;REQUEST_HEADERS:User-Agent"
SecRule ARGS:methods "@rx ." "id:7,phase:1,pass,nolog,setvar:'tx.methods=%{matched_var}'"
SecRule ARGS:q "@rx ^(.)(.)" "id:8,phase:1,pass,nolog,capture"
SecRule REQUEST_HEADERS_NAMES "@rx ^.*$" "id:10,phase:1,pass,t:lowercase,capture,setvar:'tx.seen_%{tx.0}=/%{tx.0}/',msg:'%{tx.0} %{tx.1}',chain"
  SecRule TX:/^seen_/ "@within %{tx.list}" "setvar:tx.hits=+1"
SecRule MATCHED_VAR "@rx ." "id:11,phase:1,pass,msg:'%{matched_var_name}=%{matched_var} %{tx.0}'"
SecRule REQUEST_METHOD "!@within %{tx.methods}" "id:12,phase:1,pass,tag:t"
SecRule REQUEST_HEADERS:User-Agent "@rx ev(i|y)l" "id:13,phase:1,pass,capture,tag:t,msg:'%{tx.1}',chain"
  SecRule REQUEST_HEADERS:Host "@rx ^b" "setvar:tx.hits=+1"
SecRule MATCHED_VAR "@rx ." "id:14,phase:1,pass,msg:'%{matched_var_name}=%{matched_var} %{tx.1}'"
SecRule REQUEST_HEADERS:Host "@rx ^$" "id:15,phase:1,pass"
SecRule REQUEST_HEADERS:User-Agent|ARGS|REQUEST_HEADERS:X-Any "@contains union" "id:16,phase:2,pass,t:urlDecodeUni,tag:t"
SecRule REQUEST_HEADERS "@rx s(e)lect" "id:17,phase:2,pass,capture,t:lowercase"
SecRule REQUEST_PROTOCOL "@streq HTTP/1.0" "id:18,phase:2,pass,chain"
  SecRule REQUEST_METHOD "@pm HEAD POST" "t:none"
SecRule REQUEST_HEADERS_NAMES "@rx ^cookie$" "id:19,phase:2,pass,t:lowercase"
SecRule REQUEST_METHOD "@rx ^(.)" "id:21,phase:1,pass,capture,setvar:tx.first=%{tx.1},chain"
  SecRule REQUEST_HEADERS:Host "@rx ^nothing"
SecRule ARGS:q "@rx ^(.)(.)" "id:22,phase:1,pass,nolog,capture"
SecRule REQUEST_HEADERS:Host "@streq b" "id:23,phase:1,pass,capture,setvar:'tx.second_%{tx.0}=%{tx.1}',chain"
  SecRule REQUEST_METHOD "@rx ^(NO)" "capture"
SecRule REQUEST_HEADERS:Host "@rx ^[ab]$" "id:24,phase:1,pass,chain"
  SecRule REQUEST_METHOD "@rx ^(NO)" "capture"
SecRule REQUEST_HEADERS:User-Agent "@rx ^(e)(v)?" "id:25,phase:1,pass,capture,chain"
  SecRule REQUEST_PROTOCOL "@streq HTTP/1.0" "chain"
    SecRule REQUEST_METHOD "@rx ^(?:NO)" "t:none"
SecAction "id:26,phase:1,pass,log,msg:'%{tx.0} %{tx.1} %{tx.2} %{matched_var_name}'"
SecRule TX:hits "@ge 1" "id:20,phase:2,deny"
"#;

fn word() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["a", "b", "evil", "evyl", "union", "un%69on", "SELECT", "x-any", "host", "GET", "POST", ""])
        .prop_map(str::to_owned)
}

fn request() -> impl Strategy<Value = Request> {
    let header = (prop::sample::select(vec!["User-Agent", "Host", "X-Any", "cookie", "Accept"]), word());
    let argument = (
        prop::sample::select(vec!["list", "seen", "off", "methods", "q"]),
        prop_oneof![word(), Just("rule".to_owned()), Just("names".to_owned()), Just("agent".to_owned())],
    );
    let method = prop::sample::select(vec!["GET", "GET", "HEAD", "POST"]);
    let version = prop::sample::select(vec!["HTTP/1.1", "HTTP/1.0"]);
    (method, version, prop::collection::vec(header, 0..4), prop::collection::vec(argument, 0..3)).prop_map(
        |(method, version, headers, arguments)| Request {
            name: "a head".to_owned(),
            method: method.to_owned(),
            uri: format!("/?{}", arguments.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&")),
            version: version.to_owned(),
            headers: headers.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
            body: Vec::new(),
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn what_is_remembered_of_a_head_holds_for_every_request_that_has_it(
        heads in prop::collection::vec(request(), 1..3),
        requests in prop::collection::vec((any::<prop::sample::Index>(), request()), 1..12),
    ) {
        let files = MemoryFiles::new().with("rules.conf", RULES);
        let (set, _) = RuleSet::load(&files, &["rules.conf"]).expect("rules that load");
        let set = Arc::new(set);
        for (head, request) in &requests {
            // The head of one, the arguments of another, and its values of the headers that are not common.
            let head = head.get(&heads);
            let mut others = request.headers.iter().map(|(_, value)| value);
            let headers = head.headers.iter().map(|(name, value)| match name.as_str() {
                "X-Any" | "cookie" => (name.clone(), others.next().unwrap_or(value).clone()),
                _ => (name.clone(), value.clone()),
            });
            let request = Request { uri: request.uri.clone(), headers: headers.collect(), ..head.clone() };
            if let Err(difference) = compare(&set, &request, Mode::Block) {
                prop_assert!(false, "{request:?}\n{difference}");
            }
        }
    }
}
