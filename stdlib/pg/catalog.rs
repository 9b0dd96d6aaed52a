//! What is in a database, for runbooks to put together: tables, views, policies, grants, functions, roles.

use ccrun_kernel::rhai::{Array, Dynamic};
use ccrun_kernel::{Cx, Options, Result, primitive};

use super::database::Database;
use super::session::Want;

/// What is listed.
#[derive(Clone, Options)]
pub struct CatalogOptions {
    /// The schemas; all but the server's own if left out.
    schemas: Option<Vec<String>>,
}

impl CatalogOptions {
    fn parameters(&self) -> Array {
        let schemas = self.schemas.iter().flatten();
        let list: Array = schemas.map(|name| Dynamic::from(name.clone())).collect();
        vec![list.into()]
    }
}

/// The schemas that are meant: $1, or all but the server's own. `n` is `pg_namespace`.
macro_rules! sql {
    ($before:literal, $after:literal) => {
        concat!(
            $before,
            " (n.nspname = ANY ($1::text[]) OR (cardinality($1::text[]) = 0 AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast') AND n.nspname !~ '^pg_(toast_)?temp')) ",
            $after
        )
    };
}

const TABLES: &str = sql!(
    "SELECT n.nspname::text AS schema, c.relname::text AS name,
        CASE c.relkind WHEN 'p' THEN 'partitioned' WHEN 'f' THEN 'foreign' ELSE 'table' END AS kind, pg_get_userbyid(c.relowner)::text AS owner,
        c.relrowsecurity AS rls, c.relforcerowsecurity AS forced, c.relispartition AS partition,
        (SELECT count(*) FROM pg_policy p WHERE p.polrelid = c.oid) AS policies,
        CASE WHEN c.reltuples >= 0 THEN c.reltuples::int8 END AS rows, pg_total_relation_size(c.oid) AS size
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN ('r', 'p', 'f') AND",
    "ORDER BY 1, 2"
);

const VIEWS: &str = sql!(
    "SELECT n.nspname::text AS schema, c.relname::text AS name, c.relkind = 'm' AS materialized, pg_get_userbyid(c.relowner)::text AS owner,
        EXISTS (SELECT FROM unnest(c.reloptions) o WHERE o ~* '^security_invoker=(t(r(ue?)?)?|y(es?)?|on|1)$') AS invoker,
        ARRAY(SELECT DISTINCT format('%I.%I', tn.nspname, t.relname) FROM pg_rewrite w
            JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = w.oid AND d.refclassid = 'pg_class'::regclass AND d.refobjid <> c.oid
            JOIN pg_class t ON t.oid = d.refobjid JOIN pg_namespace tn ON tn.oid = t.relnamespace WHERE w.ev_class = c.oid ORDER BY 1) AS reads
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN ('v', 'm') AND",
    "ORDER BY 1, 2"
);

const POLICIES: &str = sql!(
    "SELECT n.nspname::text AS schema, c.relname::text AS \"table\", p.polname::text AS name,
        CASE p.polcmd WHEN 'r' THEN 'SELECT' WHEN 'a' THEN 'INSERT' WHEN 'w' THEN 'UPDATE' WHEN 'd' THEN 'DELETE' ELSE 'ALL' END AS command,
        p.polpermissive AS permissive,
        ARRAY(SELECT CASE WHEN o = 0 THEN 'public' ELSE pg_get_userbyid(o)::text END FROM unnest(p.polroles) o) AS roles,
        pg_get_expr(p.polqual, p.polrelid) AS using, pg_get_expr(p.polwithcheck, p.polrelid) AS check, c.relrowsecurity AS asked
    FROM pg_policy p JOIN pg_class c ON c.oid = p.polrelid JOIN pg_namespace n ON n.oid = c.relnamespace WHERE",
    "ORDER BY 1, 2, 3"
);

const GRANTS: &str = sql!(
    "SELECT n.nspname::text AS schema, c.relname::text AS \"table\", g.column_name::text AS column,
        CASE WHEN e.grantee = 0 THEN 'public' ELSE pg_get_userbyid(e.grantee)::text END AS role, e.privilege_type AS privilege, e.is_grantable AS grantable
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace, LATERAL (
        SELECT NULL::name AS column_name, coalesce(c.relacl, acldefault('r', c.relowner)) AS acl
        UNION ALL SELECT a.attname, a.attacl FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attacl IS NOT NULL AND NOT a.attisdropped) g, LATERAL aclexplode(g.acl) e
    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND",
    "ORDER BY 1, 2, 3 NULLS FIRST, 4, 5"
);

const FUNCTIONS: &str = sql!(
    "SELECT n.nspname::text AS schema, f.proname::text AS name, pg_get_function_identity_arguments(f.oid) AS arguments, pg_get_function_result(f.oid) AS returns,
        l.lanname::text AS language, pg_get_userbyid(f.proowner)::text AS owner, f.prosecdef AS definer,
        (SELECT substr(o, 13) FROM unnest(f.proconfig) o WHERE o LIKE 'search_path=%') AS search_path,
        ARRAY(SELECT CASE WHEN e.grantee = 0 THEN 'public' ELSE pg_get_userbyid(e.grantee)::text END
            FROM aclexplode(coalesce(f.proacl, acldefault('f', f.proowner))) e WHERE e.privilege_type = 'EXECUTE' ORDER BY 1) AS callable_by
    FROM pg_proc f JOIN pg_namespace n ON n.oid = f.pronamespace JOIN pg_language l ON l.oid = f.prolang WHERE",
    "ORDER BY 1, 2, 3"
);

const ROLES: &str = "SELECT r.rolname::text AS name, r.rolcanlogin AS login, r.rolsuper AS superuser, r.rolbypassrls AS bypasses_rls, r.rolcreaterole AS makes_roles,
        r.rolinherit AS inherits, ARRAY(SELECT pg_get_userbyid(m.roleid)::text FROM pg_auth_members m WHERE m.member = r.oid ORDER BY 1) AS member_of
    FROM pg_roles r WHERE r.rolname !~ '^pg_' ORDER BY 1";

impl Database {
    /// The tables, as maps: `schema`, `name`, `kind` (`"table"`, `"partitioned"`, `"foreign"`), `owner`, `rls` (row-level security is
    /// on), `forced`, `partition`, `policies` (how many), `rows` (about; `()` where nobody has counted), `size` in bytes.
    ///
    /// # Errors
    /// Those of `query`.
    ///
    /// # Example
    /// ```rhai,no_run
    /// let open = pg::connect().tables(#{ schemas: ["public"] }).filter(|table| !table.rls);
    /// ```
    #[primitive(read, needs = pg(self.server.resource))]
    async fn tables(&self, cx: &Cx, options: CatalogOptions) -> Result<Array> {
        self.list(cx, TABLES, options).await
    }

    /// The views, as maps: `schema`, `name`, `materialized`, `owner`, `invoker` (it asks with the rights of who asks), `reads`
    /// (the tables and views that it reads itself).
    ///
    /// # Errors
    /// Those of `query`.
    ///
    /// # Example
    /// ```rhai,no_run
    /// let privileged = pg::connect().views().filter(|view| !view.invoker);
    /// ```
    #[primitive(read, needs = pg(self.server.resource))]
    async fn views(&self, cx: &Cx, options: CatalogOptions) -> Result<Array> {
        self.list(cx, VIEWS, options).await
    }

    /// The policies, as maps: `schema`, `table`, `name`, `command`, `permissive`, `roles`, `using`, `check`, `asked` (row-level
    /// security of its table is on).
    ///
    /// # Errors
    /// Those of `query`.
    ///
    /// # Example
    /// ```rhai,no_run
    /// for policy in pg::connect().policies() { print(`${policy.table}: ${policy.name}`); }
    /// ```
    #[primitive(read, needs = pg(self.server.resource))]
    async fn policies(&self, cx: &Cx, options: CatalogOptions) -> Result<Array> {
        self.list(cx, POLICIES, options).await
    }

    /// What was granted on tables, views and their columns, as maps: `schema`, `table`, `column` (`()` for all of it), `role`
    /// (`"public"` for everybody), `privilege`, `grantable`. What an owner may do without a grant is in it, too.
    ///
    /// # Errors
    /// Those of `query`.
    ///
    /// # Example
    /// ```rhai,no_run
    /// let open = pg::connect().grants().filter(|grant| grant.role in ["public", "anon"]);
    /// ```
    #[primitive(read, needs = pg(self.server.resource))]
    async fn grants(&self, cx: &Cx, options: CatalogOptions) -> Result<Array> {
        self.list(cx, GRANTS, options).await
    }

    /// The functions and procedures, as maps: `schema`, `name`, `arguments`, `returns`, `language`, `owner`, `definer` (it runs with
    /// its owner's rights), `search_path` (`()` where it is the caller's), `callable_by` (`"public"` for everybody).
    ///
    /// # Errors
    /// Those of `query`.
    ///
    /// # Example
    /// ```rhai,no_run
    /// let privileged = pg::connect().functions(#{ schemas: ["public"] }).filter(|function| function.definer);
    /// ```
    #[primitive(read, needs = pg(self.server.resource))]
    async fn functions(&self, cx: &Cx, options: CatalogOptions) -> Result<Array> {
        self.list(cx, FUNCTIONS, options).await
    }

    /// The roles of the server but its own, as maps: `name`, `login`, `superuser`, `bypasses_rls`, `makes_roles`, `inherits`, `member_of`.
    ///
    /// # Errors
    /// Those of `query`.
    ///
    /// # Example
    /// ```rhai,no_run
    /// let mighty = pg::connect().roles().filter(|role| role.superuser || role.bypasses_rls);
    /// ```
    #[primitive(read, needs = pg(self.server.resource))]
    async fn roles(&self, cx: &Cx) -> Result<Array> {
        Ok(self.ask(cx, ROLES.to_owned(), None, Want::Rows).await?.rows)
    }

    async fn list(&self, cx: &Cx, sql: &str, options: CatalogOptions) -> Result<Array> {
        let parameters = Some(options.parameters());
        Ok(self
            .ask(cx, sql.to_owned(), parameters, Want::Rows)
            .await?
            .rows)
    }
}
