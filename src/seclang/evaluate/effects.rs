//! What a match does besides deciding: variables, collections, `ctl`.

use bytes::Bytes;

use super::Run;
use crate::action::{Assignment, Control, Effect, SetVariable, Switch};
use crate::collections::{Change, Collections};
use crate::limits;
use crate::ruleset::{Link, Quick, SetTx, TxChange};
use crate::transaction::{Mode, OpenRecord, Transaction};
use crate::tx::decimal;
use crate::value::{hash, integer};
use crate::variable::Variable;
use crate::verdict::Cause;

impl Transaction {
    /// Runs the effects of a link once, for one match.
    pub(super) fn apply_effects(&mut self, run: &mut Run<'_>, number: usize, link: &Link, collections: &mut dyn Collections) {
        let Some(planned) = run.planned.and_then(|rule| rule.links.get(number)) else {
            link.effects.iter().for_each(|effect| self.apply_effect(run, effect, collections));
            return;
        };
        for quick in &planned.effects {
            match quick {
                Quick::SetTx(set) => self.set_tx(run, set),
                Quick::Other(index) => {
                    if let Some(effect) = link.effects.get(*index as usize) {
                        self.apply_effect(run, effect, collections);
                    }
                }
            }
        }
    }

    /// `setvar` of a variable of TX by its place: what [`Self::set_variable`] does, without looking names up.
    fn set_tx(&mut self, run: &mut Run<'_>, set: &SetTx) {
        let tx = &self.state.tx;
        let number = |place: u32| tx.at(place).map_or(0, |value| integer(value));
        let value = match &set.change {
            TxChange::Set(value) => value.clone(),
            TxChange::Copy(from) => {
                let value = tx.at(*from).cloned().unwrap_or_default();
                let kept = value.len().min(limits::EXPANSION_BYTES_MAX);
                if kept < value.len() {
                    self.error(Cause::Limit, Some(run.rule.id), "an expansion of macros was cut at its limit");
                }
                value.slice(..kept)
            }
            TxChange::Add(_) | TxChange::AddOther(..) => {
                let points = match set.change {
                    TxChange::Add(points) => points,
                    TxChange::AddOther(from, true) => number(from).saturating_neg(),
                    TxChange::AddOther(from, false) => number(from),
                    TxChange::Set(_) | TxChange::Copy(_) => 0,
                };
                if set.is_score {
                    run.score = run.score.saturating_add(points);
                }
                decimal(number(set.place).saturating_add(points).max(0))
            }
        };
        if !self.state.tx.set_at(set.place, set.odd.as_ref(), value, limits::COLLECTION_VARIABLES_MAX) {
            self.full(run, Variable::Tx);
        }
    }

    fn apply_effect(&mut self, run: &mut Run<'_>, effect: &Effect, collections: &mut dyn Collections) {
        match effect {
            Effect::SetVariable(set) => self.set_variable(run, set),
            Effect::ExpireVariable(set) => self.expire_variable(run, set),
            Effect::DeprecateVariable(set, amount, seconds) => self.deprecate_variable(run, set, *amount, *seconds),
            Effect::SetEnvironment(name, value) => {
                let (name, value) = (self.expand(name), self.expand(value));
                if !self.state.env.set(&name, value, limits::COLLECTION_VARIABLES_MAX) {
                    self.full(run, Variable::Env);
                }
            }
            Effect::OpenCollection(collection, key) => {
                let key = self.expand(key);
                self.open_collection(run, *collection, key, collections);
            }
            Effect::Control(control) => self.control(control),
            Effect::Sanitise(kind, name) => {
                if self.state.sanitised.len() < limits::MATCHES_MAX {
                    let name = match (name.is_empty(), self.matched_name()) {
                        (true, Some(matched)) => matched,
                        _ => Bytes::copy_from_slice(name.as_bytes()),
                    };
                    self.state.sanitised.push((kind.clone(), name));
                }
            }
        }
    }

    fn set_variable(&mut self, run: &mut Run<'_>, set: &SetVariable) {
        let name = self.expand(&set.name);
        let change = match &set.assignment {
            Assignment::Remove => Change::Remove(name),
            Assignment::Set(value) => Change::Set(name, self.expand(value)),
            Assignment::Add(value) => Change::Add(name, integer(&self.expand(value))),
            Assignment::Subtract(value) => Change::Add(name, integer(&self.expand(value)).saturating_neg()),
        };
        if let (true, Change::Add(_, points)) = (set.is_score, &change) {
            run.score = run.score.saturating_add(*points);
        }
        let table = match set.collection {
            Variable::Tx => return self.change_tx(run, change),
            Variable::Env => &mut self.state.env,
            collection => match self.state.open.get_mut(&collection) {
                Some(record) if record.changes.len() < limits::COLLECTION_VARIABLES_MAX => {
                    record.changes.push(change.clone());
                    &mut record.table
                }
                Some(_) => return self.full(run, collection),
                None => {
                    let detail = format!("{} was written to before initcol opened it", collection.name());
                    self.error(Cause::Collection, Some(run.rule.id), detail);
                    return;
                }
            },
        };
        let stored = match change {
            Change::Set(name, value) => table.set_shared(&name, hash(&name), value, limits::COLLECTION_VARIABLES_MAX),
            Change::Add(name, difference) => {
                let before = table.get(&name).map_or(0, |value| integer(value));
                table.set_shared(&name, hash(&name), decimal(before.saturating_add(difference).max(0)), limits::COLLECTION_VARIABLES_MAX)
            }
            Change::Remove(name) => {
                table.remove(&name);
                true
            }
            Change::ExpireAfter(..) => true,
        };
        if !stored {
            self.full(run, set.collection);
        }
    }

    fn change_tx(&mut self, run: &Run<'_>, change: Change) {
        let tx = &mut self.state.tx;
        let stored = match change {
            Change::Set(name, value) => tx.set(&name, value, limits::COLLECTION_VARIABLES_MAX),
            Change::Add(name, difference) => {
                let before = tx.get(&name).map_or(0, |value| integer(value));
                tx.set(&name, decimal(before.saturating_add(difference).max(0)), limits::COLLECTION_VARIABLES_MAX)
            }
            Change::Remove(name) => {
                tx.remove(&name);
                true
            }
            Change::ExpireAfter(..) => true,
        };
        if !stored {
            self.full(run, Variable::Tx);
        }
    }

    fn full(&mut self, run: &Run<'_>, collection: Variable) {
        self.error(Cause::Limit, Some(run.rule.id), format!("{} has too many variables", collection.name()));
    }

    /// Variables of TX end with the transaction, so only persistent ones expire.
    fn expire_variable(&mut self, run: &Run<'_>, set: &SetVariable) {
        let name = self.expand(&set.name);
        let Assignment::Set(seconds) = &set.assignment else { return };
        let seconds = integer(&self.expand(seconds)).max(0).unsigned_abs();
        match self.state.open.get_mut(&set.collection) {
            Some(record) if record.changes.len() < limits::COLLECTION_VARIABLES_MAX => {
                record.changes.push(Change::ExpireAfter(name, seconds));
            }
            Some(_) => self.full(run, set.collection),
            None => {}
        }
    }

    /// Takes off so much for each whole period since the record was last stored, never below zero.
    fn deprecate_variable(&mut self, run: &mut Run<'_>, set: &SetVariable, amount: i64, seconds: u64) {
        let name = self.expand(&set.name);
        let now = self.now / 1_000_000;
        let Some(record) = self.state.open.get_mut(&set.collection) else { return };
        let (Some(value), Some(stored)) = (record.table.get(&name), record.table.get(b"LAST_UPDATE_TIME")) else { return };
        let periods = now.saturating_sub(integer(stored).max(0).unsigned_abs()) / seconds.max(1);
        let before = integer(value);
        let after = before.saturating_sub(amount.saturating_mul(i64::try_from(periods).unwrap_or(i64::MAX))).max(0);
        if after == before || record.changes.len() >= limits::COLLECTION_VARIABLES_MAX {
            return;
        }
        record.changes.push(Change::Add(name.clone(), after.saturating_sub(before)));
        if !record.table.set(&name, after.to_string().into(), limits::COLLECTION_VARIABLES_MAX) {
            self.full(run, set.collection);
        }
    }

    fn open_collection(&mut self, run: &Run<'_>, collection: Variable, key: Bytes, collections: &mut dyn Collections) {
        match collection {
            Variable::Session => self.state.session_id = key.clone(),
            Variable::User => self.state.user_id = key.clone(),
            _ => {}
        }
        if self.state.open.contains_key(&collection) || key.is_empty() {
            return;
        }
        if key.len() > limits::COLLECTION_KEY_BYTES_MAX {
            self.error(Cause::Limit, Some(run.rule.id), "the key of the collection is too long");
            return;
        }
        match collections.load(&collection.name().to_ascii_lowercase(), &key, self.now) {
            Ok(record) => {
                let mut table = record.variables;
                let is_new = Bytes::from_static(if record.is_new { b"1" } else { b"0" });
                let _ = table.set(b"IS_NEW", is_new, usize::MAX);
                let _ = table.set(b"KEY", key.clone(), usize::MAX);
                let timeout = self.rules.settings().collection_timeout_seconds;
                let _ = table.set(b"TIMEOUT", timeout.to_string().into(), usize::MAX);
                let known = |name: &[u8]| table.get(name).map(|value| integer(value));
                // Stores in a minute, since it was made.
                let minutes = known(b"CREATE_TIME").map(|made| ((self.now / 1_000_000) as i64).saturating_sub(made) / 60);
                let rate = known(b"UPDATE_COUNTER").unwrap_or(0) / minutes.unwrap_or(0).max(1);
                let _ = table.set(b"UPDATE_RATE", rate.to_string().into(), usize::MAX);
                self.state.open.insert(collection, OpenRecord { key, table, changes: Vec::new() });
            }
            Err(reason) => self.error(Cause::Collection, Some(run.rule.id), reason),
        }
    }

    fn control(&mut self, control: &Control) {
        match control {
            Control::RuleEngine(Switch::Off) => self.mode = Mode::Off,
            Control::RuleEngine(Switch::Partly) => self.mode = Mode::Detect,
            Control::RuleEngine(Switch::On) => self.mode = self.ceiling,
            Control::AuditEngine(switch) => self.state.audit = Some(*switch),
            Control::AuditLogParts(change) => self.change_audit_parts(change),
            Control::ForceRequestBodyVariable(on) => self.request.force_body = *on,
            Control::RequestBodyAccess(on) => self.request.body_access = *on,
            Control::ResponseBodyAccess(on) => self.response.body_access = *on,
            Control::RequestBodyProcessor(processor) => self.request.processor = processor,
            Control::RequestBodyLimit(bytes) => self.request.body_limit = *bytes,
            Control::ResponseBodyLimit(bytes) => self.response.body_limit = *bytes,
            Control::RemoveRules(selection) => self.remove_rules(&selection.rules),
            Control::RemoveTargets(selection, targets) => {
                self.lose_targets(&selection.rules, targets);
            }
            Control::Inert => {}
        }
    }

    /// `+E` adds parts, `-E` takes them away, anything else replaces them.
    fn change_audit_parts(&mut self, change: &str) {
        let mut parts = self.audit_parts().to_owned();
        if let Some(added) = change.strip_prefix('+') {
            let new: String = added.chars().filter(|part| !parts.contains(*part)).collect();
            parts.push_str(&new);
        } else if let Some(removed) = change.strip_prefix('-') {
            parts.retain(|part| !removed.contains(part));
        } else {
            parts = change.to_owned();
        }
        self.state.audit_parts = Some(parts);
    }
}
