//! `db.rls_audit()`: what the catalog says about row-level security, and what is wrong with it.

mod catalog;
mod condition;
mod exposure;
mod finding;
mod keys;
mod policies;
mod roles;
mod tables;

use ccrun_kernel::rhai::{Array, Dynamic};
use ccrun_kernel::{Cx, Error, Options, Result, primitive};

use self::catalog::{Catalog, Lookup, Role};
use self::finding::{Finding, Severity};
use crate::pg::database::Database;
use crate::pg::transaction::TransactionOptions;

/// What is audited.
#[derive(Clone, Options)]
pub struct AuditOptions {
    /// The schemas that the API exposes (`PGRST_DB_SCHEMAS`); `public` if left out, and `storage` where there is one.
    schemas: Option<Vec<String>>,
    /// The roles that requests run as; if left out `anon`, `authenticated`, and what else `login` was granted for a token
    /// to name: roles that can't log in, and that policies hold for.
    api_roles: Option<Vec<String>>,
    /// The role that the API logs in as.
    #[option(default = "authenticator")]
    login: String,
    /// Roles that are meant to pass by row-level security; `service_role` if left out.
    trusted: Option<Vec<String>>,
    /// The least severity: `info`, `warn`, `error`.
    #[option(default = "info")]
    severity: String,
}

/// Whom the rules think of.
pub struct Audience<'a> {
    /// The roles that requests run as.
    pub api: Vec<&'a str>,
    /// The role that the API logs in as.
    pub login: &'a str,
    /// Those that may pass by.
    pub trusted: Vec<&'a str>,
}

impl Audience<'_> {
    /// Whether a policy for these roles is for the API.
    fn is_meant_by(&self, lookup: &Lookup<'_>, roles: &[String]) -> bool {
        let is_named = |role: &String| role == "public" || self.api.contains(&role.as_str());
        // A policy for a role holds for its members, too.
        roles.iter().any(is_named)
            || self
                .api
                .iter()
                .filter_map(|name| lookup.role_named(name))
                .flat_map(|from| lookup.paths(from))
                .filter_map(|path| path.last().map(|last| last.name.as_str()))
                .any(|name| roles.iter().any(|role| role == name))
    }

    /// How the API comes to be `role`, if it can: it is it, or is a member of it.
    fn way_to(&self, lookup: &Lookup<'_>, role: &Role) -> Option<String> {
        let everyone = self.api.iter().copied().chain([self.login]);
        for name in everyone {
            if role.name == name {
                return Some(format!("the API logs in as {name}"));
            }
            let Some(from) = lookup.role_named(name) else {
                continue;
            };
            let path = lookup
                .paths(from)
                .into_iter()
                .find(|path| path.last().is_some_and(|last| last.oid == role.oid));
            if let Some(path) = path {
                let way: Vec<&str> = path.iter().map(|role| role.name.as_str()).collect();
                return Some(format!("the API can become it ({})", way.join(" → ")));
            }
        }
        None
    }
}

impl Database {
    /// What is wrong with the row-level security of a database, by its catalog: findings as maps with `rule`, `severity`
    /// (`"error"`, `"warn"`, `"info"`), `title`, `object`, `evidence`, `why`, `fix` (SQL) and `docs`, the worst first.
    ///
    /// One snapshot is read, so the findings belong together; ten thousand tables take some seconds. That nothing is found
    /// does not prove isolation: `db.rls_probe` tries it.
    ///
    /// # Errors
    /// `pg.no_api_roles` if none of the API's roles exists; those of `query`.
    ///
    /// # Example
    /// ```rhai,no_run
    /// for finding in pg::connect().rls_audit(#{ severity: "warn" }) {
    ///     print(`${finding.severity} ${finding.object}: ${finding.title}`);
    /// }
    /// ```
    #[primitive(read, needs = pg(self.server.resource))]
    pub(in crate::pg) async fn rls_audit(&self, cx: &Cx, options: AuditOptions) -> Result<Array> {
        let least = Severity::of(&options.severity).ok_or_else(|| {
            Error::new(
                "pg.bad_option",
                format!("`{}` is no severity", options.severity),
            )
            .hint("it is `info`, `warn` or `error`")
        })?;
        let or = |given: &Option<Vec<String>>, usual: &[&str]| -> Vec<String> {
            let usual = || usual.iter().map(|&text| text.to_owned()).collect();
            given.clone().unwrap_or_else(usual)
        };
        let schemas = or(&options.schemas, &["public", "storage"]);
        let api = or(&options.api_roles, &["anon", "authenticated"]);
        let trusted = or(&options.trusted, &["service_role"]);
        let texts = |list: &[String]| -> Dynamic {
            list.iter()
                .map(|text| Dynamic::from(text.clone()))
                .collect::<Array>()
                .into()
        };
        let mut parameters = vec![
            texts(&schemas),
            texts(&api),
            exposure::SENSITIVE_NAMES.into(),
            // Without roles that are named, those that the login was granted count as well.
            Dynamic::from(match options.api_roles {
                Some(_) => String::new(),
                None => options.login.clone(),
            }),
            texts(&trusted),
        ];
        // READ ONLY: a replica will do. All pieces see one snapshot, so what is found belongs together.
        let how = TransactionOptions::steady();
        let transaction = self.begin(cx, &how.begin(true)?, &how).await?;
        let found = async {
            // Compiling a statement of this size takes longer than answering it, by far.
            transaction.own("SET LOCAL jit = off").await?;
            let tables = transaction
                .own_value(catalog::TABLES, &parameters[..1])
                .await?;
            let tables: Array = tables.try_cast().unwrap_or_default();
            let mut pieces: Vec<Array> = tables.chunks(PIECE).map(<[Dynamic]>::to_vec).collect();
            if pieces.is_empty() {
                pieces.push(Array::new());
            }
            let mut progress = cx.progress("tables", Some(tables.len() as u64));
            let mut findings = Vec::new();
            for (number, piece) in pieces.into_iter().enumerate() {
                let (first, count) = (number == 0, piece.len());
                parameters.truncate(5);
                parameters.extend([piece.into(), first.into()]);
                let text = transaction.own_value(catalog::SQL, &parameters).await?;
                let text = text.into_string().unwrap_or_default();
                let (api, login, trusted) = (api.clone(), options.login.clone(), trusted.clone());
                let more = cx
                    .blocking(move || judge(&text, &api, &login, &trusted, first))
                    .await?;
                findings.extend(more.into_iter().filter(|one| one.rule.severity >= least));
                progress.advance(count as u64);
            }
            Ok::<_, Error>(findings)
        }
        .await;
        let ended = transaction.finish(false).await;
        let mut findings: Vec<Finding> = found?;
        ended?;
        findings.sort_by(|a, b| {
            let order =
                |finding: &Finding| (std::cmp::Reverse(finding.rule.severity), finding.rule.id);
            order(a)
                .cmp(&order(b))
                .then_with(|| a.object.cmp(&b.object))
        });
        Ok(findings
            .into_iter()
            .map(|finding| Dynamic::from(finding.into_map()))
            .collect())
    }
}

/// How many tables are looked at at once: this bounds the memory.
const PIECE: usize = 1_000;

/// What the rules say of a piece of the catalog, and, with the first, of what is no table's.
fn judge(
    text: &str,
    api: &[String],
    login: &str,
    trusted: &[String],
    first: bool,
) -> Result<Vec<Finding>> {
    let catalog: Catalog = serde_json::from_str(text).map_err(|error| {
        Error::new(
            "pg.protocol",
            format!("the catalog reads otherwise than expected: {error}"),
        )
    })?;
    let audience = Audience {
        api: catalog.api.iter().map(String::as_str).collect(),
        login,
        trusted: trusted.iter().map(String::as_str).collect(),
    };
    if audience.api.is_empty() {
        return Err(Error::new(
            "pg.no_api_roles",
            format!("there is no role {}", api.join(" or ")),
        )
        .hint(
            "is this the right database? Else name the roles that requests run as: `api_roles`",
        ));
    }
    let lookup = Lookup::new(&catalog);
    let mut findings = tables::look(&catalog, &lookup, &audience);
    findings.extend(policies::look(&catalog, &lookup, &audience));
    findings.extend(exposure::look(&catalog, &lookup, &audience));
    findings.extend(keys::look(&catalog, &lookup));
    if first {
        findings.extend(exposure::look_beside(&catalog, &lookup, &audience));
        findings.extend(roles::look(&catalog, &lookup, &audience));
    }
    Ok(findings)
}
