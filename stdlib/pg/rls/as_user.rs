//! `db.as_user(role, claims, |tx| …)`: a transaction as PostgREST enters one.

use ccrun_kernel::rhai::{Dynamic, FnPtr, Map};
use ccrun_kernel::{Caller, Cx, Error, Options, Result, primitive};

use crate::pg::database::Database;
use crate::pg::transaction::{Transaction, TransactionOptions};

/// How a user is impersonated.
#[derive(Clone, Options)]
pub struct AsUserOptions {
    /// Keep what the closure does; it is rolled back without it.
    #[option(default = "false")]
    commit: bool,
    /// Where names are looked up: the exposed schema first.
    #[option(default = "public")]
    search_path: String,
    /// Tables of which row-level security must hold for this user; the closure is not run if it does not.
    protected: Option<Vec<String>>,
    /// Allow a role that row-level security does not hold for, such as `service_role`: to compare with.
    #[option(default = "false")]
    bypass: bool,
}

/// Whether the session is what it should be. As the role itself: what it says is what its statements meet.
const STATE: &str = "SELECT json_build_object(
    'user', current_user, 'super', r.rolsuper, 'bypass', r.rolbypassrls,
    'claims', current_setting('request.jwt.claims', true))::text
FROM pg_catalog.pg_roles r WHERE r.rolname = current_user";

impl Database {
    /// Run a closure as a user of the API: in one transaction that is entered as PostgREST does it, and rolled back.
    ///
    /// The role and the claims are set for the transaction alone (`set_config(…, true)`), the older settings per claim
    /// (`request.jwt.claim.sub`) are emptied, because `auth.uid()` asks them first. The closure runs only if
    /// the session then is that role, and row-level security holds for it: a superuser or a role with BYPASSRLS proves
    /// nothing, and is refused unless `bypass: true`. `claims` is what a token says, `#{ sub: "…" }`; `role` is
    /// added to it. Returns what the closure returns.
    ///
    /// Source: PostgREST, "Transactions: request headers, cookies, JWT claims and role" in its documentation.
    ///
    /// # Errors
    /// `pg.role_bypasses_rls`, `pg.role_not_allowed` if the login is no member of the role, `pg.rls_inactive` for a table of
    /// `protected`; what the closure throws.
    ///
    /// # Example
    /// ```rhai,no_run
    /// let alice = #{ sub: "6f1c0c9e-7d43-4f0e-9e0e-000000000001" };
    /// let seen = pg::connect().as_user("authenticated", alice, |tx| tx.value("select count(*) from tasks"));
    /// ```
    #[primitive(read, volatile, needs = pg(self.server.resource))]
    pub(in crate::pg) fn as_user(
        &self,
        cx: &Cx,
        call: &Caller<'_>,
        role: String,
        claims: Map,
        options: AsUserOptions,
        body: FnPtr,
    ) -> Result<Dynamic> {
        let usual = TransactionOptions::usual();
        let begin = usual.begin(cx.dry_run())?;
        let transaction = cx.block_on(self.begin(cx, &begin, &usual))?;
        let entered = cx.block_on(enter(&transaction, &role, &claims, &options));
        let result = match entered {
            Ok(()) => call.invoke(&body, [Dynamic::from(transaction.clone())]),
            Err(error) => Err(error),
        };
        let commit = options.commit && result.is_ok();
        let ended = cx.block_on(transaction.finish(commit));
        match (result, ended) {
            (Ok(value), Ok(())) => Ok(value),
            // A statement that was refused, and whose error was caught, is what one looks for here.
            (Ok(value), Err(_)) if !commit => Ok(value),
            (Ok(_), Err(error)) | (Err(error), _) => Err(error),
        }
    }
}

/// Become the user, and make sure of it.
async fn enter(
    transaction: &Transaction,
    role: &str,
    claims: &Map,
    options: &AsUserOptions,
) -> Result<()> {
    let mut claims: serde_json::Map<String, serde_json::Value> = claims
        .iter()
        .map(|(key, value)| {
            let json = serde_json::to_value(value).unwrap_or(serde_json::Value::Null);
            (key.to_string(), json)
        })
        .collect();
    claims
        .entry("role")
        .or_insert_with(|| role.to_owned().into());
    // The older settings, one for each claim, would be asked before the token.
    let legacy: String = claims
        .keys()
        .map(String::as_str)
        .chain(["sub", "role", "email"])
        .filter(|name| {
            name.starts_with(|sign: char| sign.is_ascii_lowercase())
                && name
                    .chars()
                    .all(|sign| sign.is_ascii_lowercase() || sign.is_ascii_digit() || sign == '_')
        })
        .collect::<std::collections::BTreeSet<_>>()
        .into_iter()
        .map(|name| format!("set_config('request.jwt.claim.{name}', '', true), "))
        .collect();
    let json = serde_json::Value::Object(claims).to_string();
    // The role last: it may not be allowed to set the others. Headers and cookies are JSON: policies cast them.
    let set = format!(
        "SELECT set_config('search_path', {path}, true), set_config('request.jwt.claims', {json}, true), {legacy}\
         set_config('request.method', 'GET', true), set_config('request.path', '/', true), \
         set_config('request.headers', '{{}}', true), set_config('request.cookies', '{{}}', true), \
         set_config('role', {role}, true)",
        path = literal(&options.search_path),
        json = literal(&json),
        role = literal(role),
    );
    transaction.own(&set).await.map_err(|error| match error.kind() {
        "pg.permission_denied" => Error::new(
            "pg.role_not_allowed",
            format!("this login can't become {role}: {}", error.message()),
        )
        .hint(format!("log in as the role that PostgREST logs in as (authenticator), or GRANT {role} TO it")),
        "pg.bad_value" | "pg.undefined_object" => Error::new(
            "pg.role_not_allowed",
            format!("there is no role {role}: {}", error.message()),
        ),
        _ => error,
    })?;
    let state = transaction.own_value(STATE, &[]).await?;
    let state: serde_json::Value = state
        .into_string()
        .ok()
        .and_then(|text| serde_json::from_str(&text).ok())
        .unwrap_or_default();
    if state["user"] != role {
        return Err(Error::new(
            "pg.role_not_allowed",
            format!("the session is {} and not {role}", state["user"]),
        ));
    }
    if !options.bypass && (state["super"] == true || state["bypass"] == true) {
        let what = if state["super"] == true {
            "is a superuser"
        } else {
            "has BYPASSRLS"
        };
        return Err(Error::new(
            "pg.role_bypasses_rls",
            format!("{role} {what}: no policy is asked for it, so nothing that it sees or does proves anything about isolation"),
        )
        .hint("test as the roles that users have, `authenticated` and `anon`; `bypass: true` is for comparing with them"));
    }
    for table in options.protected.iter().flatten() {
        let active = transaction
            .own_value(
                "SELECT pg_catalog.row_security_active($1::regclass)",
                &[table.clone().into()],
            )
            .await?;
        if active.as_bool() != Ok(true) {
            return Err(Error::new(
                "pg.rls_inactive",
                format!("row-level security of {table} does not hold for {role}"),
            )
            .hint(format!(
                "ALTER TABLE {table} ENABLE ROW LEVEL SECURITY; and if {role} owns it, FORCE"
            )));
        }
    }
    Ok(())
}

/// A text as SQL has it.
fn literal(text: &str) -> String {
    let escaped = text.replace('\'', "''");
    match escaped.contains('\\') {
        true => format!("E'{}'", escaped.replace('\\', "\\\\")),
        false => format!("'{escaped}'"),
    }
}
