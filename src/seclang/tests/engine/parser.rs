//! The parser and the compiler never panic, whatever the text.

use proptest::prelude::*;
use seclang::{MemoryFiles, RuleSet};

const WORDS: &[&str] = &[
    "SecRule",
    "SecAction",
    "SecMarker",
    "SecDefaultAction",
    "SecRuleUpdateTargetById",
    "SecRuleRemoveById",
    "Include",
    "ARGS",
    "TX:/x/",
    "!ARGS:a",
    "&",
    "|",
    "\"",
    "'",
    "\\",
    "\n",
    "\\\n",
    " ",
    ":",
    ",",
    "=",
    "@rx",
    "@pm",
    "!",
    "(",
    "[",
    "%{tx.0}",
    "%{",
    "}",
    "id:1",
    "chain",
    "phase:2",
    "t:none",
    "ctl:ruleRemoveById=1-",
    "setvar:",
    "é",
    "/",
    "#",
    "1",
    "deny",
    "SecRuleEngine",
    "On",
    "<",
    "XML:/*",
];

proptest! {
    #[test]
    fn any_text(text in "\\PC*") {
        let _ = RuleSet::load(&MemoryFiles::new().with("a.conf", text), &["a.conf"]);
    }

    #[test]
    fn text_made_of_the_languages_pieces(picks in prop::collection::vec(0..WORDS.len(), 0..40)) {
        let text: String = picks.iter().map(|pick| WORDS[*pick]).collect();
        if let Err(diagnostics) = RuleSet::load(&MemoryFiles::new().with("a.conf", text), &["a.conf"]) {
            for diagnostic in diagnostics {
                prop_assert!(!diagnostic.to_string().is_empty());
            }
        }
    }
}
