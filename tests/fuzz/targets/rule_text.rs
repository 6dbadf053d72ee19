//! Fuzz target: no rule text makes the loader panic, and what loads can run a transaction.

#![no_main]

use libfuzzer_sys::fuzz_target;
use seclang::{MemoryFiles, NoCollections, Options, RuleSet, Transaction};
use std::sync::Arc;

fuzz_target!(|text: &[u8]| {
    let files = MemoryFiles::new().with("rules.conf", text).with("words.data", "alpha\nbeta\n");
    let Ok((rules, _)) = RuleSet::load(&files, &["rules.conf"]) else { return };
    let options = Options { fuel: Some(1_000_000), ..Options::default() };
    let mut transaction = Transaction::new(Arc::new(rules), options);
    transaction.request_line(b"GET /a?b=c%20d HTTP/1.1", b"GET", b"/a?b=c%20d", b"HTTP/1.1");
    transaction.request_header(b"Host", b"a.example");
    transaction.request_header(b"Cookie", b"s=1; t=2");
    let _ = transaction.request_headers_done(&mut NoCollections);
    let _ = transaction.request_body_done(&mut NoCollections);
    transaction.log(&mut NoCollections);
});
