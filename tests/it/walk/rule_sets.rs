//! Promises of rule sets: the Core Rule Set as it comes, its settings by map, plugins in their order, exclusions by place and day.

use crate::backend::{Backend, ok};
use crate::gateway::{Gate, ask, get, run, site};
use portcullis::server::prepare;
use std::fs;
use std::path::{Path, PathBuf};

const INJECTION: &str = "?id=1%27%20OR%201=1%20UNION%20SELECT%20password%20FROM%20users--%20-";
const BROWSER: &str = "User-Agent: Mozilla/5.0\r\nAccept: */*\r\n";

/// The Core Rule Set's folder, or none, said aloud.
fn crs() -> Option<PathBuf> {
    let folder =
        std::env::var_os("PORTCULLIS_CRS").map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/crs"), PathBuf::from);
    if folder.join("rules").is_dir() {
        return Some(folder);
    }
    println!("skipped: no Core Rule Set in {}; set PORTCULLIS_CRS to a release", folder.display());
    None
}

/// A policy with the Core Rule Set and these maps, `(path, settings)`.
fn policy(crs: &Path, inspection: &str, backend: std::net::SocketAddr, maps: &[(&str, &str)]) -> String {
    let maps: String = maps.iter().map(|(path, more)| format!("[[site.map]]\npath = \"{path}\"\nto = \"app{path}\"\n{more}\n")).collect();
    let open = "require = [\"all granted\"]\nhttps = \"either\"";
    format!("[inspection]\nrules = [\"crs\"]\ncrs_directory = \"{}\"\n{inspection}\n{}{maps}", crs.display(), site(backend, open))
}

#[test]
fn one_compiled_core_rule_set_serves_maps_with_levels_thresholds_and_variables_of_their_own() {
    let Some(crs) = crs() else { return };
    run(async {
        let backend = Backend::start(|_| ok("x")).await;
        let gate = Gate::start(&policy(
            &crs,
            "",
            backend.address,
            &[
                ("/", ""),
                ("/strict", "inspection = { paranoia_level = 4 }"),
                ("/patient", "inspection = { inbound_threshold = 1000 }"),
                ("/watched", "inspection = { detection_paranoia_level = 4 }"),
                ("/short", "inspection = { variables = { arg_length = 10 } }"),
            ],
        ));
        // Level 4 counts characters that level 1 lets pass.
        let odd = "?q=%3Ca%3Eb%7Cc%3Ed%7B%7D";
        for (path, query, status) in [
            ("/plain", "?id=1", 200),
            ("/attack", INJECTION, 403),
            ("/odd", odd, 200),
            ("/strict/odd", odd, 403),
            ("/patient/attack", INJECTION, 200),
            ("/watched/odd", odd, 200),
            ("/long", "?q=twelve-letters", 200),
            ("/short/long", "?q=twelve-letters", 403),
        ] {
            assert_eq!(ask(gate.plain, get(&format!("{path}{query}"), BROWSER)).await.status, status, "{path}");
        }
        let record = gate.record("/patient/attack").await;
        assert!(record["inspection"]["score"].as_i64().unwrap() >= 5, "{record:#}");
        assert!(gate.record("/odd").await["rules"].is_null());
        assert!(gate.record("/watched/odd").await["rules"].is_array(), "level 4 runs there without counting");
        let attack = gate.record("/attack").await;
        let ids: Vec<u64> = attack["rules"].as_array().unwrap().iter().map(|r| r["id"].as_u64().unwrap()).collect();
        assert!(ids.contains(&942_100) && ids.contains(&949_110), "{ids:?}");
    });
}

#[test]
fn the_policy_wins_over_the_setup_file_and_plugins_load_in_their_order() {
    let Some(crs) = crs() else { return };
    let folder = tempfile::tempdir().unwrap();
    let release = folder.path().join("release");
    fs::create_dir_all(release.join("plugins")).unwrap();
    std::os::unix::fs::symlink(fs::canonicalize(crs.join("rules")).unwrap(), release.join("rules")).unwrap();
    let setup = fs::read_to_string(crs.join("crs-setup.conf.example")).unwrap();
    let raised = "SecAction \"id:900000,phase:1,pass,nolog,setvar:tx.blocking_paranoia_level=3\"\n";
    fs::write(release.join("crs-setup.conf"), format!("{setup}\n{raised}")).unwrap();
    // Each plugin file may only use what those before it have set.
    let note =
        |id: u32, text: &str| format!("SecAction \"id:{id},phase:1,pass,log,msg:'{text}',setvar:tx.order=%{{tx.order}}{}\"\n", &text[..1]);
    for (name, text) in [
        ("b-config.conf", note(9_500_001, "config %{tx.order} %{tx.crs_setup_version}")),
        ("a-before.conf", note(9_500_002, "before %{tx.order} at %{tx.detection_paranoia_level}")),
        ("a-after.conf", note(9_500_003, "after %{tx.order} at %{tx.blocking_paranoia_level}")),
    ] {
        fs::write(release.join("plugins").join(name), text).unwrap();
    }
    run(async {
        let backend = Backend::start(|_| ok("x")).await;
        let maps = [("/", "inspection = { paranoia_level = 1 }"), ("/setup", "inspection = { inbound_threshold = 1000 }")];
        let gate = Gate::start(&policy(&release, "", backend.address, &maps));
        let messages = |record: &serde_json::Value| -> Vec<String> {
            record["rules"].as_array().unwrap().iter().map(|r| r["message"].as_str().unwrap().to_owned()).collect()
        };
        assert_eq!(ask(gate.plain, get("/policy?id=1", BROWSER)).await.status, 200);
        let [config, before, after] = &messages(&gate.record("/policy").await)[..] else { panic!("three notes") };
        // A rule's message is written after its own variables are set.
        assert!(config.starts_with("config c 4"), "{config}");
        assert_eq!((before.as_str(), after.as_str()), ("before cb at 1", "after cba at 1"));
        assert_eq!(ask(gate.plain, get("/setup/x?id=1", BROWSER)).await.status, 200);
        let setup = messages(&gate.record("/setup/x").await);
        assert!(setup.iter().any(|m| m == "after cba at 3"), "{setup:?}");
    });
}

#[test]
fn debians_package_loads_as_it_is() {
    let debian = Path::new("/usr/share/modsecurity-crs");
    if !debian.join("rules").is_dir() {
        println!("skipped: modsecurity-crs is not installed");
        return;
    }
    run(async {
        let backend = Backend::start(|_| ok("x")).await;
        let gate =
            Gate::start(&policy(debian, "", backend.address, &[("/", ""), ("/patient", "inspection = { inbound_threshold = 1000 }")]));
        assert_eq!(ask(gate.plain, get("/fine?id=1", BROWSER)).await.status, 200);
        assert_eq!(ask(gate.plain, get(&format!("/attack{INJECTION}"), BROWSER)).await.status, 403);
        assert_eq!(ask(gate.plain, get(&format!("/patient/attack{INJECTION}"), BROWSER)).await.status, 200);
    });
}

const ABOUT: &str = "reason = \"a test\"\nowner = \"the tests\"\n";

#[test]
fn an_exclusion_holds_for_its_site_path_variable_and_time_and_the_record_names_it() {
    let Some(crs) = crs() else { return };
    run(async {
        let backend = Backend::start(|_| ok("x")).await;
        let maps = [
            ("/", ""),
            (
                "/wiki",
                &*format!(
                    "[[site.map.exclusion]]\nrule = \"tag attack-sqli\"\ntarget = \"ARGS:body\"\npath = \"/wiki/edit\"\n{ABOUT}\
                     [[site.map.exclusion]]\nrule = \"942000-942999\"\npath = \"/wiki/old\"\nexpires = \"2020-12-31\"\n{ABOUT}\
                     [[site.map.exclusion]]\nrule = [949110, 959100]\npath = \"/wiki/free\"\nexpires = \"2999-12-31\"\n{ABOUT}"
                ),
            ),
        ];
        let gate = Gate::start(&policy(&crs, "", backend.address, &maps));
        let attack = |path: &str, name: &str| get(&format!("{path}{}", INJECTION.replace("id=", &format!("{name}="))), BROWSER);
        for (path, name, status) in [
            ("/wiki/edit", "body", 200),
            ("/wiki/edit/page", "body", 200),
            ("/wiki/edit2", "body", 403),
            ("/wiki/view", "body", 403),
            ("/edit", "body", 403),
            ("/wiki/edit/title", "title", 403),
            ("/wiki/old", "body", 403),
            ("/wiki/free", "body", 200),
        ] {
            assert_eq!(ask(gate.plain, attack(path, name)).await.status, status, "{path}");
        }
        let named = gate.record("/wiki/edit").await["inspection"]["exclusions"].clone();
        assert_eq!(named.as_array().map(Vec::len), Some(1), "{named}");
        assert!(named[0].as_str().unwrap().starts_with("gateway.toml:"), "{named}");
        assert!(gate.record("/wiki/view").await["inspection"]["exclusions"].is_null());
        assert!(gate.record("/wiki/old").await["inspection"]["exclusions"].is_null());
        let free = gate.record("/wiki/free").await;
        assert!(free["rules"].as_array().unwrap().iter().any(|r| r["id"] == 942_100), "the others still ran: {free:#}");
    });
}

#[test]
fn no_spelling_carries_a_request_into_an_excluded_path() {
    run(async {
        let backend = Backend::start(|_| ok("x")).await;
        let open = "require = [\"all granted\"]\nhttps = \"either\"";
        let excluded = format!("[[site.map.exclusion]]\nrule = \"1-99999\"\npath = \"/raw\"\n{ABOUT}");
        let maps = format!("[[site.map]]\npath = \"/\"\nto = \"app/\"\n{excluded}");
        let gate = Gate::start(&format!("[inspection]\nmode = \"block\"\n{}{maps}", site(backend.address, open)));
        let attack = "?q=%3Cscript%3Ealert(1)%3C/script%3E";
        for (path, status) in [
            ("/raw/x", 200),
            ("/%72aw/x", 200),
            ("/x/../raw/x", 400),
            ("/raw/../x", 400),
            ("/raw%2F..%2Fx", 400),
            ("/raw/..%2Fx", 400),
            ("/raw/..%5Cx", 400),
            ("/raw/..;/x", 400),
            ("/RAW/x", 403),
        ] {
            assert_eq!(ask(gate.plain, get(&format!("{path}{attack}"), BROWSER)).await.status, status, "{path}");
        }
    });
}

#[test]
fn an_exclusion_that_excludes_nothing_is_a_warning_at_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let exclusion = |more: &str| format!("[[exclusion]]\n{more}\n{ABOUT}");
    let text = format!(
        "[[listener]]\naddress = \"127.0.0.1:8080\"\ntls = false\n[forward]\nhttps = \"either\"\n\
         [[backend]]\nname = \"app\"\nmembers = [\"http://127.0.0.1:9\"]\n\
         {}{}{}{}{}[[site]]\nnames = [\"a.test\"]\nrequire = [\"all granted\"]\n[[site.map]]\npath = \"/a\"\nto = \"app/a\"\n",
        exclusion("rule = [10310, 99999, \"tag attack-sql\"]"),
        exclusion("rule = 10310\npath = \"/b\""),
        exclusion("rule = 10310\nexpires = \"2020-12-31\""),
        exclusion("rule = 10310\npath = \"/a/b\"\ntarget = \"ARGS:x|REQUEST_HEADERS:Referer\""),
        exclusion("rule = 10310\ntarget = \"ARGS:x|ARGS:json.text\""),
    );
    let path = folder.path().join("gateway.toml");
    fs::write(&path, &text).unwrap();
    let warnings = prepare(&path).unwrap_or_else(|e| panic!("{e:?}")).warnings;
    let shown: Vec<String> = warnings.iter().map(|w| format!("{}: {} ({})", w.place.unwrap().line, w.message, w.help)).collect();
    assert_eq!(
        shown,
        [
            "10: no rule has the id 99999 (was it renumbered or removed?)",
            "10: no rule has the tag attack-sql (did you mean \"tag attack-sqli\"?)",
            "15: no path that this exclusion is for lies here (write a path inside one of the maps)",
            "20: this exclusion ended with 2020-12-31: its rules apply again (remove it, or ask its owner, the tests, for a later day)",
            "31: members of JSON bodies have no `json.` before their names here, as in ModSecurity 2 (write `ARGS:text`)",
        ]
    );
    fs::write(&path, text.replace("ARGS:x", "ARG:x")).unwrap();
    let mistakes = prepare(&path).unwrap_err();
    let found = mistakes.iter().find(|d| d.is_error()).unwrap();
    assert_eq!((found.place.unwrap().line, found.message.as_str()), (26, "unknown variable `ARG`"), "{mistakes:?}");
}

#[test]
fn rules_that_can_do_nothing_are_warnings_at_their_place() {
    let folder = tempfile::tempdir().unwrap();
    let rules = [
        "SecRuleEngine On",
        "SecRule ARGS_POST:a \"@rx x\" \"id:1,phase:1,deny\"",
        "SecRule &FILES \"@eq 0\" \"id:2,phase:1,pass\"",
        "SecRule RESPONSE_HEADERS:a|RESPONSE_STATUS \"@rx x\" \"id:3,phase:2,pass\"",
        "SecRule RESPONSE_BODY \"@rx x\" \"id:4,phase:4,deny\"",
        "SecAction \"id:5,phase:3,pass,nolog,skipAfter:END\"",
        "SecRule RESPONSE_STATUS \"@eq 500\" \"id:6,phase:3,pass\"",
        "SecMarker END",
        "SecRule RESPONSE_STATUS \"@eq 500\" \"id:7,phase:3,pass,tag:'own-tag'\"",
        "SecRule ARGS:a \"@rx y\" \"id:8,phase:2,pass,ctl:ruleRemoveById=99,ctl:ruleRemoveTargetByTag=own-tg;ARGS:b\"",
        "SecAction \"id:9,phase:5,pass,ctl:ruleRemoveByTag=own-tag\"",
        "SecAction \"id:10,phase:2,allow:phase\"",
        "SecRule ARGS \"@rx z\" \"id:11,phase:2,deny\"",
    ];
    let path = folder.path().join("own.conf");
    fs::write(&path, rules.join("\n")).unwrap();
    let found = portcullis::layers::inspection::check_rules(&portcullis::policy::RuleSetSource::Files(vec![path]));
    let mut shown: Vec<String> = found.iter().map(|w| format!("{}: {} ({})", w.place.unwrap().line, w.message, w.help)).collect();
    shown.sort_by_key(|line| line.split(':').next().unwrap().parse::<u32>().unwrap());
    assert!(found.iter().all(|w| !w.is_error() && rules[w.place.unwrap().line - 1] == w.line_text), "{found:?}");
    assert_eq!(
        shown,
        [
            "2: this rule never matches: ARGS_POST is empty in phase 1 (write phase:2)",
            "4: this rule never matches: RESPONSE_HEADERS is empty in phase 2 (write phase:3)",
            "5: this rule never matches: the response body is not looked at (write SecResponseBodyAccess On, or set it with ctl)",
            "7: this rule never runs: rule 5 ends the way to it (move it before that rule, or remove it)",
            "10: this ctl does nothing: no rule has the id 99 (was it renumbered or removed?)",
            "10: this ctl does nothing: no rule has a tag with `own-tg` (did you mean `own-tag`?)",
            "13: this rule never runs: rule 10 ends the way to it (move it before that rule, or remove it)",
        ]
    );
}
