//! A parsed file with the bodies of its functions at hand.

use std::collections::HashMap;

use rhai::{AST, ASTNode, Engine, FnAccess, Position, Stmt};

/// What closures are called inside of Rhai.
const ANONYMOUS: &str = "anon$";

/// A parsed file.
pub struct Program {
    ast: AST,
    functions: Vec<Function>,
    closures: HashMap<String, usize>,
}

/// A function or closure of the file.
pub struct Function {
    pub name: String,
    /// Of a closure, the captured variables come first.
    pub params: Vec<String>,
    pub body: Vec<Stmt>,
    /// Where the body begins.
    pub position: Position,
    pub private: bool,
}

impl Function {
    pub fn is_closure(&self) -> bool {
        self.name.starts_with(ANONYMOUS)
    }
}

impl Program {
    pub fn new(ast: AST) -> Self {
        let bodies = Bodies::of(&ast);
        let functions: Vec<Function> = ast
            .iter_fn_def()
            .map(|def| Function {
                name: def.name.to_string(),
                params: def.params.iter().map(ToString::to_string).collect(),
                body: bodies.body(&def.name, def.params.len()),
                position: def.body.start_position(),
                private: def.access == FnAccess::Private,
            })
            .collect();
        let closures = functions
            .iter()
            .enumerate()
            .filter(|(_, function)| function.is_closure())
            .map(|(index, function)| (function.name.clone(), index))
            .collect();
        Self {
            ast,
            functions,
            closures,
        }
    }

    pub fn statements(&self) -> &[Stmt] {
        self.ast.statements()
    }

    /// All functions and closures.
    pub fn functions(&self) -> &[Function] {
        &self.functions
    }

    /// The closure with this internal name.
    pub fn closure(&self, name: &str) -> Option<usize> {
        self.closures.get(name).copied()
    }

    /// The named function that a call with so many arguments means.
    pub fn function(&self, name: &str, arguments: usize) -> Option<usize> {
        self.named(name)
            .find(|index| self.functions[*index].params.len() == arguments)
    }

    /// The named functions of this name, whatever they take.
    pub fn named<'a>(&'a self, name: &'a str) -> impl Iterator<Item = usize> + 'a {
        (0..self.functions.len()).filter(move |index| self.functions[*index].name == name)
    }

    /// Whether the file only defines things, as a module does.
    pub fn is_module(&self) -> bool {
        !self.functions.iter().all(Function::is_closure)
            && self.statements().iter().all(|statement| {
                matches!(
                    statement,
                    Stmt::Noop(_) | Stmt::Var(..) | Stmt::Import(..) | Stmt::Export(..)
                )
            })
    }
}

/// The statements of functions. Rhai does not let others at the body of a function, except by walking
/// a tree: so each is walked in a tree that has nothing but this function.
struct Bodies {
    all: AST,
    /// A tree with one function that does nothing: filtering takes a tree that has functions.
    base: AST,
}

impl Bodies {
    fn of(ast: &AST) -> Self {
        let base = Engine::new_raw()
            .compile("fn nothing() {}")
            .unwrap_or_else(|_| AST::empty());
        Self {
            all: ast.clone_functions_only(),
            base,
        }
    }

    fn body(&self, name: &str, params: usize) -> Vec<Stmt> {
        let only = self
            .base
            .merge_filtered(&self.all, |_, _, _, other, arity| {
                arity == params && other == name
            });
        let mut statements = Vec::new();
        only.walk(&mut |path: &[ASTNode<'_>]| {
            if let [ASTNode::Stmt(statement)] = path {
                statements.push((*statement).clone());
            }
            true
        });
        statements
    }
}
