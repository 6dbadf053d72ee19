//! What rules do, one promise a test: the reference manual's words, as ModSecurity 2 keeps them.

use std::net::IpAddr;
use std::sync::Arc;

use seclang::{Cause, Disruption, Effect, GeoDatabase, GeoRecord, MemoryCollections, Mode, Options, Phase, Transaction};

use super::support::{get, ids, rules};

fn tx(text: &str, uri: &str) -> Transaction {
    get(&rules(text), Some(Mode::Block), uri, &[("Host", "example.com"), ("User-Agent", "test"), ("Cookie", "a=1; B=2")])
}

fn variable(tx: &Transaction, name: &str) -> String {
    tx.tx_variable(name).map(|value| String::from_utf8_lossy(value).into_owned()).unwrap_or_default()
}

#[test]
fn every_link_of_a_chain_acts_when_it_matches_and_the_starter_disrupts_at_the_end() {
    let text = "SecRule ARGS:a \"@rx (.)(.)\" \"id:1,phase:2,deny,capture,setvar:tx.first=%{tx.2},chain\"\n\
                SecRule ARGS:b \"@streq %{tx.1}\" \"setvar:tx.second=yes,chain\"\n\
                SecRule MATCHED_VARS_NAMES \"@rx b$\" \"setvar:tx.third=%{matched_var_name}\"";
    let whole = tx(text, "/?a=xy&b=x");
    assert_eq!(whole.intervention().map(|one| (one.rule_id, one.status)), Some((1, 403)));
    assert_eq!([variable(&whole, "first"), variable(&whole, "second")], ["y", "yes"]);
    assert_eq!(variable(&whole, "third"), "MATCHED_VARS_NAMES:ARGS:b");
    let half = tx(text, "/?a=xy&b=z");
    assert_eq!(half.intervention(), None);
    assert_eq!([variable(&half, "first"), variable(&half, "second")], ["y", ""]);
}

#[test]
fn setvar_runs_once_for_each_matching_variable() {
    let tx = tx("SecRule ARGS \"@streq x\" \"id:1,phase:2,pass,setvar:tx.n=+2\"", "/?a=x&b=x&c=y&d=x");
    assert_eq!(variable(&tx, "n"), "6");
    assert_eq!(ids(&tx), [1, 1, 1]);
    assert_eq!(tx.matches()[2].variable, "ARGS:d");
}

#[test]
fn a_score_is_counted_with_the_match_that_added_it() {
    let text = "SecRule ARGS \"@streq x\" \"id:1,phase:2,pass,chain\"\nSecRule ARGS \"@rx .\" \"setvar:tx.inbound_anomaly_score_pl1=+5\"";
    let tx = tx(text, "/?a=x");
    assert_eq!(tx.matches()[0].score, 5);
    assert_eq!(tx.score(), Some(5));
}

#[test]
fn skip_and_skip_after_leave_out_rules_of_the_phase() {
    let text = "SecAction \"id:1,phase:1,pass,skip:1\"\nSecAction \"id:2,phase:1,pass\"\nSecAction \"id:3,phase:1,pass,skipAfter:END\"\n\
                SecAction \"id:4,phase:1,pass\"\nSecAction \"id:5,phase:2,pass\"\nSecMarker END\nSecAction \"id:6,phase:1,pass\"";
    assert_eq!(ids(&tx(text, "/")), [1, 3, 6, 5]);
}

#[test]
fn ctl_takes_out_rules_and_targets_for_one_transaction() {
    let text = "SecRule REQUEST_URI \"@beginsWith /x\" \"id:1,phase:1,pass,nolog,ctl:ruleRemoveById=10-11,ctl:ruleRemoveByTag=^noi.e$,\
                ctl:ruleRemoveTargetById=13;ARGS:/^p/,ctl:ruleRemoveTargetByTag=pw;ARGS:secret\"\n\
                SecAction \"id:10,pass\"\nSecAction \"id:11,pass\"\nSecAction \"id:12,pass,tag:noise\"\n\
                SecRule ARGS \"@rx evil\" \"id:13,phase:2,pass,tag:pw\"";
    let with = tx(text, "/x?pass=evil&SECRET=evil&other=evil");
    assert_eq!(ids(&with), [13]);
    assert_eq!(with.matches()[0].variable, "ARGS:other");
    assert_eq!(ids(&tx(text, "/y?pass=evil")), [10, 11, 12, 13]);
}

#[test]
fn rules_are_removed_and_updated_at_load() {
    let text = "SecDefaultAction \"phase:2,log,auditlog,deny,status:406\"\n\
                SecRule ARGS \"@rx evil\" \"id:1,phase:2,block,msg:'one'\"\nSecAction \"id:2,pass\"\nSecAction \"id:3,pass,tag:x/y\"\n\
                SecRuleRemoveById \"2\" \"7-9\"\nSecRuleRemoveByTag x/\nSecRuleUpdateTargetById 1 \"!ARGS:/^free/|REQUEST_HEADERS:User-Agent\"\n\
                SecRuleUpdateActionById 1 \"msg:'two',status:418\"";
    let set = rules(text);
    assert_eq!(set.rules().len(), 1);
    assert_eq!(get(&set, Some(Mode::Block), "/?free=evil", &[]).intervention(), None);
    let tx = get(&set, Some(Mode::Block), "/", &[("User-Agent", "evil")]);
    assert_eq!(tx.intervention().map(|one| one.status), Some(418));
    assert_eq!(tx.matches()[0].message, "two");
}

#[test]
fn block_means_what_the_default_action_says() {
    let text = "SecDefaultAction \"phase:1,log,redirect:https://e/%{unique_id}\"\nSecAction \"id:1,phase:1,block\"";
    let tx = tx(text, "/");
    let intervention = tx.intervention().expect("redirected");
    assert_eq!((intervention.action, intervention.status), (Disruption::Redirect, 302));
    assert_eq!(intervention.url.as_deref(), Some(&b"https://e/abc123"[..]));
}

#[test]
fn allow_has_three_reaches() {
    let rest = "SecAction \"id:2,phase:1,pass\"\nSecAction \"id:3,phase:2,pass\"\nSecAction \"id:4,phase:3,pass\"\nSecAction \"id:5,phase:5,pass\"";
    for (allow, expected) in [("allow:phase", &[1, 3, 4, 5][..]), ("allow:request", &[1, 4, 5]), ("allow", &[1, 5])] {
        let set = rules(&format!("SecAction \"id:1,phase:1,{allow}\"\n{rest}"));
        let mut collections = MemoryCollections::default();
        let mut tx = get(&set, Some(Mode::Block), "/", &[]);
        tx.response_headers_done(&mut collections);
        tx.response_body_done(&mut collections);
        tx.log(&mut collections);
        assert_eq!(ids(&tx), expected, "{allow}");
    }
}

#[test]
fn detection_only_records_and_never_intervenes() {
    let set = rules("SecRuleEngine DetectionOnly\nSecAction \"id:1,phase:1,deny\"\nSecAction \"id:2,phase:1,drop\"");
    let tx = get(&set, None, "/", &[]);
    assert_eq!(tx.intervention(), None);
    assert_eq!(tx.would_intervene().map(|one| one.rule_id), Some(1));
    assert_eq!(tx.matches()[0].effect, Effect::WouldIntervene);
    assert_eq!(ids(&get(&set, Some(Mode::Off), "/", &[])), []);
}

#[test]
fn the_caller_s_mode_is_a_ceiling_for_ctl() {
    let text = "SecAction \"id:1,phase:1,pass,ctl:ruleEngine=On\"\nSecAction \"id:2,phase:1,deny\"";
    let tx = get(&rules(text), Some(Mode::Detect), "/", &[]);
    assert_eq!((tx.mode(), tx.intervention()), (Mode::Detect, None));
    let off = get(&rules(&text.replace("=On", "=Off")), Some(Mode::Block), "/", &[]);
    assert_eq!((ids(&off), off.intervention()), (vec![1], None));
}

#[test]
fn targets_are_counted_excluded_and_selected_by_pattern() {
    let text = "SecRule &ARGS \"@eq 3\" \"id:1,pass\"\nSecRule &ARGS:/^a/ \"@eq 2\" \"id:2,pass\"\n\
                SecRule ARGS|!ARGS:A1|!ARGS:/b$/ \"@unconditionalMatch\" \"id:3,pass\"\n\
                SecRule REQUEST_COOKIES:b \"@streq 2\" \"id:4,pass\"\nSecRule &ARGS:none \"@eq 0\" \"id:5,pass\"";
    let tx = tx(text, "/?a1=x&a2=y&zb=z");
    assert_eq!(ids(&tx), [1, 2, 3, 4, 5]);
    assert_eq!(tx.matches()[2].variable, "ARGS:a2");
    assert_eq!(tx.matches()[0].variable, "&ARGS");
}

#[test]
fn multi_match_looks_at_every_step_that_changed_something() {
    let text = "SecRule ARGS:a \"@rx ^%3C$\" \"id:1,pass,t:none,t:urlDecodeUni,t:lowercase,multiMatch\"\n\
                SecRule ARGS:a \"@rx ^%3C$\" \"id:2,pass,t:none,t:urlDecodeUni\"\nSecRule ARGS:a \"@streq <\" \"id:3,pass,t:urlDecodeUni\"";
    assert_eq!(ids(&tx(text, "/?a=%253C")), [1, 3]);
}

#[test]
fn a_negated_operator_matches_what_does_not() {
    let tx = tx("SecRule ARGS \"!@within GET POST\" \"id:1,pass\"\nSecRule REQBODY_PROCESSOR \"!@rx JSON\" \"id:2,pass\"", "/?a=GET&b=PUT");
    assert_eq!(ids(&tx), [1, 2]);
    assert_eq!(tx.matches()[0].value, "PUT");
}

#[test]
fn a_collection_outlives_the_transaction() {
    let set = rules(
        "SecAction \"id:1,phase:1,pass,nolog,initcol:ip=%{remote_addr},setvar:ip.hits=+1,expirevar:ip.hits=60\"\n\
         SecRule IP:HITS \"@gt 2\" \"id:2,phase:1,drop\"",
    );
    let mut collections = MemoryCollections::default();
    let mut visit = |now: u64| {
        let mut tx = Transaction::new(Arc::clone(&set), Options { mode: Some(Mode::Block), now, ..Options::default() });
        tx.connection([192, 0, 2, 1].into(), 1, [192, 0, 2, 2].into(), 80);
        let intervention = tx.request_headers_done(&mut collections);
        tx.log(&mut collections);
        assert!(tx.errors().is_empty(), "{:?}", tx.errors());
        intervention.map(|one| one.action)
    };
    assert_eq!([visit(1), visit(2), visit(3)], [None, None, Some(Disruption::Drop)]);
    assert_eq!(visit(100_000_000), None);
}

#[test]
fn used_up_fuel_is_an_error_and_never_a_silent_pass() {
    let set = rules("SecRule ARGS \"@rx x\" \"id:1,pass\"\nSecRule ARGS \"@rx a\" \"id:2,deny\"");
    let mut collections = MemoryCollections::default();
    let mut tx = Transaction::new(set, Options { mode: Some(Mode::Block), fuel: Some(20), ..Options::default() });
    tx.request_line(b"GET /?b=aaaa HTTP/1.1", b"GET", b"/?b=aaaa", b"HTTP/1.1");
    tx.request_body_done(&mut collections);
    assert_eq!(tx.errors().iter().map(|one| one.cause).collect::<Vec<_>>(), [Cause::Fuel]);
}

#[test]
fn a_body_is_parsed_by_its_processor_and_shown_as_the_manual_says() {
    let set = rules(
        "SecRequestBodyAccess On\nSecRule REQUEST_HEADERS:Content-Type \"@rx json\" \"id:1,phase:1,pass,nolog,ctl:requestBodyProcessor=JSON\"\n\
         SecRule ARGS:a \"@streq 1\" \"id:2,phase:2,pass\"\nSecRule REQUEST_BODY \"@rx .\" \"id:3,phase:2,pass\"\n\
         SecRule REQBODY_ERROR \"!@eq 0\" \"id:4,phase:2,deny,status:400\"\nSecRule ARGS_POST:a \"@streq 1\" \"id:5,phase:2,pass\"",
    );
    let post = |kind: &[u8], body: &[u8]| {
        let mut collections = MemoryCollections::default();
        let mut tx = Transaction::new(Arc::clone(&set), Options { mode: Some(Mode::Block), ..Options::default() });
        tx.request_line(b"POST / HTTP/1.1", b"POST", b"/", b"HTTP/1.1");
        tx.request_header(b"Content-Type", kind);
        tx.request_headers_done(&mut collections);
        assert!(tx.wants_request_body());
        tx.request_body(body);
        tx.request_body_done(&mut collections);
        ids(&tx)
    };
    assert_eq!(post(b"application/json", b"{\"a\":1}"), [2, 5]);
    assert_eq!(post(b"application/json", b"{\"a\":"), [4]);
    assert_eq!(post(b"application/x-www-form-urlencoded", b"a=1"), [2, 3, 5]);
    assert_eq!(post(b"text/plain", b"a=1"), []);
}

#[test]
fn a_pattern_with_macros_is_built_when_it_runs() {
    let text = "SecAction \"id:1,phase:1,pass,nolog,setvar:'tx.allowed=utf-8|latin1'\"\n\
                SecRule ARGS \"!@rx ^(?:%{tx.allowed})$\" \"id:2,phase:2,pass\"\nSecRule ARGS:p \"@rx %{args.p}\" \"id:3,phase:2,pass\"";
    let tx = tx(text, "/?a=utf-8&b=utf-7");
    assert_eq!(ids(&tx), [2]);
    assert_eq!(tx.matches()[0].variable, "ARGS:b");
    let broken = self::tx(text, "/?p=(");
    assert_eq!(broken.errors().iter().map(|one| (one.rule_id, one.cause)).collect::<Vec<_>>(), [(Some(3), Cause::Operator)]);
}

#[test]
fn multi_match_counts_a_transformation_that_says_so_of_every_value() {
    let text = "SecRule ARGS \"@contains a\" \"id:1,phase:2,pass,multiMatch,t:none,t:lowercase,t:cmdLine\"\n\
                SecRule ARGS \"@contains a\" \"id:2,phase:2,pass,multiMatch,t:none,t:lowercase\"";
    assert_eq!(ids(&tx(text, "/?p=abc")), [1, 1, 2]);
    assert_eq!(ids(&tx(text, "/?p=aBc")), [1, 1, 1, 2, 2]);
}

#[test]
fn the_boundary_of_a_multipart_body_without_bytes_is_judged() {
    let set = rules(
        "SecRequestBodyAccess On\nSecRule MULTIPART_BOUNDARY_WHITESPACE \"@eq 1\" \"id:1,phase:2,pass\"\n\
         SecRule REQBODY_ERROR \"@eq 1\" \"id:2,phase:2,pass\"",
    );
    let post = |content_type: &[u8], length: bool| {
        let mut tx = Transaction::new(Arc::clone(&set), Options { mode: Some(Mode::Block), ..Options::default() });
        tx.request_line(b"POST / HTTP/1.1", b"POST", b"/", b"HTTP/1.1");
        tx.request_header(b"Content-Type", content_type);
        if length {
            tx.request_header(b"Content-Length", b"0");
        }
        tx.request_body_done(&mut MemoryCollections::default());
        ids(&tx)
    };
    assert_eq!(post(b"multipart/form-data; boundary=  x", true), [1]);
    assert_eq!(post(b"multipart/form-data", true), [2]);
    assert_eq!(post(b"multipart/form-data; boundary=x", true), []);
    assert_eq!(post(b"multipart/form-data; boundary=  x", false), [], "no body was announced");
}

#[test]
fn a_block_list_is_asked_through_the_caller() {
    let set = rules("SecRule REMOTE_ADDR \"@rbl list.example\" \"id:1,phase:1,deny\"");
    let visit = |answer: Option<Option<IpAddr>>| {
        let mut tx = Transaction::new(Arc::clone(&set), Options { mode: Some(Mode::Block), ..Options::default() });
        tx.connection([192, 0, 2, 7].into(), 1, [192, 0, 2, 2].into(), 80);
        assert_eq!(tx.dns_names(Phase::RequestHeaders), ["7.2.0.192.list.example"]);
        if let Some(found) = answer {
            tx.dns_answer("7.2.0.192.list.example", found);
        }
        (tx.request_headers_done(&mut MemoryCollections::default()).is_some(), tx.errors().len())
    };
    assert_eq!([visit(Some(Some([127, 0, 0, 2].into()))), visit(Some(None)), visit(None)], [(true, 0), (false, 0), (false, 1)]);
}

#[test]
fn what_a_block_list_says_is_captured_and_its_key_is_not() {
    let said = |zone: &str, answer: [u8; 4]| {
        let set = rules(&format!(
            "SecHttpBlKey abcdefghijkl\nSecAction \"id:1,phase:1,pass,nolog,setvar:tx.real_ip=%{{remote_addr}}\"\n\
             SecRule TX:real_ip \"@rbl {zone}\" \"id:2,phase:2,deny,capture,setvar:tx.said=%{{tx.0}}\""
        ));
        let mut tx = Transaction::new(Arc::clone(&set), Options { mode: Some(Mode::Block), ..Options::default() });
        tx.connection([192, 0, 2, 7].into(), 1, [192, 0, 2, 2].into(), 80);
        assert_eq!(tx.dns_names(Phase::RequestBody), [""; 0], "rules of phase 1 have to run first");
        tx.request_headers_done(&mut MemoryCollections::default());
        for name in tx.dns_names(Phase::RequestBody) {
            tx.dns_answer(&name, Some(answer.into()));
        }
        assert!(tx.request_body_done(&mut MemoryCollections::default()).is_some(), "{:?}", tx.errors());
        String::from_utf8_lossy(tx.tx_variable("said").unwrap()).into_owned()
    };
    let looked = |zone: &str| format!("RBL lookup of 7.2.0.192.{zone} ");
    for (zone, answer, expected) in [
        (
            "dnsbl.httpbl.org",
            [127, 9, 40, 5],
            "succeeded at TX:real_ip. Suspicious comment spammer IP: 9 days since last activity, threat score 40",
        ),
        ("dnsbl.httpbl.org", [127, 0, 3, 0], "succeeded at TX:real_ip. Search Engine: 0 days since last activity, threat score 3"),
        ("dnsbl.httpbl.org", [192, 0, 2, 1], "failed: bad response"),
        ("multi.uribl.com", [127, 0, 0, 14], "succeeded at TX:real_ip (BLACK,GREY,RED)."),
        ("zen.spamhaus.org", [127, 0, 0, 10], "succeeded at TX:real_ip (Delivering unauthenticated SMTP email)."),
        ("zen.spamhaus.org", [127, 0, 0, 99], "succeeded at TX:real_ip."),
        ("list.example", [127, 0, 0, 2], "succeeded at TX:real_ip."),
    ] {
        assert_eq!(said(zone, answer), looked(zone) + expected);
    }
}

#[test]
fn a_block_list_without_its_key_is_an_engine_error_where_its_rule_runs() {
    let text = "SecRule &ARGS:ask \"@eq 0\" \"id:1,phase:1,pass,nolog,skipAfter:BEHIND\"\n\
                SecRule REMOTE_ADDR \"@rbl dnsbl.httpbl.org\" \"id:2,phase:1,deny\"\nSecMarker BEHIND";
    assert_eq!(tx(text, "/").errors().len(), 0, "a setting skips it, so nothing is said when it is loaded");
    let asking = tx(text, "/?ask=1");
    assert_eq!((asking.errors().len(), asking.errors()[0].rule_id, asking.intervention().is_some()), (1, Some(2), false));
    assert!(asking.errors()[0].detail.contains("SecHttpBlKey"), "{:?}", asking.errors());
}

#[test]
fn a_variable_loses_a_part_of_its_value_with_time() {
    let set = rules(
        "SecAction \"id:1,phase:1,pass,nolog,initcol:ip=%{remote_addr},deprecatevar:ip.score=2/10\"\n\
         SecRule ARGS:add \"@rx .\" \"id:2,phase:1,pass,nolog,setvar:ip.score=+%{args.add},setvar:ip.other=-5\"\n\
         SecAction \"id:3,phase:1,pass,nolog,setvar:tx.score=%{ip.score},setvar:tx.other=%{ip.other},setvar:tx.stores=%{ip.update_counter}\"",
    );
    let mut collections = MemoryCollections::default();
    let mut visit = |second: u64, uri: &[u8]| {
        let now = second * 1_000_000;
        let mut tx = Transaction::new(Arc::clone(&set), Options { mode: Some(Mode::Block), now, ..Options::default() });
        tx.connection([192, 0, 2, 1].into(), 1, [192, 0, 2, 2].into(), 80);
        tx.request_line(b"GET / HTTP/1.1", b"GET", uri, b"HTTP/1.1");
        tx.request_headers_done(&mut collections);
        tx.log(&mut collections);
        ["score", "other", "stores"].map(|name| variable(&tx, name))
    };
    assert_eq!(visit(100, b"/?add=9"), ["9", "0", ""]);
    assert_eq!(visit(105, b"/"), ["9", "0", "1"], "no whole period has passed");
    assert_eq!(visit(121, b"/"), ["5", "0", "1"]);
    assert_eq!(visit(500, b"/"), ["0", "0", "2"], "never below zero");
}

#[test]
fn a_pattern_that_hits_its_step_limit_is_an_engine_error_and_no_verdict() {
    let set = rules(r#"SecRule ARGS:q "@rx ^(a|aa)+\1!$" "id:1,phase:2,deny""#);
    let long = format!("/?q={}", "a".repeat(4_000));
    let tx = get(&set, Some(Mode::Block), &long, &[]);
    assert_eq!(tx.errors().iter().map(|one| (one.rule_id, one.cause)).collect::<Vec<_>>(), [(Some(1), Cause::Operator)]);
    assert_eq!((ids(&tx), tx.intervention()), (vec![], None), "on_error decides, not the rule");
    assert!(get(&set, Some(Mode::Block), "/?q=aa!", &[]).errors().is_empty());
}

#[test]
fn the_unicode_map_holds_for_all_rules() {
    let rule = "SecRule QUERY_STRING \"@contains img\" \"id:1,phase:1,pass,t:none,t:urlDecodeUni\"\n";
    assert_eq!(ids(&tx(rule, "/?%u0131mg")), []);
    assert_eq!(ids(&tx(&format!("{rule}SecUnicodeMapFile unicode.mapping 20127\n"), "/?%u0131mg")), [1]);
}

/// A database with one network.
#[derive(Debug)]
struct Countries;

impl GeoDatabase for Countries {
    fn find(&self, address: std::net::IpAddr) -> Option<GeoRecord> {
        let known = address == std::net::IpAddr::from([192, 0, 2, 7]);
        known.then(|| GeoRecord { country_code: Some("CH".to_owned()), city: Some("Bern".to_owned()), ..GeoRecord::default() })
    }
}

#[test]
fn an_address_is_looked_up_in_the_database_of_the_caller() {
    let text = "SecGeoLookupDb geo/city.mmdb\nSecRule REMOTE_ADDR \"@geoLookup\" \"id:1,phase:1,deny,chain\"\n\
                SecRule GEO:COUNTRY_CODE \"@streq CH\" \"setvar:tx.city=%{geo.city}\"";
    let set = rules(text);
    assert_eq!(set.settings().geo_database.as_deref(), Some("geo/city.mmdb"));
    let visit = |last: u8, geo: Option<Arc<dyn GeoDatabase>>| {
        let mut tx = Transaction::new(Arc::clone(&set), Options { mode: Some(Mode::Block), geo, ..Options::default() });
        tx.connection([192, 0, 2, last].into(), 1, [192, 0, 2, 2].into(), 80);
        let denied = tx.request_headers_done(&mut MemoryCollections::default()).is_some();
        (denied, tx.tx_variable("city").cloned().unwrap_or_default(), tx.errors().len())
    };
    assert_eq!(visit(7, Some(Arc::new(Countries))), (true, "Bern".into(), 0));
    assert_eq!(visit(8, Some(Arc::new(Countries))), (false, "".into(), 0));
    assert_eq!(visit(7, None), (false, "".into(), 1));
}

#[test]
fn nolog_keeps_a_match_out_of_the_records() {
    let tx = tx("SecAction \"id:1,pass,nolog\"\nSecAction \"id:2,pass,nolog,auditlog\"\nSecAction \"id:3,pass,noauditlog\"", "/");
    let flags: Vec<_> = tx.matches().iter().map(|one| (one.rule_id, one.log, one.audit)).collect();
    assert_eq!(flags, [(2, false, true), (3, true, false)]);
}

#[test]
fn a_match_record_carries_what_the_rule_says() {
    let text = "\n SecRule ARGS:q \"@rx (ev.l)\" \"id:7,phase:2,pass,capture,msg:'saw %{tx.1}',logdata:'%{matched_var_name}=%{matched_var}',\
                tag:'a',tag:'b/%{rule.id}',severity:CRITICAL,rev:2,ver:'x/1',maturity:5,accuracy:6\"\n\
                SecRule HIGHEST_SEVERITY \"@eq 2\" \"id:8,phase:2,pass\"";
    let tx = tx(text, "/?q=an+evil+thing");
    let one = &tx.matches()[0];
    assert_eq!((one.rule_id, one.phase, one.line, one.file.as_ref()), (7, Phase::RequestBody, 2, "rules.conf"));
    assert_eq!((one.message.as_ref(), one.data.as_ref()), (&b"saw evil"[..], &b"ARGS:q=an evil thing"[..]));
    assert_eq!((one.tags[1].as_ref(), one.severity, one.matched.as_deref()), ("b/7", Some(2), Some(&b"evil"[..])));
    assert_eq!((one.revision.as_deref(), one.version.as_deref(), one.maturity, one.accuracy), (Some("2"), Some("x/1"), Some(5), Some(6)));
    assert_eq!(tx.matches()[1].rule_id, 8);
}
