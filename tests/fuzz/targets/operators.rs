//! Fuzz target: no operator panics on any argument and value, and asking twice gives the same answer. The first byte chooses the operator,
//! a zero byte ends the argument.

#![no_main]

use libfuzzer_sys::fuzz_target;
use seclang::MemoryFiles;
use seclang::operator::{Captures, Operator};

fuzz_target!(|data: &[u8]| {
    let Some((choice, rest)) = data.split_first() else { return };
    let names = Operator::names();
    let name = names[usize::from(*choice) % names.len()];
    // A quarter of the inputs go to the two that read SQL and HTML.
    let name = match choice % 8 {
        6 => "detectSQLi",
        7 => "detectXSS",
        _ => name,
    };
    let (argument, value) = match rest.iter().position(|byte| *byte == 0) {
        Some(end) => (&rest[..end], &rest[end + 1..]),
        None => (&b""[..], rest),
    };
    let Ok(argument) = std::str::from_utf8(argument) else { return };
    let files = MemoryFiles::new().with("words.txt", "union select\nalert(\n").with("nets.txt", "192.0.2.0/24\n2001:db8::/32\n");
    let Ok(operator) = Operator::compile(name, argument, &files, "rules.conf") else { return };
    let mut captures = Captures::default();
    let first = operator.matches(value, None, Some(&mut captures));
    assert_eq!(first, operator.matches(value, None, None), "{name} {argument}");
    let _ = operator.dns_name(value, Some("abcdefghijkl"));
});
