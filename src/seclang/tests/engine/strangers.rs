//! Whatever a stranger sends, the engine answers: every variable, transformation and body parser on arbitrary bytes.

use std::sync::{Arc, LazyLock};

use proptest::prelude::*;
use seclang::transform::Transformation;
use seclang::variable::Variable;
use seclang::{MemoryCollections, Mode, Options, RuleSet, Transaction};

use super::support::rules;

static RULES: LazyLock<Arc<RuleSet>> = LazyLock::new(|| {
    let mut text = String::from(
        "SecRequestBodyAccess On\nSecResponseBodyAccess On\nSecArgumentsLimit 20\n\
         SecRule REQUEST_HEADERS:Content-Type \"@rx json\" \"id:1,phase:1,pass,nolog,ctl:requestBodyProcessor=JSON\"\n\
         SecRule REQUEST_HEADERS:Content-Type \"@rx xml\" \"id:2,phase:1,pass,nolog,ctl:requestBodyProcessor=XML\"\n\
         SecAction \"id:3,phase:1,pass,nolog,initcol:ip=%{request_headers.x-any},setvar:'ip.%{args.a}=%{request_uri}',setvar:'tx.%{args.a}=+%{args.b}'\"\n",
    );
    for (index, variable) in Variable::names().enumerate() {
        let target = if variable == "XML" { "XML:/*" } else { variable };
        for phase in [2, 4, 5] {
            let id = 1_000 + index * 10 + phase;
            text += &format!(
                "SecRule {target} \"@rx (.)x(.?)\" \"id:{id},phase:{phase},pass,capture,msg:'%{{matched_var}}',setvar:tx.%{{tx.1}}=%{{matched_var}}\"\n"
            );
        }
    }
    for (index, transformation) in Transformation::ALL.iter().enumerate() {
        let id = 9_000 + index;
        text += &format!("SecRule ARGS|REQUEST_BODY \"@rx .\" \"id:{id},phase:2,pass,nolog,multiMatch,t:{}\"\n", transformation.name());
    }
    rules(&text)
});

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(
        uri in prop::collection::vec(any::<u8>(), 0..60),
        kind in prop::sample::select(vec!["application/json", "text/xml", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""]),
        headers in prop::collection::vec(("[Cc]ookie|[Hh]ost|x-any|Content-Type", prop::collection::vec(any::<u8>(), 0..30)), 0..4),
        body in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let mut collections = MemoryCollections::with_capacity(4);
        let mut tx = Transaction::new(Arc::clone(&RULES), Options { mode: Some(Mode::Block), ..Options::default() });
        tx.request_line(&uri, b"POST", &uri, b"HTTP/1.1");
        tx.request_header(b"Content-Type", kind.as_bytes());
        headers.iter().for_each(|(name, value)| tx.request_header(name.as_bytes(), value));
        tx.request_headers_done(&mut collections);
        tx.request_body(&body);
        tx.request_body_done(&mut collections);
        tx.response_line(200, b"HTTP/1.1");
        tx.response_header(b"Content-Type", b"text/html");
        tx.response_headers_done(&mut collections);
        tx.response_body(&body);
        tx.response_body_done(&mut collections);
        tx.log(&mut collections);
        prop_assert!(tx.matches().len() as u64 <= tx.matches_total());
    }
}
