//! Completion, and knowing when a line is not finished.

use std::collections::BTreeMap;
use std::sync::Arc;

use ccrun_kernel::Registry;
use ccrun_kernel::primitive::PrimitiveKind;
use ccrun_kernel::rhai::{Engine, Map, ParseErrorType};
use ccrun_kernel::run::{self, Session};
use rustyline::completion::{Completer, Pair};
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{Context, Helper, Highlighter, Hinter};

use super::commands::COMMANDS;
use crate::library::Module;

/// What helps while a line is typed.
#[derive(Helper, Hinter, Highlighter)]
pub struct Assistant {
    registry: Arc<Registry>,
    parser: Engine,
    /// The variables, and the keys of those that are maps.
    variables: BTreeMap<String, Vec<String>>,
    /// The library modules.
    library: BTreeMap<String, Module>,
    /// The names under which the session has imported some of them.
    imported: BTreeMap<String, String>,
}

/// The words of Rhai that are worth completing.
const KEYWORDS: [&str; 12] = [
    "let", "const", "if", "else", "for", "while", "fn", "return", "throw", "import", "switch",
    "false",
];

impl Assistant {
    /// An assistant that knows these primitives.
    pub fn new(registry: Arc<Registry>) -> Self {
        Self {
            registry,
            parser: run::bare(),
            variables: BTreeMap::new(),
            library: ccrun_stdlib::modules()
                .iter()
                .map(|(name, source)| ((*name).to_owned(), Module::read(name, source)))
                .collect(),
            imported: BTreeMap::new(),
        }
    }

    /// Learn what a line imports: `import "std/prometheus" as prom;`.
    pub fn learn(&mut self, line: &str) {
        for part in line.split("import \"std/").skip(1) {
            let Some((module, rest)) = part.split_once('"') else {
                continue;
            };
            let alias = rest.trim_start().strip_prefix("as ").map(|rest| {
                let word = |c: char| c.is_alphanumeric() || c == '_';
                rest.trim_start().chars().take_while(|c| word(*c)).collect()
            });
            if let Some(alias) = alias {
                self.imported.insert(alias, module.to_owned());
            }
        }
    }

    /// Learn the variables of the session.
    pub fn refresh(&mut self, session: &mut Session) {
        self.variables = session
            .variables()
            .iter()
            .map(|(name, _, value)| {
                let keys = value
                    .read_lock::<Map>()
                    .map(|map| map.keys().map(ToString::to_string).collect())
                    .unwrap_or_default();
                (name.to_owned(), keys)
            })
            .collect();
    }

    /// What the text before the cursor can become, and where the part that is replaced begins.
    pub fn candidates(&self, line: &str, cursor: usize) -> (usize, Vec<String>) {
        let before = &line[..cursor];
        if let Some(command) = before.strip_prefix(':') {
            let (start, names) = match command.split_once(' ') {
                None => (
                    1,
                    COMMANDS
                        .iter()
                        .map(|(name, ..)| (*name).to_owned())
                        .collect(),
                ),
                Some(("doc", name)) => (cursor - name.len(), self.documented()),
                Some((_, argument)) => (cursor - argument.len(), Vec::new()),
            };
            return (start, matching(names, &before[start..]));
        }
        if let Some(at) = before.rfind("import \"std/") {
            let start = at + "import \"std/".len();
            if !before[start..].contains('"') {
                let names = self.library.keys().cloned().collect();
                return (start, matching(names, &before[start..]));
            }
        }
        let word = |c: char| c.is_alphanumeric() || c == '_';
        let start = before.rfind(|c| !word(c)).map_or(0, |at| {
            at + before[at..].chars().next().map_or(1, char::len_utf8)
        });
        let prefix = &before[start..];
        let head = &before[..start];
        let names = if let Some(head) = head.strip_suffix("::") {
            let at = head.rfind(|c| !word(c)).map_or(0, |at| at + 1);
            self.functions(&head[at..])
        } else if let Some(head) = head.strip_suffix('.') {
            let at = head.rfind(|c| !word(c)).map_or(0, |at| at + 1);
            let mut names = self.variables.get(&head[at..]).cloned().unwrap_or_default();
            names.extend(self.methods());
            names
        } else {
            self.words()
        };
        (start, matching(names, prefix))
    }

    fn functions(&self, namespace: &str) -> Vec<String> {
        let module = self.imported.get(namespace);
        if let Some(module) = module.and_then(|name| self.library.get(name)) {
            let functions = module.functions.iter();
            return functions.map(|one| format!("{}(", one.name)).collect();
        }
        self.registry
            .primitives()
            .iter()
            .filter(|p| p.kind == PrimitiveKind::Function && p.namespace == namespace)
            .map(|p| format!("{}(", p.name))
            .collect()
    }

    fn methods(&self) -> Vec<String> {
        self.registry
            .primitives()
            .iter()
            .filter_map(|p| match p.kind {
                PrimitiveKind::Function => None,
                PrimitiveKind::Method => Some(format!("{}(", p.name)),
                PrimitiveKind::Getter => Some(p.name.to_owned()),
            })
            .collect()
    }

    fn words(&self) -> Vec<String> {
        let namespaces = self
            .registry
            .namespaces()
            .filter(|(name, _)| !name.is_empty())
            .map(|(name, _)| format!("{name}::"));
        let variables = self.variables.keys().cloned();
        let keywords = KEYWORDS.iter().map(|word| (*word).to_owned());
        let language = self.functions("");
        namespaces
            .chain(variables)
            .chain(keywords)
            .chain(language)
            .collect()
    }

    fn documented(&self) -> Vec<String> {
        self.registry
            .primitives()
            .iter()
            .map(|p| p.path())
            .chain(self.registry.namespaces().map(|(name, _)| name.to_owned()))
            .chain(self.library.keys().map(|name| format!("std/{name}")))
            .collect()
    }
}

fn matching(names: Vec<String>, prefix: &str) -> Vec<String> {
    let mut names: Vec<String> = names
        .into_iter()
        .filter(|name| name.starts_with(prefix) && !name.is_empty())
        .collect();
    names.sort_unstable();
    names.dedup();
    names
}

impl Completer for Assistant {
    type Candidate = Pair;

    fn complete(
        &self,
        line: &str,
        cursor: usize,
        _: &Context<'_>,
    ) -> rustyline::Result<(usize, Vec<Pair>)> {
        let (start, names) = self.candidates(line, cursor);
        let pairs = names
            .into_iter()
            .map(|name| Pair {
                display: name.trim_end_matches('(').to_owned(),
                replacement: name,
            })
            .collect();
        Ok((start, pairs))
    }
}

impl Validator for Assistant {
    fn validate(&self, context: &mut ValidationContext<'_>) -> rustyline::Result<ValidationResult> {
        Ok(if is_unfinished(&self.parser, context.input()) {
            ValidationResult::Incomplete
        } else {
            ValidationResult::Valid(None)
        })
    }
}

/// Whether more lines are needed: the parser came to the end and wanted more.
fn is_unfinished(parser: &Engine, text: &str) -> bool {
    if text.trim_start().starts_with(':') {
        return false;
    }
    let Err(error) = parser.compile(text) else {
        return false;
    };
    match error.err_type() {
        ParseErrorType::UnexpectedEOF => true,
        ParseErrorType::BadInput(problem) => {
            matches!(problem, ccrun_kernel::rhai::LexError::UnterminatedString)
        }
        // The missing token is missing at the very end.
        ParseErrorType::MissingToken(..) => {
            let lines = text.lines().count();
            let last = text.lines().last().unwrap_or_default();
            error.position().line() >= Some(lines)
                && error.position().position().unwrap_or(0) > last.chars().count()
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_is_not_finished_goes_on() {
        let parser = run::bare();
        for text in ["let x = #{", "step(\"a\", || {", "[1,", "`abc", "if x {"] {
            assert!(is_unfinished(&parser, text), "{text}");
        }
        for text in ["let x = 1", "let x = }", "1 +* 2", ":help", "foo(1))"] {
            assert!(!is_unfinished(&parser, text), "{text}");
        }
    }

    #[test]
    fn functions_variables_and_keys_complete() {
        let mut assistant = Assistant::new(Arc::new(Registry::new(ccrun_stdlib::namespaces())));
        assistant
            .variables
            .insert("backup".into(), vec!["manifest".into()]);
        let complete = |text: &str| assistant.candidates(text, text.len()).1;
        assert!(complete("fs::re").contains(&"read(".to_owned()));
        assert!(complete("let y = backup.man").contains(&"manifest".to_owned()));
        assert!(complete("ba").contains(&"backup".to_owned()));
        assert!(complete(":he").contains(&"help".to_owned()));
        assert!(complete("st").contains(&"step(".to_owned()));
        assert!(complete("import \"std/prom").contains(&"prometheus".to_owned()));
        assistant.learn("import \"std/prometheus\" as prom;");
        let complete = |text: &str| assistant.candidates(text, text.len()).1;
        assert!(complete("prom::que").contains(&"query(".to_owned()));
    }
}
