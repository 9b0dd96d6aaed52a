//! The codes of <https://www.postgresql.org/docs/current/errcodes-appendix.html>, and what to do.

/// The kind, hint and retryability of an SQLSTATE; the longest prefix wins.
pub struct Code {
    prefix: &'static str,
    /// `pg.…`
    pub kind: &'static str,
    /// What to do next.
    pub hint: Option<&'static str>,
    /// Whether it may go well later.
    pub retryable: bool,
}

const fn code(prefix: &'static str, kind: &'static str, hint: &'static str) -> Code {
    Code {
        prefix,
        kind,
        hint: Some(hint),
        retryable: false,
    }
}

const fn bare(prefix: &'static str, kind: &'static str) -> Code {
    Code {
        prefix,
        kind,
        hint: None,
        retryable: false,
    }
}

const fn again(prefix: &'static str, kind: &'static str, hint: &'static str) -> Code {
    Code {
        prefix,
        kind,
        hint: Some(hint),
        retryable: true,
    }
}

const CODES: &[Code] = &[
    again(
        "08",
        "pg.connection_lost",
        "the server or something in between closed the connection; look at the server's log",
    ),
    bare("08P01", "pg.protocol"),
    code(
        "0A",
        "pg.unsupported",
        "this server can't do that; `select version()` shows what it is",
    ),
    bare("21", "pg.cardinality"),
    code(
        "22",
        "pg.bad_value",
        "the value does not fit the type it is used as",
    ),
    bare("22012", "pg.division_by_zero"),
    bare("23", "pg.constraint_violation"),
    code(
        "23502",
        "pg.not_null_violation",
        "give the column a value, or a default",
    ),
    code(
        "23503",
        "pg.foreign_key_violation",
        "the row it refers to is missing, or rows still refer to it",
    ),
    code(
        "23505",
        "pg.unique_violation",
        "a row with this key is there already; `insert … on conflict` can update or skip it",
    ),
    bare("23514", "pg.check_violation"),
    bare("23P01", "pg.exclusion_violation"),
    code(
        "25001",
        "pg.in_transaction",
        "this statement can't run in a transaction: use `db.execute` outside of one",
    ),
    code(
        "25006",
        "pg.read_only",
        "to change data use `execute`, `execute_returning` or `script`",
    ),
    code(
        "25P02",
        "pg.transaction_aborted",
        "an earlier statement of the transaction failed; let its error end the closure, or put that statement into `tx.savepoint`",
    ),
    code(
        "25P03",
        "pg.connection_lost",
        "the transaction was idle for too long (idle_in_transaction_session_timeout)",
    ),
    code(
        "26000",
        "pg.prepared_statement",
        "a pooler in transaction mode lies in between: connect to the server itself or to the pooler's session port",
    ),
    code(
        "28",
        "pg.auth_failed",
        "check user and password, and pg_hba.conf on the server for who may connect from here",
    ),
    bare("2BP01", "pg.dependent_objects"),
    code(
        "3D000",
        "pg.no_database",
        "`psql -l`, or `db.query(\"select datname from pg_database\")` on another one, lists the databases",
    ),
    code(
        "3F000",
        "pg.undefined_schema",
        "create the schema, or check `search_path`",
    ),
    again(
        "40001",
        "pg.serialization_failure",
        "another transaction changed the same rows: run it again, `db.transaction(#{ retry: 3 }, …)` does",
    ),
    again(
        "40P01",
        "pg.deadlock",
        "two transactions waited for each other: run it again, `db.transaction(#{ retry: 3 }, …)` does",
    ),
    code(
        "42501",
        "pg.permission_denied",
        "grant it to the role, or connect as another one",
    ),
    code("42601", "pg.syntax", "`ccrun doc pg` has examples"),
    code("42602", "pg.bad_name", "quote unusual names with \"…\""),
    code(
        "42701",
        "pg.already_exists",
        "write `if not exists`, or drop it first",
    ),
    code(
        "42702",
        "pg.ambiguous_column",
        "say which table's: `t.column`",
    ),
    code(
        "42703",
        "pg.undefined_column",
        "`db.query(\"select column_name from information_schema.columns where table_name = $1\", [table])` lists them",
    ),
    code(
        "42704",
        "pg.undefined_object",
        "check its name and `search_path`, and whether the extension is installed",
    ),
    code(
        "42710",
        "pg.already_exists",
        "write `if not exists`, or drop it first",
    ),
    code("42723", "pg.already_exists", "write `create or replace`"),
    code(
        "42803",
        "pg.grouping",
        "put the column into `group by`, or aggregate it",
    ),
    code("42804", "pg.type_mismatch", "cast one side: `value::type`"),
    code("42846", "pg.type_mismatch", "there is no such cast"),
    code(
        "42883",
        "pg.undefined_function",
        "check its name, the types of its arguments and `search_path`",
    ),
    code(
        "42P01",
        "pg.undefined_table",
        "check its name and `search_path`",
    ),
    code(
        "42P04",
        "pg.already_exists",
        "drop the database first, or use another name",
    ),
    code(
        "42P05",
        "pg.prepared_statement",
        "a pooler in transaction mode lies in between: connect to the server itself or to the pooler's session port",
    ),
    code(
        "42P06",
        "pg.already_exists",
        "write `create schema if not exists`",
    ),
    code(
        "42P07",
        "pg.already_exists",
        "write `if not exists`, or drop it first",
    ),
    code(
        "42P08",
        "pg.bad_parameter",
        "cast the parameter: `$1::text`",
    ),
    code(
        "42P18",
        "pg.bad_parameter",
        "cast the parameter: `$1::text`",
    ),
    bare("44000", "pg.check_violation"),
    again(
        "53000",
        "pg.server_exhausted",
        "the server is out of resources; look at its log",
    ),
    code(
        "53100",
        "pg.disk_full",
        "free space on the server's disk; `select pg_size_pretty(sum(size)) from pg_ls_waldir()` shows the share of the log",
    ),
    again(
        "53200",
        "pg.out_of_memory",
        "the server is out of memory; lower work_mem or the number of connections",
    ),
    again(
        "53300",
        "pg.too_many_connections",
        "`select count(*), usename, state from pg_stat_activity group by 2, 3` shows who holds them; raise max_connections or use a pooler",
    ),
    bare("54", "pg.limit"),
    code(
        "55006",
        "pg.in_use",
        "end the sessions that use it first: pg_stat_activity shows them",
    ),
    again(
        "55P03",
        "pg.lock_timeout",
        "another session holds the lock: `pg_blocking_pids()` shows which",
    ),
    again(
        "57014",
        "pg.cancelled",
        "statement_timeout passed, or somebody cancelled it",
    ),
    again(
        "57P01",
        "pg.connection_lost",
        "the server shut down or the session was terminated",
    ),
    again(
        "57P02",
        "pg.connection_lost",
        "the server crashed; look at its log",
    ),
    again(
        "57P03",
        "pg.starting",
        "the server is starting up, shutting down or in recovery: try again in a moment",
    ),
    again(
        "57P05",
        "pg.connection_lost",
        "the session was idle for too long (idle_session_timeout)",
    ),
    bare("58", "pg.server_failure"),
    bare("P0001", "pg.raised"),
    bare("P0002", "pg.no_rows"),
    bare("P0003", "pg.many_rows"),
    bare("XX", "pg.server_failure"),
];

/// What is known of this SQLSTATE.
#[must_use]
pub fn known(state: &str) -> Option<&'static Code> {
    CODES
        .iter()
        .filter(|code| state.starts_with(code.prefix))
        .max_by_key(|code| code.prefix.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_prefix_wins() {
        let kind = |state: &str| known(state).map(|code| code.kind);
        assert_eq!(kind("23505"), Some("pg.unique_violation"));
        assert_eq!(kind("23001"), Some("pg.constraint_violation"));
        assert_eq!(kind("99999"), None);
    }
}
