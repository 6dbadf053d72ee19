//! The Core Rule Set loads without an error, and stops an attack in its stock configuration.

use std::sync::Arc;

use seclang::{Mode, Phase, RuleSet};

use super::support::{Folder, crs_folder, get, ids};

fn load() -> Option<Arc<RuleSet>> {
    match RuleSet::load(&Folder(crs_folder()?), &["crs-setup.conf.example", "rules/*.conf"]) {
        Ok((rules, warnings)) => {
            assert!(warnings.is_empty(), "{}", warnings.iter().map(|one| format!("{one}\n")).collect::<String>());
            Some(Arc::new(rules))
        }
        Err(diagnostics) => panic!("{}", diagnostics.iter().map(|one| format!("{one}\n")).collect::<String>()),
    }
}

#[test]
fn all_of_it_loads() {
    let Some(rules) = load() else { return };
    assert!(rules.rules().len() > 600, "{}", rules.rules().len());
    assert!(rules.count(Phase::RequestBody) > 200);
}

#[test]
fn an_attack_is_denied_and_an_ordinary_request_is_not() {
    let Some(rules) = load() else { return };
    let headers = [("Host", "www.example.com"), ("User-Agent", "Mozilla/5.0"), ("Accept", "*/*")];
    let tx = get(&rules, Some(Mode::Block), "/?id=1%27%20OR%201=1%20UNION%20SELECT%20password%20FROM%20users--%20-", &headers);
    assert_eq!(tx.intervention().map(|one| (one.rule_id, one.status)), Some((949_110, 403)), "{:?} {:?}", ids(&tx), tx.errors());
    assert!(tx.errors().is_empty(), "{:?}", tx.errors());
    let tx = get(&rules, Some(Mode::Block), "/products?page=2&sort=name", &headers);
    assert_eq!(tx.intervention(), None, "{:?}", ids(&tx));
    assert_eq!(ids(&tx), []);
}
