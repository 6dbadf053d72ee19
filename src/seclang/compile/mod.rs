//! From rule files to a rule set: reads roots and what they include, compiles directives in order, collects every mistake.

mod rule;
mod settings;
mod update;

use std::collections::HashMap;
use std::sync::Arc;

use crate::action::{Control, Effect, WithSpan};
use crate::diagnostic::{Diagnostic, Problem, Severity};
use crate::limits;
use crate::ruleset::{Rule, RuleSet, Settings, Step};
use crate::source::FileSource;
use crate::span::{FileId, Sources, Span};
use crate::syntax::ast::{Directive, Item, RuleText};
use crate::syntax::directive::Setting;
use crate::syntax::parser;
use crate::syntax::text::Text;
use crate::target::Selector;
use crate::transform::Transformation;
use rule::Defaults;

impl RuleSet {
    /// Loads rule files in order, with everything they include. `roots` may hold wildcards.
    ///
    /// # Errors
    /// Every mistake of the run, warnings among them. Without an error the warnings come with the rules.
    pub fn load(files: &dyn FileSource, roots: &[impl AsRef<str>]) -> Result<(RuleSet, Vec<Diagnostic>), Vec<Diagnostic>> {
        let mut compiler = Compiler::new(files);
        for root in roots.iter().map(AsRef::as_ref) {
            match files.expand(root, "") {
                Ok(paths) if paths.is_empty() => compiler.diagnostics.push(Diagnostic::file(root, "no file fits this pattern")),
                Ok(paths) => paths.iter().for_each(|path| {
                    if let Err(reason) = compiler.file(path, 0) {
                        compiler.diagnostics.push(Diagnostic::file(path, format!("cannot be read: {reason}")));
                    }
                }),
                Err(reason) => compiler.diagnostics.push(Diagnostic::file(root, reason)),
            }
        }
        compiler.finish()
    }
}

struct Compiler<'a> {
    files: &'a dyn FileSource,
    sources: Sources,
    diagnostics: Vec<Diagnostic>,
    problems: Vec<Problem>,
    rules: Vec<Option<Rule>>,
    steps: [Vec<Step>; 5],
    by_id: HashMap<u64, Span>,
    defaults: [Defaults; 5],
    settings: Settings,
    /// The chain that waits for its next link, and where it was opened.
    open: Option<(Rule, Span)>,
    /// Labels of `SecMarker`, and where `skipAfter` names one.
    markers: Vec<Arc<str>>,
    jumps: Vec<(Arc<str>, Span)>,
    files_read: usize,
    /// Where a list is asked that wants a key.
    wants_key: Vec<Span>,
}

impl<'a> Compiler<'a> {
    fn new(files: &'a dyn FileSource) -> Self {
        Compiler {
            files,
            sources: Sources::default(),
            diagnostics: Vec::new(),
            problems: Vec::new(),
            rules: Vec::new(),
            steps: Default::default(),
            by_id: HashMap::new(),
            defaults: Default::default(),
            settings: Settings::default(),
            open: None,
            markers: Vec::new(),
            jumps: Vec::new(),
            files_read: 0,
            wants_key: Vec::new(),
        }
    }

    /// Reads and compiles one file; the error is about the file, and whoever named it knows the place.
    fn file(&mut self, path: &str, depth: usize) -> Result<(), String> {
        self.files_read += 1;
        if self.files_read > limits::RULE_FILES_MAX {
            return Err(format!("more than {} files are included", limits::RULE_FILES_MAX));
        }
        let bytes = self.files.read(path, "")?;
        if bytes.len() > limits::RULE_FILE_BYTES_MAX {
            return Err(format!("it has more than {} bytes", limits::RULE_FILE_BYTES_MAX));
        }
        let text = String::from_utf8(bytes).map_err(|error| {
            let at = error.utf8_error().valid_up_to();
            let line = 1 + error.as_bytes().iter().take(at).filter(|byte| **byte == b'\n').count();
            format!("line {line} is not UTF-8; write other bytes as \\xHH in patterns")
        })?;
        let id = self.sources.add(path, text);
        let items = parser::parse(id, self.sources.text(id), &mut self.problems);
        for item in items {
            self.item(id, path, item, depth);
        }
        Ok(())
    }

    fn item(&mut self, file: FileId, path: &str, item: Item, depth: usize) {
        let continues = matches!(item.directive, Directive::Rule(_) | Directive::Action(_) | Directive::Include { .. });
        if !continues {
            self.close_chain();
        }
        match item.directive {
            Directive::Rule(text) => self.rule(file, path, Some(&text), &text.actions, item.span),
            Directive::Action(actions) => self.rule(file, path, None, &actions, item.span),
            Directive::DefaultAction(actions) => self.default_action(&actions, item.span),
            Directive::Marker(label) => self.marker(&label),
            Directive::Include { path: pattern, optional } => self.include(&pattern, optional, path, depth),
            Directive::Remove(which) => self.remove(&which, item.span),
            Directive::UpdateTarget { which, targets, replaced } => self.update_targets(&which, &targets, &replaced, item.span),
            Directive::UpdateAction { which, actions } => self.update_actions(&which, &actions, item.span),
            Directive::Setting(setting, words) => {
                settings::apply(&mut self.settings, setting, &words, item.span, &mut self.problems);
                if setting == Setting::GeoLookupDb {
                    self.resolve_geo_database(path);
                }
            }
        }
    }

    fn include(&mut self, pattern: &Text, optional: bool, path: &str, depth: usize) {
        let span = pattern.span();
        if depth >= limits::INCLUDE_DEPTH_MAX {
            let problem = Problem::error(span, format!("files include each other more than {} deep", limits::INCLUDE_DEPTH_MAX));
            self.problems.push(problem.help("a file that includes itself never ends"));
            return;
        }
        let files = match self.files.expand(pattern.as_str(), path) {
            Ok(files) => files,
            Err(reason) => {
                self.problems.push(Problem::error(span, reason));
                return;
            }
        };
        if files.is_empty() && !optional {
            let problem = Problem::error(span, "no file fits this pattern");
            self.problems.push(problem.help("write IncludeOptional where that is all right"));
        }
        for file in files {
            if let Err(reason) = self.file(&file, depth + 1)
                && !optional
            {
                self.problems.push(Problem::error(span, format!("`{file}` cannot be read: {reason}")));
            }
        }
    }

    /// The database is named relative to the file that names it, and opened by the caller.
    fn resolve_geo_database(&mut self, path: &str) {
        if let Some(named) = self.settings.geo_database.take() {
            let full = self.files.expand(&named, path).ok().and_then(|paths| paths.into_iter().next());
            self.settings.geo_database = Some(full.unwrap_or(named));
        }
    }

    fn marker(&mut self, label: &Text) {
        let label: Arc<str> = Arc::from(label.as_str());
        self.markers.push(label.clone());
        self.steps.iter_mut().for_each(|steps| steps.push(Step::Marker(label.clone())));
    }

    fn default_action(&mut self, actions: &[crate::syntax::ast::ActionText], span: Span) {
        let actions = crate::action::parse(actions, &mut self.problems);
        let Some(phase) = rule::phase(&actions) else {
            self.problems.push(Problem::error(span, "`SecDefaultAction` needs a phase").help("add phase:1 to phase:5"));
            return;
        };
        let Some(slot) = self.defaults.get_mut(phase.index()) else { return };
        match update::defaults(&actions, span) {
            Ok(defaults) => *slot = defaults,
            Err(problem) => self.problems.push(*problem),
        }
    }

    fn rule(&mut self, file: FileId, path: &str, text: Option<&RuleText>, actions: &[crate::syntax::ast::ActionText], span: Span) {
        let actions = crate::action::parse(actions, &mut self.problems);
        let (mut rule, opened) = match self.open.take() {
            Some((rule, opened)) => {
                rule::refuse_in_later_links(&actions, &mut self.problems);
                (rule, opened)
            }
            None => (self.start_rule(file, &actions, span), span),
        };
        let Some(defaults) = self.defaults.get(rule.phase.index()) else { return };
        let mut link = rule::blank_link(defaults);
        rule::apply_to_link(&mut link, &actions);
        if let Some(text) = text {
            (link.targets, link.excluded) = rule::targets(&text.targets, &rule::namespaces(&actions), &mut self.problems);
            let targets = link.targets.iter().chain(&link.excluded);
            self.settings.xml_paths |= targets.into_iter().any(|target| matches!(target.selector, Some(Selector::XmlPath(..))));
            link.test = rule::test(&text.operator, self.files, path, &mut self.problems);
            if link.test.as_ref().is_some_and(rule::wants_key) && !self.may_be_skipped(rule.phase) {
                self.wants_key.push(text.operator.argument.span());
            }
        }
        if text.is_some_and(|text| !text.targets.is_empty() && text.targets.iter().all(|target| target.excluded)) {
            self.problems.push(Problem::error(span, "the rule leaves out variables but looks at none"));
        }
        rule.links.push(link);
        if rule.links.len() > limits::CHAIN_LINKS_MAX {
            self.problems.push(Problem::error(span, format!("a chain has at most {} links", limits::CHAIN_LINKS_MAX)));
        } else if rule::chains(&actions) {
            self.open = Some((rule, opened));
        } else {
            self.add(rule, opened);
        }
    }

    /// Whether a rule above may skip what stands here, so that it is a matter of settings whether it runs.
    fn may_be_skipped(&self, phase: crate::verdict::Phase) -> bool {
        let above = self.rules.iter().flatten().filter(|rule| rule.phase == phase);
        above.filter_map(|rule| rule.skip_after.as_ref()).any(|label| !self.markers.contains(label))
    }

    fn start_rule(&mut self, file: FileId, actions: &[WithSpan], span: Span) -> Rule {
        let phase = rule::phase(actions).unwrap_or(crate::verdict::Phase::RequestBody);
        let path: Arc<str> = Arc::from(self.sources.path(file));
        let defaults = self.defaults.get(phase.index()).cloned().unwrap_or_default();
        let mut rule = rule::blank(phase, &defaults, path, self.sources.position(span).line);
        rule::apply_to_rule(&mut rule, actions, &defaults);
        if let Some(label) = &rule.skip_after {
            self.jumps.push((label.clone(), span));
        }
        rule
    }

    fn add(&mut self, rule: Rule, span: Span) {
        if rule.id == 0 {
            let start = Span { end: span.start + 7, ..span };
            self.problems.push(Problem::error(start, "this rule has no id").help("add id: with a number that no other rule has"));
            return;
        }
        if let Some(first) = self.by_id.insert(rule.id, span) {
            let place = self.sources.position(first);
            let message = format!("the id {} is taken by {}:{}", rule.id, self.sources.path(first.file), place.line);
            self.problems.push(
                Problem::error(Span { end: span.start + 7, ..span }, message)
                    .help("ids are unique; those from 1 to 99999 are for local rules"),
            );
            return;
        }
        if self.rules.len() >= limits::RULES_MAX {
            self.problems.push(Problem::error(span, format!("there are more than {} rules", limits::RULES_MAX)));
            return;
        }
        let index = self.rules.len() as u32;
        if let Some(steps) = self.steps.get_mut(rule.phase.index()) {
            steps.push(Step::Rule(index));
        }
        self.rules.push(Some(rule));
    }

    fn close_chain(&mut self) {
        if let Some((_, span)) = self.open.take() {
            let problem = Problem::error(Span { end: span.start + 7, ..span }, "this chain has no last rule");
            self.problems.push(problem.help("put the next SecRule directly behind it, or remove `chain`"));
        }
    }

    fn finish(mut self) -> Result<(RuleSet, Vec<Diagnostic>), Vec<Diagnostic>> {
        self.close_chain();
        for (label, span) in std::mem::take(&mut self.jumps) {
            let id = label.parse::<u64>().ok().filter(|id| self.by_id.contains_key(id));
            if !self.markers.contains(&label) && id.is_none() {
                let problem = Problem::warning(span, format!("skipAfter:{label} finds no marker, so it skips the rest of the phase"));
                self.problems.push(problem.suggest(&label, self.markers.iter().map(AsRef::as_ref)));
            }
        }
        if self.settings.http_bl_key.is_none() {
            let missing = |span| Problem::warning(span, "this list answers only with a key").help("set it with SecHttpBlKey");
            self.problems.extend(self.wants_key.drain(..).map(missing));
        }
        self.problems.sort_by_key(|problem| (problem.span.file, problem.span.start));
        let sources = &self.sources;
        let located = self.problems.drain(..).map(|problem| problem.locate(sources));
        self.diagnostics.extend(located);
        self.diagnostics.truncate(limits::DIAGNOSTICS_MAX);
        if self.diagnostics.iter().any(|one| one.severity == Severity::Error) {
            return Err(self.diagnostics);
        }
        if self.settings.unicode_mapped {
            map_to_code_page(&mut self.rules);
        }
        let (mut rules, phases) = renumber(self.rules, self.steps);
        resolve_selections(&mut rules);
        Ok((RuleSet::new(rules, phases, self.settings), self.diagnostics))
    }
}

/// `SecUnicodeMapFile` holds for all rules, wherever it stands.
fn map_to_code_page(rules: &mut [Option<Rule>]) {
    for link in rules.iter_mut().flatten().flat_map(|rule| &mut rule.links) {
        for one in link.transformations.iter_mut().filter(|one| **one == Transformation::UrlDecodeUni) {
            *one = Transformation::UrlDecodeUniMapped;
        }
    }
}

/// Closes the gaps that removed rules left.
fn renumber(rules: Vec<Option<Rule>>, steps: [Vec<Step>; 5]) -> (Vec<Rule>, [Vec<Step>; 5]) {
    let mut numbers = Vec::with_capacity(rules.len());
    let mut next = 0;
    for rule in &rules {
        numbers.push(rule.as_ref().map(|_| next));
        next += u32::from(rule.is_some());
    }
    let keep = |step: Step| match step {
        Step::Rule(old) => numbers.get(old as usize).copied().flatten().map(Step::Rule),
        marker => Some(marker),
    };
    (rules.into_iter().flatten().collect(), steps.map(|phase| phase.into_iter().filter_map(keep).collect()))
}

/// Looks up once which rules each `ctl` speaks of, so that a transaction only sets bits.
fn resolve_selections(rules: &mut [Rule]) {
    let facts: Vec<_> = rules.iter().map(|rule| (rule.id, rule.tags.clone(), rule.message_text.clone())).collect();
    let effects = rules.iter_mut().flat_map(|rule| &mut rule.links).flat_map(|link| &mut link.effects);
    for effect in effects {
        if let Effect::Control(Control::RemoveRules(selection) | Control::RemoveTargets(selection, _)) = effect {
            let covered = facts
                .iter()
                .enumerate()
                .filter(|(_, (id, tags, message))| selection.pattern.covers(*id, tags.iter().map(AsRef::as_ref), message));
            selection.rules = covered.map(|(index, _)| index as u32).collect();
        }
    }
}
