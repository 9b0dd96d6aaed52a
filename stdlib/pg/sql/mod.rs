//! As much of SQL's lexical rules as it takes to tell what a statement may do.
//!
//! This is not what keeps a dry run from writing: there every query runs in a transaction that is
//! READ ONLY and rolled back (see `session.rs`). It decides which statements are plainly harmless and
//! need no such transaction, finds `$1` and locking clauses, and refuses early, with a better
//! message than the server's, what can't work.

mod lexer;

use std::ops::Range;

use lexer::{Kind, Lexer, Token};

/// What a statement is seen to be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    /// The first word in lower case: `select`, `insert`, empty if there is none.
    pub verb: String,
    /// The second one: `local` of `set local …`.
    pub second: String,
    /// Whether that word begins a statement that asks.
    pub asks: bool,
    /// Whether it only asks, and calls nothing but well-known functions that only compute. Then it
    /// needs no protection: it could not write even in a session that may.
    pub plain: bool,
    /// Whether it may leave something behind in its session: a setting, a lock, a temporary table.
    pub leaves_traces: bool,
    /// A function that acts beyond the transaction, which no READ ONLY prevents.
    pub acting_function: Option<&'static str>,
    /// Where `$1` … stand.
    pub parameters: Vec<(Range<usize>, usize)>,
    /// Where `FOR UPDATE` and the like stand.
    pub locking: Vec<Range<usize>>,
}

/// Statements that begin so ask and do nothing. `fetch` moves a cursor of the transaction.
const ASKING: [&str; 7] = [
    "select", "with", "values", "table", "show", "explain", "fetch",
];

/// Statements that begin so set something for the whole session.
const SESSION_VERBS: [&str; 12] = [
    "set",
    "reset",
    "discard",
    "listen",
    "unlisten",
    "prepare",
    "deallocate",
    "load",
    "do",
    "call",
    "declare",
    "lock",
];

/// Statements that begin or end a transaction.
const TRANSACTION_VERBS: [&str; 8] = [
    "begin",
    "start",
    "commit",
    "end",
    "rollback",
    "abort",
    "savepoint",
    "release",
];

/// Words that make a statement one which may write, wherever they stand outside of quotes.
const WRITING_WORDS: [&str; 6] = ["insert", "update", "delete", "merge", "into", "create"];

/// Words before a parenthesis that are no function's name.
const NOT_CALLS: [&str; 43] = [
    "select",
    "distinct",
    "from",
    "where",
    "and",
    "or",
    "not",
    "in",
    "exists",
    "any",
    "all",
    "some",
    "as",
    "on",
    "using",
    "having",
    "by",
    "when",
    "then",
    "else",
    "case",
    "union",
    "intersect",
    "except",
    "values",
    "over",
    "filter",
    "group",
    "within",
    "array",
    "row",
    "limit",
    "offset",
    "between",
    "like",
    "ilike",
    "join",
    "lateral",
    "recursive",
    "materialized",
    "is",
    "sets",
    "with",
];

/// Functions that only compute or look something up. A statement with a call of any other one is
/// not plain and costs one more round trip; nothing is lost but time when one is missing here.
const COMPUTING: &str = " abs age array_agg array_append array_length array_position array_remove \
    array_to_string avg bit_length bool_and bool_or btrim cardinality cast ceil ceiling char_length \
    clock_timestamp coalesce col_description concat concat_ws count current_database current_schema \
    current_schemas current_setting date date_part date_trunc decode dense_rank encode every \
    extract first_value floor format format_type gen_random_uuid generate_series greatest \
    has_column_privilege has_database_privilege has_function_privilege has_schema_privilege \
    has_table_privilege initcap json_agg json_array_elements json_array_length json_build_array \
    json_build_object json_object_agg jsonb_agg jsonb_array_elements jsonb_array_elements_text \
    jsonb_array_length jsonb_build_array jsonb_build_object jsonb_each jsonb_each_text \
    jsonb_object_agg jsonb_object_keys jsonb_path_query jsonb_typeof lag last_value lead least left \
    length lower lpad ltrim make_date make_interval max md5 min mod now ntile nullif numeric \
    obj_description octet_length overlay percentile_cont percentile_disc pg_backend_pid \
    pg_blocking_pids pg_column_size pg_current_wal_lsn pg_database_size pg_encoding_to_char \
    pg_get_constraintdef pg_get_expr pg_get_functiondef pg_get_indexdef pg_get_userbyid \
    pg_get_viewdef pg_indexes_size pg_is_in_recovery pg_last_wal_receive_lsn \
    pg_last_wal_replay_lsn pg_last_xact_replay_timestamp pg_postmaster_start_time \
    pg_relation_size pg_size_pretty pg_sleep pg_table_is_visible pg_table_size \
    pg_total_relation_size pg_typeof pg_wal_lsn_diff position power quote_ident quote_literal \
    random rank regexp_match regexp_matches regexp_replace regexp_split_to_array \
    regexp_split_to_table repeat replace reverse right round row_number row_to_json rpad rtrim \
    sign split_part sqrt starts_with statement_timestamp string_agg string_to_array strpos substr \
    substring sum timezone to_char to_date to_json to_jsonb to_number to_regclass to_regtype \
    to_timestamp transaction_timestamp translate trim trunc unnest upper varchar version ";

/// Functions that act on the server, on files or on other databases: no rollback takes them back.
const ACTING: [&str; 40] = [
    "dblink",
    "dblink_connect",
    "dblink_exec",
    "dblink_send_query",
    "lo_creat",
    "lo_create",
    "lo_export",
    "lo_from_bytea",
    "lo_import",
    "lo_put",
    "lo_truncate",
    "lo_unlink",
    "lowrite",
    "pg_advisory_lock",
    "pg_advisory_lock_shared",
    "pg_backup_start",
    "pg_backup_stop",
    "pg_cancel_backend",
    "pg_copy_logical_replication_slot",
    "pg_copy_physical_replication_slot",
    "pg_create_logical_replication_slot",
    "pg_create_physical_replication_slot",
    "pg_create_restore_point",
    "pg_drop_replication_slot",
    "pg_file_write",
    "pg_logical_slot_get_changes",
    "pg_promote",
    "pg_reload_conf",
    "pg_replication_slot_advance",
    "pg_rotate_logfile",
    "pg_stat_reset",
    "pg_stat_reset_shared",
    "pg_stat_statements_reset",
    "pg_switch_wal",
    "pg_terminate_backend",
    "pg_try_advisory_lock",
    "pg_try_advisory_lock_shared",
    "pg_wal_replay_pause",
    "pg_wal_replay_resume",
    "pg_logical_emit_message",
];

/// Words that make a lasting mark on a session when a statement has them.
const TRACES: [&str; 8] = [
    "set_config",
    "temp",
    "temporary",
    "pg_advisory_lock",
    "pg_advisory_lock_shared",
    "pg_try_advisory_lock",
    "pg_try_advisory_lock_shared",
    "dblink_connect",
];

impl Facts {
    /// Look at one statement.
    #[must_use]
    pub fn of(sql: &str) -> Self {
        let tokens: Vec<Token<'_>> = Lexer::new(sql).collect();
        let mut words =
            tokens
                .iter()
                .skip_while(|token| token.text == "(")
                .map(|token| match token.kind {
                    Kind::Word => token.text.to_ascii_lowercase(),
                    _ => String::new(),
                });
        let verb = words.next().unwrap_or_default();
        let second = words.next().unwrap_or_default();
        drop(words);
        let asks = ASKING.contains(&verb.as_str());
        let mut facts = Self {
            asks,
            plain: asks && verb != "fetch" && verb != "explain",
            leaves_traces: SESSION_VERBS.contains(&verb.as_str()),
            verb,
            second,
            ..Self::default()
        };
        let mut index = 0;
        while index < tokens.len() {
            index += facts.look(&tokens[index..]).max(1);
        }
        facts
    }

    /// Whether it begins or ends a transaction.
    #[must_use]
    pub fn controls_transaction(&self) -> bool {
        TRANSACTION_VERBS.contains(&self.verb.as_str())
    }

    /// Whether it is `SET …`, `RESET …` or the like, which would hold beyond a transaction.
    #[must_use]
    pub fn sets_session(&self) -> bool {
        match self.verb.as_str() {
            "set" => !["local", "constraints", "transaction"].contains(&self.second.as_str()),
            verb => [
                "reset",
                "discard",
                "listen",
                "unlisten",
                "prepare",
                "deallocate",
            ]
            .contains(&verb),
        }
    }

    /// Take note of the first of `tokens`; how many were used.
    fn look(&mut self, tokens: &[Token<'_>]) -> usize {
        let token = &tokens[0];
        match token.kind {
            Kind::Parameter => {
                if let Ok(number) = token.text[1..].parse() {
                    self.parameters.push((token.range(), number));
                }
            }
            Kind::Word | Kind::QuotedName => {
                let quoted = token.kind == Kind::QuotedName;
                let word = if quoted {
                    token.text.trim_matches('"').to_owned()
                } else {
                    token.text.to_ascii_lowercase()
                };
                if !quoted && word == "for" {
                    let used = locking_clause(tokens);
                    if used > 0 {
                        self.locking.push(token.start..tokens[used - 1].range().end);
                        return used;
                    }
                }
                self.plain &= quoted || !WRITING_WORDS.contains(&word.as_str());
                self.leaves_traces |= TRACES.contains(&word.as_str());
                let call = tokens.get(1).is_some_and(|next| next.text == "(");
                if call && (quoted || !NOT_CALLS.contains(&word.as_str())) {
                    self.acting_function = self
                        .acting_function
                        .or_else(|| ACTING.iter().find(|acting| **acting == word).copied());
                    self.plain &= COMPUTING.contains(&format!(" {word} "));
                }
            }
            // A qualified function could be anybody's, whatever its name.
            Kind::Symbol if token.text == "." => {
                let call = tokens.get(2).is_some_and(|after| after.text == "(");
                self.plain &= !call;
            }
            _ => {}
        }
        1
    }
}

/// How many tokens `FOR [NO KEY] UPDATE | [KEY] SHARE [OF …] [NOWAIT | SKIP LOCKED]` has here.
fn locking_clause(tokens: &[Token<'_>]) -> usize {
    let word = |index: usize, wanted: &str| {
        tokens.get(index).is_some_and(|token| {
            token.kind == Kind::Word && token.text.eq_ignore_ascii_case(wanted)
        })
    };
    let mut used = 1;
    if word(used, "no") && word(used + 1, "key") {
        used += 2;
    } else if word(used, "key") {
        used += 1;
    }
    if !word(used, "update") && !word(used, "share") {
        return 0;
    }
    used += 1;
    if word(used, "of") {
        used += 1;
        while tokens.get(used).is_some_and(|token| {
            (matches!(token.kind, Kind::Word | Kind::QuotedName)
                && !word(used, "nowait")
                && !word(used, "skip")
                && !word(used, "for"))
                || token.text == ","
                || token.text == "."
        }) {
            used += 1;
        }
    }
    if word(used, "nowait") {
        used += 1;
    } else if word(used, "skip") && word(used + 1, "locked") {
        used += 2;
    }
    used
}

/// Where each statement of a script begins.
#[must_use]
pub fn statements(script: &str) -> Vec<usize> {
    let mut starts = Vec::new();
    let mut fresh = true;
    for token in Lexer::new(script) {
        if token.text == ";" {
            fresh = true;
        } else if std::mem::take(&mut fresh) {
            starts.push(token.start);
        }
    }
    starts
}

/// The statement with its locking clauses blanked out, for a transaction that may not lock.
#[must_use]
pub fn without_locking(sql: &str, facts: &Facts) -> String {
    let mut text = sql.to_owned();
    for range in &facts.locking {
        text.replace_range(range.clone(), &" ".repeat(range.len()));
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn plain_questions() {
        for sql in [
            "select 1",
            "  -- a comment; insert\n /* /* nested */ delete */ (SELECT count(*) from t where a in (1, 2))",
            "select 'insert into t', \"update\", $$delete$$, $x$ call() $x$, E'\\' create' from t",
            "table t",
            "values (1), (2)",
            "show server_version",
            "select * from t where id = $1 and lower(name) = any($2) for update of t skip locked",
            "select cast(a as numeric(10, 2)), row_number() over (order by b) from t",
        ] {
            let facts = Facts::of(sql);
            assert!(facts.asks && facts.plain, "{sql}: {facts:?}");
            assert_eq!(facts.acting_function, None, "{sql}");
        }
    }

    #[test]
    fn what_may_write_is_not_plain() {
        for sql in [
            "select my_function()",
            "select \"count\"(1), public.count(1)",
            "select nextval('s')",
            "with gone as (delete from t returning *) select * from gone",
            "select 1 into x",
            "explain analyze select 1",
            "select set_config('a.b', 'c', false)",
            "select U&\"\\0061bs\"(1)",
        ] {
            let facts = Facts::of(sql);
            assert!(facts.asks && !facts.plain, "{sql}: {facts:?}");
        }
        for sql in [
            "insert into t values (1)",
            "do $$ begin end $$",
            "set x = 1",
            "",
            "1",
        ] {
            let facts = Facts::of(sql);
            assert!(!facts.asks && !facts.plain, "{sql}: {facts:?}");
        }
    }

    #[test]
    fn traces_and_acting_functions_are_seen() {
        assert!(Facts::of("select set_config('a.b', '1', false)").leaves_traces);
        assert!(Facts::of("create temp table t ()").leaves_traces);
        assert!(!Facts::of("insert into t values (1)").leaves_traces);
        assert_eq!(
            Facts::of("select pg_catalog.\"pg_terminate_backend\"(1)").acting_function,
            Some("pg_terminate_backend")
        );
        assert_eq!(
            Facts::of("select pg_terminate_backend from t").acting_function,
            None
        );
    }

    #[test]
    fn parameters_are_found_outside_of_quotes() {
        let sql = "select $1, '$2', \"$3\", $$ $4 $$, a$5, $12 -- $6";
        let found: Vec<_> = Facts::of(sql)
            .parameters
            .iter()
            .map(|(_, number)| *number)
            .collect();
        assert_eq!(found, [1, 12]);
    }

    #[test]
    fn a_script_is_split_at_its_semicolons() {
        let script = "create table a (); -- x;\n;;\ninsert into a values (';') ;\n\n  select $$;$$";
        let starts: Vec<&str> = statements(script)
            .iter()
            .map(|at| &script[*at..*at + 6])
            .collect();
        assert_eq!(starts, ["create", "insert", "select"]);
    }

    #[test]
    fn settings_of_a_transaction_are_no_settings_of_the_session() {
        assert!(Facts::of("set search_path = x").sets_session());
        assert!(Facts::of("reset all").sets_session());
        assert!(!Facts::of("set local search_path = x").sets_session());
    }

    #[test]
    fn locking_clauses_can_be_blanked_out() {
        let sql = "select * from a, b for no key update of a, b nowait limit 1";
        let facts = Facts::of(sql);
        let text = without_locking(sql, &facts);
        assert_eq!(
            text.split_whitespace().collect::<Vec<_>>().join(" "),
            "select * from a, b limit 1"
        );
        assert_eq!(text.len(), sql.len());
        assert!(facts.plain);
    }

    proptest! {
        #[test]
        fn no_text_panics(sql in "[-a-z0-9$'\"/*()é;. \\n\\\\&]{0,60}") {
            let facts = Facts::of(&sql);
            let _ = without_locking(&sql, &facts);
        }
    }
}
