//! Fuzz target: no body of any type makes a transaction panic. The first byte chooses the type.

#![no_main]

use libfuzzer_sys::fuzz_target;
use seclang::{MemoryFiles, NoCollections, Options, RuleSet, Transaction};
use std::sync::{Arc, LazyLock};

const RULES: &str = "SecRuleEngine On\nSecRequestBodyAccess On\n\
    SecRule REQUEST_HEADERS:Content-Type \"@contains json\" \"id:1,phase:1,pass,nolog,ctl:requestBodyProcessor=JSON\"\n\
    SecRule REQUEST_HEADERS:Content-Type \"@contains xml\" \"id:2,phase:1,pass,nolog,ctl:requestBodyProcessor=XML\"\n\
    SecRule ARGS|ARGS_NAMES|FILES|FILES_NAMES|XML:/*|REQUEST_BODY \"@rx attack\" \"id:3,phase:2,deny,t:urlDecodeUni,t:htmlEntityDecode,t:jsDecode,t:cssDecode\"\n";

static COMPILED: LazyLock<Option<Arc<RuleSet>>> = LazyLock::new(|| {
    let files = MemoryFiles::new().with("rules.conf", RULES);
    RuleSet::load(&files, &["rules.conf"]).ok().map(|(rules, _)| Arc::new(rules))
});

fuzz_target!(|input: &[u8]| {
    let rules = COMPILED.clone().expect("the rules of this target load");
    let Some((kind, body)) = input.split_first() else { return };
    let types: [&[u8]; 4] =
        [b"application/x-www-form-urlencoded", b"multipart/form-data; boundary=xx", b"application/json", b"application/xml"];
    let mut transaction = Transaction::new(rules, Options::default());
    transaction.request_line(b"POST / HTTP/1.1", b"POST", b"/", b"HTTP/1.1");
    transaction.request_header(b"Content-Type", types[usize::from(kind % 4)]);
    let _ = transaction.request_headers_done(&mut NoCollections);
    for piece in body.chunks(1000) {
        let _ = transaction.request_body(piece);
    }
    let _ = transaction.request_body_done(&mut NoCollections);
});
