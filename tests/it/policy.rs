//! What a policy file means once it is read: defaults, narrowing, canonical forms.

use portcullis::limits;
use portcullis::policy::file::{Examined, Memory, Named, examine_text};
use portcullis::policy::{Authorization, HostHeader, Https, InspectionMode, Map, Policy, Require, RuleSetSource, Site, SiteName, Via};
use std::path::{Path, PathBuf};
use std::time::Duration;

const HEAD: &str = r#"
[[listener]]
address = "0.0.0.0:8443"
[[listener]]
address = "0.0.0.0:80"
tls = false
[[backend]]
name = "app"
members = ["https://App.Internal"]
"#;
const SITE: &str = r#"
[[site]]
names = ["App.Example.COM.", "*.apps.example.com"]
certificate = "site.pem"
"#;

fn files(extra: &[(&str, &str)]) -> Memory {
    let mut files = Memory::default();
    for (path, text) in
        [("etc/htpasswd", ""), ("etc/other", ""), ("etc/groups", ""), ("etc/site.pem", ""), ("etc/own.conf", ""), ("etc/two.conf", "")]
            .iter()
            .chain(extra)
    {
        files.0.insert(PathBuf::from(path), text.as_bytes().to_vec());
    }
    files
}

fn examined(text: &str, extra: &[(&str, &str)]) -> Examined {
    examine_text(Path::new("etc/gateway.toml"), text, &files(extra))
}

fn policy(text: &str) -> Policy {
    let examined = examined(text, &[]);
    let shown: Vec<String> = examined.diagnostics.iter().map(ToString::to_string).collect();
    examined.policy.unwrap_or_else(|| panic!("{}", shown.join("\n")))
}

fn map<'a>(site: &'a Site, path: &str) -> &'a Map {
    site.maps.iter().find(|m| &*m.path == path).unwrap()
}

#[test]
fn what_is_not_written_is_the_safe_default() {
    let p = policy(&format!(
        "[auth]\nusers = \"htpasswd\"\n{HEAD}{SITE}require = [\"valid-user\"]\n[[site.map]]\npath = \"/\"\nto = \"app/\"\n"
    ));
    let (site, map) = (&p.sites[0], &p.sites[0].maps[0]);
    assert!(p.listeners[0].tls && !p.listeners[1].tls && p.admin.is_none());
    assert_eq!((map.https, map.host, map.via, map.upgrades), (Https::Only, HostHeader::Pass, Via::Block, false));
    assert_eq!((map.inspection.mode, map.inspection.on_error_closed), (InspectionMode::Block, true));
    assert_eq!(p.rule_sets, [RuleSetSource::Baseline { directory: None }]);
    assert!(map.ntlm.block_ntlm && map.ntlm.block_negotiate && map.rate.is_none() && map.in_flight_max.is_none());
    assert!(map.mask.masks(500) && map.mask.masks(400) && map.mask.masks(405) && !map.mask.masks(404));
    assert!(matches!(map.auth.authorization, Authorization::Strip));
    assert_eq!(map.auth.users.as_deref(), Some(Path::new("etc/htpasswd")));
    assert_eq!(map.auth.groups, None);
    assert_eq!(site.names, [SiteName::Exact("app.example.com".into()), SiteName::Wildcard("apps.example.com".into())]);
    assert_eq!((&*site.name, site.https_port, site.hsts_seconds), ("app.example.com", 8443, None));
    let member = &p.backends[0].members[0];
    assert_eq!((member.host.as_str(), member.port, member.tls.as_ref().unwrap().name.as_str()), ("app.internal", 443, "app.internal"));
    assert_eq!(p.backends[0].between_bytes_timeout, limits::BACKEND_BETWEEN_BYTES_TIMEOUT);
    assert_eq!(p.limits.head_bytes_max, limits::HEAD_BYTES_MAX);
    // The built-in names are the redactor's own; see `audit::tests`.
    assert!(p.audit.redact_parameters.is_empty() && p.audit.redact_headers.is_empty());
    assert_eq!(p.audit.directory, Path::new("etc/../audit"));
    assert_eq!(map.source, "gateway.toml:17");
}

#[test]
fn a_narrower_level_overrides_key_by_key() {
    let p = policy(&format!(
        r#"
[auth]
users = "htpasswd"
groups = "groups"
realm = "Everybody"
[forward]
https = "redirect"
via = "on"
[inspection]
mode = "detect"
rules = ["baseline", "own.conf", "two.conf"]
{HEAD}{SITE}
require = ["group staff"]
auth = {{ realm = "Site" }}
via = "off"
[[site.map]]
path = "/"
to = "app/"
[[site.map]]
path = "/inner"
to = "app/deep"
require = ["all granted"]
auth = {{ users = "other", dangerously_allow_des = true }}
https = "only"
[site.map.inspection]
mode = "block"
"#
    ));
    let site = &p.sites[0];
    let paths: Vec<&str> = site.maps.iter().map(|m| &*m.path).collect();
    assert_eq!(paths, ["/inner", "/"], "the longest first");
    let (outer, inner) = (map(site, "/"), map(site, "/inner"));
    assert_eq!((outer.index, inner.index), (0, 1));
    assert_eq!((outer.https, outer.via, outer.auth.realm.as_str()), (Https::Redirect, Via::Off, "Site"));
    assert_eq!((inner.https, inner.via, inner.auth.realm.as_str()), (Https::Only, Via::Off, "Site"));
    assert_eq!(inner.auth.require, Require::Any(vec![Require::AllGranted]));
    assert_eq!((inner.auth.users.as_ref(), inner.auth.dangerously_allow_des), (None, true), "nothing needs a password there");
    assert_eq!(outer.auth.groups.as_deref(), Some(Path::new("etc/groups")));
    assert_eq!((outer.inspection.mode, inner.inspection.mode), (InspectionMode::Detect, InspectionMode::Block));
    assert_eq!(outer.inspection.rule_sets, inner.inspection.rule_sets);
    assert_eq!(p.rule_sets[1], RuleSetSource::Files(vec!["etc/own.conf".into(), "etc/two.conf".into()]));
    assert_eq!((inner.target_path.as_str(), inner.backend.as_ref().unwrap().index), ("/deep", 0));
    assert_eq!(site.unmapped.auth.require, Require::Any(vec![Require::Groups(vec!["staff".into()])]));
    assert_eq!((site.unmapped.via, site.unmapped.backend.is_none()), (Via::Off, true));
}

#[test]
fn maps_that_inherit_a_rate_limit_share_its_buckets() {
    let p = policy(&format!(
        r#"
[auth]
require = ["all granted"]
[rate_limit]
requests = 100
burst = 10
in_flight_max = 7
{HEAD}{SITE}
[[site.map]]
path = "/a"
to = "app/a"
[[site.map]]
path = "/b"
to = "app/b"
[[site.map]]
path = "/c"
to = "app/c"
rate_limit = {{ requests = 5, mode = "log" }}
[[site.map]]
path = "/d"
to = "app/d"
rate_limit = {{ mode = "off", in_flight_max = "none" }}
"#
    ));
    let site = &p.sites[0];
    let index = |path: &str| map(site, path).rate.as_ref().map(|r| r.index);
    assert_eq!((index("/a"), index("/b"), index("/c"), index("/d")), (Some(0), Some(0), Some(1), None));
    let own = map(site, "/c").rate.as_ref().unwrap();
    assert_eq!((own.requests, own.burst, own.period, own.log_only), (5, 10, Duration::from_secs(60), true));
    assert_eq!((map(site, "/a").in_flight_max, map(site, "/d").in_flight_max), (Some(7), None));
}

#[test]
fn replaced_credentials_come_from_their_file_and_are_never_shown() {
    let text = format!(
        "{HEAD}{SITE}require = [\"all granted\"]\n[[site.map]]\npath = \"/\"\nto = \"app/\"\nauth = {{ authorization = \"replace\", replace_credentials_file = \"login\" }}\n"
    );
    for (content, accepted) in
        [("svc:pa:ss\n", true), ("svc:pa:ss\r\n", true), ("svc:", true), (":x", false), ("", false), ("a:b\nc:d\n", false)]
    {
        let examined = examined(&text, &[("etc/login", content)]);
        assert_eq!(examined.policy.is_some(), accepted, "{content:?}");
        let shown = format!("{:?}{:?}", examined.policy, examined.diagnostics);
        assert!(!shown.contains("pa:ss") && !shown.contains("c3ZjOnBhOnNz"), "{shown}");
        if content.starts_with("svc:pa") {
            let policy = examined.policy.unwrap();
            assert!(matches!(&policy.sites[0].maps[0].auth.authorization, Authorization::Replace(a) if &**a == "Basic c3ZjOnBhOnNz"));
        }
    }
}

#[test]
fn a_policy_with_mistakes_still_names_its_files_for_further_checks() {
    let text = format!(
        "nonsense = 1\n[auth]\nusers = \"htpasswd\"\n{HEAD}{SITE}require = [\"valid-user\"]\ninspection = {{ rules = [\"absent.conf\", \"own.conf\"] }}\n[[site.map]]\npath = \"/\"\nto = \"app/\"\n"
    );
    let examined = examined(&text, &[]);
    assert!(examined.policy.is_none());
    assert!(examined.named.contains(&Named::Users { path: "etc/htpasswd".into(), dangerously_allow_des: false }));
    assert!(examined.named.iter().any(|n| matches!(n, Named::Certificate { files, .. } if files.certificate == Path::new("etc/site.pem"))));
    assert!(!examined.named.iter().any(|n| matches!(n, Named::Rules(RuleSetSource::Files(f)) if f.contains(&"etc/absent.conf".into()))));
}
