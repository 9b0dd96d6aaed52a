//! `ccrun check`: what can be found in a runbook without running it.
//!
//! A file is walked once ([`walk`]), which gathers its calls, variables and their places
//! ([`facts`]); then each call is given its meaning ([`resolve`]) from the registry; then the rules
//! look at that, one group per file. `// ccrun: allow(RULE)` silences a rule on its line and the next.

mod calls;
mod catalog;
mod facts;
mod file;
mod finding;
mod imports;
mod members;
mod options;
mod params;
mod permissions;
mod program;
mod resolve;
mod rules;
mod secrets;
mod source;
mod steps;
mod summary;
mod variables;
mod walk;

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;

pub use finding::{Finding, Severity};
pub use rules::Rule;

use crate::error::Error;
use crate::registry::Registry;
use crate::run::Modules;
use crate::runbook::{self, Runbook};
use catalog::Catalog;
use facts::Facts;
use file::{File, HeaderState, Role};
use finding::Report;
use imports::Imported;
use program::Program;
use resolve::{Resolver, Target};
use source::Source;
use summary::{FunctionSummary, ModuleSummary};

/// Check a runbook and the modules beside it that it imports. Findings are in the order of the
/// files and lines.
#[must_use]
pub fn check(registry: &Registry, modules: &Modules, runbook: &Runbook) -> Vec<Finding> {
    Checker::new(registry, modules).check(runbook)
}

/// All rules, by subject.
#[must_use]
pub fn rules() -> &'static [Rule] {
    rules::RULES
}

/// Checks files. Making it costs as much as checking a file: make one for many.
pub struct Checker<'r> {
    catalog: Catalog<'r>,
    modules: &'r Modules,
}

impl<'r> Checker<'r> {
    /// A checker that knows these primitives and library modules.
    #[must_use]
    pub fn new(registry: &'r Registry, modules: &'r Modules) -> Self {
        Self {
            catalog: Catalog::new(registry),
            modules,
        }
    }

    /// Check a runbook that could be read.
    #[must_use]
    pub fn check(&self, runbook: &Runbook) -> Vec<Finding> {
        let name = runbook.path.display().to_string();
        let header = match &runbook.header {
            Some(header) => HeaderState::Read(header),
            None => HeaderState::Absent,
        };
        self.program(&name, &runbook.source, header, Vec::new())
    }

    /// Check a file. That it can't be read is a finding too.
    #[must_use]
    #[allow(
        clippy::disallowed_methods,
        reason = "the checked file itself, outside of any run"
    )]
    pub fn check_file(&self, path: &Path) -> Vec<Finding> {
        match runbook::load(path) {
            Ok(runbook) => self.check(&runbook),
            Err(error) => {
                let text = std::fs::read(path).unwrap_or_default();
                self.unreadable(
                    &path.display().to_string(),
                    &String::from_utf8_lossy(&text),
                    &error,
                )
            }
        }
    }

    /// Check several files. What is found in a module that several of them import is told once.
    #[must_use]
    pub fn check_files<P: AsRef<Path>>(&self, paths: impl IntoIterator<Item = P>) -> Vec<Finding> {
        let mut told = HashSet::new();
        let found = paths
            .into_iter()
            .flat_map(|path| self.check_file(path.as_ref()));
        found
            .filter(|finding| told.insert(finding.clone()))
            .collect()
    }

    /// Check a text. `name` is the file that it stands for: imports are relative to it.
    #[must_use]
    pub fn check_text(&self, name: &str, text: &str) -> Vec<Finding> {
        match runbook::parse(name, text) {
            Ok(runbook) => self.check(&runbook),
            Err(error) => self.unreadable(name, text, &error),
        }
    }

    /// What is wrong with a file that is no runbook; if it is only its header, the rest as well.
    fn unreadable(&self, name: &str, text: &str, error: &Error) -> Vec<Finding> {
        let source = Source::new(name, text);
        let mut report = Report::new(&source);
        report_error(&mut report, error);
        let found = report.finish();
        if error.kind().starts_with("header.") {
            return self.program(name, text, HeaderState::Broken, found);
        }
        found
    }

    fn program(
        &self,
        name: &str,
        text: &str,
        header: HeaderState<'_>,
        found: Vec<Finding>,
    ) -> Vec<Finding> {
        let mut session = Session {
            checker: self,
            loaded: HashMap::new(),
            loading: vec![(imports::identity(Path::new(name)), name.to_owned())],
            findings: found,
        };
        session.file(name, text, header, Role::Runbook, true);
        let mut findings = session.findings;
        let first = |finding: &Finding| finding.location.source != name;
        findings.sort_by(|a, b| {
            let key = |f: &'_ Finding| (f.location.line, f.location.column);
            (first(a), &a.location.source, key(a)).cmp(&(first(b), &b.location.source, key(b)))
        });
        findings.dedup();
        findings
    }
}

/// An error of the kernel as a finding.
fn report_error(report: &mut Report<'_>, error: &Error) {
    let rule = rules::of_error(error.kind());
    let finding = report.add_at(rule, error.location(), error.message());
    if let Some(hint) = error.hint_text() {
        finding.suggest(hint);
    }
}

/// How many files may import each other in a row.
const MAX_DEPTH: usize = 64;

/// The check of one runbook with its modules.
struct Session<'c, 'r> {
    checker: &'c Checker<'r>,
    /// The modules that are done, by identity.
    loaded: HashMap<String, Option<Arc<ModuleSummary>>>,
    /// The files that are being looked at, with their names: a repetition is a circle.
    loading: Vec<(String, String)>,
    findings: Vec<Finding>,
}

impl Session<'_, '_> {
    /// Check one file. `tell` is whether its findings are for this user.
    fn file(
        &mut self,
        name: &str,
        text: &str,
        header: HeaderState<'_>,
        role: Role,
        tell: bool,
    ) -> Option<Arc<ModuleSummary>> {
        let source = Source::new(name, text);
        let mut report = Report::new(&source);
        let ast = match runbook::syntax_tree(name, text) {
            Ok(ast) => ast,
            Err(error) => {
                report_error(&mut report, &error);
                self.findings.extend(report.finish());
                return None;
            }
        };
        let program = Program::new(ast);
        let facts = walk::gather(&program);
        let imports = self.imports(name, &facts, &mut report);

        let catalog = &self.checker.catalog;
        let resolver = Resolver::new(catalog, &program, &facts, &imports);
        let targets: Vec<Target<'_>> = (0..facts.calls.len())
            .map(|call| resolver.target(call))
            .collect();
        let effects = summary::effects(&program, &facts, &targets);
        let file = File {
            program: &program,
            facts: &facts,
            catalog,
            resolver: &resolver,
            targets: &targets,
            imports: &imports,
            effects: &effects,
            header,
            role,
        };
        if tell {
            calls::check(&file, &mut report);
            members::check(&file, &mut report);
            options::check(&file, &mut report);
            permissions::check(&file, &mut report);
            params::check(&file, &mut report);
            steps::check(&file, &mut report);
            variables::check(&file, &mut report);
            secrets::check(&file, &mut report);
            imports::unused(
                &mut report,
                &facts,
                role == Role::Module || program.is_module(),
            );
            self.findings.extend(report.finish());
        }
        Some(Arc::new(summarize(&file)))
    }

    fn imports(&mut self, name: &str, facts: &Facts<'_>, report: &mut Report<'_>) -> Vec<Imported> {
        let mut imported = Vec::with_capacity(facts.imports.len());
        for import in &facts.imports {
            let Some(path) = import.path else {
                imported.push(Imported::default());
                continue;
            };
            let found = match imports::find(self.checker.modules, name, path) {
                Ok(found) => found,
                Err(missing) => {
                    imports::report_missing(report, import, missing);
                    imported.push(Imported::default());
                    continue;
                }
            };
            let open = |(identity, _): &(String, String)| *identity == found.identity;
            if let Some(start) = self.loading.iter().position(open) {
                let names = self.loading[start..].iter().map(|(_, name)| name.clone());
                let circle: Vec<String> = names.chain([found.name]).collect();
                imports::report_circle(report, import, &circle);
                imported.push(Imported::default());
                continue;
            }
            let summary = match self.loaded.get(&found.identity) {
                Some(known) => known.clone(),
                None if self.loading.len() > MAX_DEPTH => None,
                None => {
                    self.loading
                        .push((found.identity.clone(), found.name.clone()));
                    let (text, tell) = (&found.text, !found.shipped);
                    let summary =
                        self.file(&found.name, text, HeaderState::Absent, Role::Module, tell);
                    self.loading.pop();
                    self.loaded.insert(found.identity, summary.clone());
                    summary
                }
            };
            imported.push(Imported { summary });
        }
        imported
    }
}

/// What an importing file needs to know of this one.
fn summarize(file: &File<'_, '_, '_>) -> ModuleSummary {
    let functions = file
        .program
        .functions()
        .iter()
        .zip(file.effects)
        .filter(|(function, _)| !function.is_closure())
        .map(|(function, effects)| FunctionSummary {
            name: function.name.clone(),
            arguments: function.params.len(),
            private: function.private,
            effects: effects.clone(),
        })
        .collect();
    let named = file
        .facts
        .imports
        .iter()
        .zip(file.imports)
        .filter(|(import, _)| import.top);
    let modules = named.filter_map(|(import, imported)| {
        Some((import.alias?.as_str().to_owned(), imported.summary.clone()?))
    });
    let exported = file
        .facts
        .variables
        .iter()
        .filter(|variable| variable.exported);
    let inner = file
        .imports
        .iter()
        .map(|import| import.summary.as_ref()?.params.clone());
    let inner_keys = file
        .imports
        .iter()
        .filter_map(|import| import.summary.as_ref());
    let inner_keys = inner_keys.flat_map(|module| module.keys.iter().cloned());
    ModuleSummary {
        functions,
        variables: exported.map(|variable| variable.name.to_owned()).collect(),
        modules: modules.collect(),
        capabilities: permissions::possible(file),
        keys: inner_keys
            .chain(file.facts.keys().map(str::to_owned))
            .collect(),
        params: inner.chain([params::read(file.facts)]).try_fold(
            std::collections::BTreeSet::new(),
            |mut all, names| {
                all.extend(names?);
                Some(all)
            },
        ),
    }
}

#[cfg(test)]
mod tests;
