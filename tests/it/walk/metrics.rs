//! Promises of `/metrics`: what happened can be read off it, and nothing of a stranger's choosing stands in it.

use crate::backend::{Backend, Step, ok, raw, script};
use crate::gateway::{ALICE, Gate, WRONG, ask, ask_tls, get, open_site, run};

async fn metrics(gate: &Gate) -> String {
    let answer = ask(gate.gateway().admin_address().unwrap(), "GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
    assert_eq!((answer.status, answer.header("content-type")), (200, "text/plain; version=0.0.4; charset=utf-8"));
    answer.text().to_owned()
}

/// Every line is a comment or a sample, and every family is begun once, before its samples.
fn follow_the_format(text: &str) {
    let mut families = std::collections::HashSet::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            assert!(families.insert(rest.split(' ').next().unwrap().to_owned()), "{line}");
        } else if !line.starts_with("# HELP ") {
            let (series, value) = line.rsplit_once(' ').unwrap();
            assert!(value.parse::<f64>().is_ok(), "{line}");
            let name = series.split('{').next().unwrap();
            let family = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end)).filter(|f| families.contains(*f));
            assert!(families.contains(family.unwrap_or(name)), "{line}");
        }
    }
}

#[test]
fn what_happened_can_be_read_off_the_metrics() {
    run(async {
        let backend = Backend::start(|r| match r.head().split(' ').nth(1).unwrap() {
            "/broken" => raw("HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n"),
            "/garbage" => script([Step::Send(b"SSH-2.0\r\n".to_vec()), Step::Close]),
            _ => ok("x"),
        })
        .await;
        let policy = |more: &str| {
            format!(
                "[admin]\naddress = \"127.0.0.1:0\"\n[inspection]\nmode = \"block\"\nrules = [\"baseline\"]\n{}{more}",
                open_site(backend.address, "require = [\"valid-user\"]\nrate_limit = { requests = 5, burst = 5, period_seconds = 3600 }")
            )
        };
        let gate = Gate::start(&policy(""));
        for (path, login) in [("/fine", ALICE), ("/broken", ALICE), ("/garbage", ALICE), ("/none", ""), ("/wrong", WRONG)] {
            ask(gate.plain, get(path, login)).await;
            gate.record(path).await;
        }
        for _ in 0..4 {
            ask_tls(gate.tls, get("/?q=1'+union+select+password+from+users--", ALICE)).await;
        }
        gate.records_of("/", 4).await;
        gate.reload("[[").unwrap_err();
        gate.reload(&policy("")).unwrap();
        let text = metrics(&gate).await;
        follow_the_format(&text);
        for line in [
            "portcullis_requests_total{site=\"app.test\",code=\"200\",layer=\"none\",action=\"allow\"} 1",
            "portcullis_requests_total{site=\"app.test\",code=\"500\",layer=\"none\",action=\"mask\"} 1",
            "portcullis_requests_total{site=\"app.test\",code=\"502\",layer=\"forwarding\",action=\"deny\"} 1",
            "portcullis_requests_total{site=\"app.test\",code=\"401\",layer=\"basic_auth\",action=\"challenge\"} 2",
            "portcullis_requests_total{site=\"app.test\",code=\"403\",layer=\"inspection\",action=\"deny\"} 2",
            "portcullis_requests_total{site=\"app.test\",code=\"429\",layer=\"rate_limit\",action=\"deny\"} 2",
            "portcullis_request_duration_seconds_count 9",
            "portcullis_layer_duration_seconds_count{layer=\"door\"} 9",
            "portcullis_layer_duration_seconds_count{layer=\"forwarding\"} 3",
            "portcullis_rate_limited_total{key=\"user\"} 2",
            "portcullis_auth_total{result=\"wrong\"} 1",
            "portcullis_upstream_answers_total{backend=\"app\",code=\"200\"} 1",
            "portcullis_upstream_answers_total{backend=\"app\",code=\"500\"} 1",
            "portcullis_upstream_errors_total{backend=\"app\",reason=\"backend_garbage\"} 1",
            "portcullis_config_reloads_total{result=\"taken_up\"} 1",
            "portcullis_config_reloads_total{result=\"refused\"} 1",
            "portcullis_audit_dropped_total 0",
        ] {
            assert!(text.lines().any(|l| l == line), "no {line} in\n{text}");
        }
        for begin in ["portcullis_rule_matches_total{rule_id=\"", "portcullis_tls_cert_not_after_seconds{site=\"app.test\"} 1"] {
            assert!(text.lines().any(|l| l.starts_with(begin)), "no {begin} in\n{text}");
        }
        for stranger in ["alice", "union", "/fine", "password"] {
            assert!(!text.contains(stranger), "{stranger} in\n{text}");
        }
    });
}

#[test]
fn metrics_are_on_the_admin_listener_only() {
    run(async {
        let backend = Backend::start(|_| ok("the application's own")).await;
        let gate = Gate::start(&open_site(backend.address, ""));
        assert_eq!(ask(gate.plain, get("/metrics", "")).await.text(), "the application's own");
    });
}
