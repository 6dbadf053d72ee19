//! A rule has matched: its disruptive action, and the record of it.

use std::sync::Arc;

use bytes::Bytes;

use super::Run;
use crate::action::Disruptive;
use crate::expand::Template;
use crate::limits;
use crate::ruleset::Rule;
use crate::transaction::{Mode, Transaction};
use crate::verdict::{Disruption, Effect, Intervention, Match, Phase};

impl Transaction {
    /// Called for each match of the last link, which is the latest one where a value has matched.
    pub(super) fn complete(&mut self, run: &mut Run<'_>, has_value: bool, matched: Option<Bytes>) {
        let rule = run.rule;
        if let Some(severity) = rule.severity {
            self.state.highest_severity = Some(self.state.highest_severity.map_or(severity, |highest| highest.min(severity)));
        }
        let (effect, status) = self.disrupt(rule);
        if !rule.log && !rule.audit && effect == Effect::None {
            return;
        }
        let score = std::mem::take(&mut run.score);
        self.matches_total += 1;
        if run.records >= limits::MATCHES_PER_RULE_MAX || self.matches.len() >= limits::MATCHES_MAX {
            return;
        }
        run.records += 1;
        let message = rule.message.as_ref().map(|template| self.expand_for_record(template)).unwrap_or_default();
        let data = rule.data.as_ref().map(|template| self.expand_for_record(template)).unwrap_or_default();
        let tags = self.tags(rule);
        let latest = self.state.matched.as_ref().filter(|_| has_value);
        let value = latest.map(|latest| latest.value.clone()).unwrap_or_default();
        let variable = latest.and_then(|_| self.matched_name()).unwrap_or_default();
        self.matches.push(Match {
            rule_id: rule.id,
            phase: rule.phase,
            message: cut(message),
            data: cut(data),
            tags,
            severity: rule.severity,
            variable: cut(variable),
            value: cut(value),
            matched: matched.map(cut),
            score,
            file: rule.file.clone(),
            line: rule.line,
            revision: rule.revision.clone(),
            version: rule.version.clone(),
            maturity: rule.maturity,
            accuracy: rule.accuracy,
            log: rule.log,
            audit: rule.audit,
            effect,
            status,
        });
    }

    fn disrupt(&mut self, rule: &Rule) -> (Effect, Option<u16>) {
        let acts = self.mode == Mode::Block && rule.phase != Phase::Logging;
        match &rule.disruptive {
            Disruptive::Pass | Disruptive::Block => (Effect::None, None),
            Disruptive::Allow(reach) if acts => {
                self.state.allow = Some((*reach, rule.phase));
                (Effect::Allowed, None)
            }
            Disruptive::Allow(_) => (Effect::WouldIntervene, None),
            Disruptive::Disrupt(action, url) => {
                let redirects = *action == Disruption::Redirect;
                let status = rule.status.filter(|status| !redirects || (300..400).contains(status));
                let status = status.unwrap_or(if redirects { 302 } else { 403 });
                let url = url.as_ref().map(|template| self.expand(template));
                let intervention = Intervention { action: *action, status, rule_id: rule.id, phase: rule.phase, url };
                if acts {
                    self.intervention.get_or_insert(intervention);
                    return (Effect::Intervened, Some(status));
                }
                if rule.phase != Phase::Logging {
                    self.would_intervene.get_or_insert(intervention);
                }
                (Effect::WouldIntervene, Some(status))
            }
        }
    }

    fn tags(&self, rule: &Rule) -> Arc<[Arc<str>]> {
        if !rule.tags.iter().any(|tag| tag.contains("%{")) {
            return Arc::clone(&rule.tags);
        }
        let expanded = |tag: &Arc<str>| {
            let text = self.expand_for_record(&Template::parse(tag).0);
            Arc::from(String::from_utf8_lossy(&text).as_ref())
        };
        rule.tags.iter().map(expanded).collect()
    }
}

/// Cuts to what a record keeps. The copy lets go of the body the value is a range of.
fn cut(value: Bytes) -> Bytes {
    Bytes::copy_from_slice(value.get(..limits::RECORD_BYTES_MAX).unwrap_or(&value))
}
