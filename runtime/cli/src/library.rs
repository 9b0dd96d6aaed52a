//! The library modules as their documentation: what each function is for.

use serde_json::{Value, json};

/// A module of the library.
pub struct Module {
    /// Without `std/`.
    pub name: String,
    /// What it is for: its `//!` lines.
    pub doc: String,
    /// What others may call, in the order of the file.
    pub functions: Vec<Function>,
}

/// A function of a module.
pub struct Function {
    /// Its name.
    pub name: String,
    /// The names of its parameters.
    pub params: Vec<String>,
    /// What it does: its `///` lines.
    pub doc: String,
}

impl Module {
    /// Read the source of a module.
    #[must_use]
    pub fn read(name: &str, source: &str) -> Self {
        let after = |line: &str, mark: &str| {
            line.strip_prefix(mark)
                .map(|text| text.strip_prefix(' ').unwrap_or(text).to_owned())
        };
        let doc: Vec<String> = source
            .lines()
            .map_while(|line| after(line, "//!"))
            .collect();
        let mut functions = Vec::new();
        let mut told: Vec<String> = Vec::new();
        for line in source.lines() {
            if let Some(text) = after(line, "///") {
                told.push(text);
                continue;
            }
            if let Some(function) = Function::of(line, &told) {
                functions.push(function);
            }
            told.clear();
        }
        Self {
            name: name.to_owned(),
            doc: doc.join("\n"),
            functions,
        }
    }

    /// The first sentence or line of what it is for.
    #[must_use]
    pub fn summary(&self) -> &str {
        self.doc.lines().next().unwrap_or_default()
    }

    /// As data, for editors and the documentation site.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let functions: Vec<Value> = self
            .functions
            .iter()
            .map(|f| f.to_json(&self.name))
            .collect();
        json!({ "module": format!("std/{}", self.name), "doc": self.doc, "functions": functions })
    }
}

impl Function {
    /// The function that begins on this line; `private` ones are nobody else's.
    fn of(line: &str, told: &[String]) -> Option<Self> {
        let (name, rest) = line.strip_prefix("fn ")?.split_once('(')?;
        let (params, _) = rest.split_once(')')?;
        let params = params.split(',').map(str::trim).filter(|p| !p.is_empty());
        Some(Self {
            name: name.trim().to_owned(),
            params: params.map(str::to_owned).collect(),
            doc: told.join("\n"),
        })
    }

    /// `query(server, expression)`
    #[must_use]
    pub fn signature(&self) -> String {
        format!("{}({})", self.name, self.params.join(", "))
    }

    /// As data.
    #[must_use]
    pub fn to_json(&self, module: &str) -> Value {
        json!({
            "path": format!("std/{module}::{}", self.name), "name": self.name, "params": self.params,
            "signature": self.signature(), "doc": self.doc,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_function_of_the_library_says_what_it_does() {
        let modules = ccrun_stdlib::modules();
        assert!(modules.len() > 10, "{}", modules.len());
        for (name, source) in modules.iter() {
            let module = Module::read(name, source);
            assert!(
                !module.summary().is_empty(),
                "std/{name} says nothing of itself"
            );
            assert!(!module.functions.is_empty(), "std/{name} has no functions");
            for function in &module.functions {
                assert!(
                    !function.doc.is_empty(),
                    "std/{name}::{} is not documented",
                    function.signature()
                );
            }
        }
    }

    #[test]
    fn what_is_private_is_not_told() {
        let source =
            "//! One.\n\n/// Does it.\n/// Well.\nfn a(x, y) {\n}\n\n// No.\nprivate fn b() {}\n";
        let module = Module::read("m", source);
        assert_eq!(module.summary(), "One.");
        let told: Vec<_> = module
            .functions
            .iter()
            .map(|f| (f.signature(), f.doc.as_str()))
            .collect();
        assert_eq!(told, [("a(x, y)".to_owned(), "Does it.\nWell.")]);
    }
}
