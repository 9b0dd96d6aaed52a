-- All that the rules look at, of some tables, as one JSON value. Pieces of it are asked for in one snapshot, so that they
-- belong together, and a database of many tables does not have to be held in memory.
-- $1 exposed schemas, $2 roles of the API, $3 what the names of columns that sound like secrets look like,
-- $4 the login whose further roles count as well ('' for none), $5 roles that are meant to pass by,
-- $6 the tables and views, $7 whether to say as well what is no table's.
WITH RECURSIVE api AS (
    SELECT oid, rolname FROM pg_roles WHERE rolname = ANY ($2)
    UNION
    SELECT r.oid, r.rolname FROM pg_auth_members m JOIN pg_roles r ON r.oid = m.roleid JOIN pg_roles l ON l.oid = m.member
    WHERE l.rolname = $4 AND NOT r.rolcanlogin AND NOT r.rolsuper AND NOT r.rolbypassrls AND r.rolname <> ALL ($5) AND r.rolname !~ '^pg_'
),
schemas AS (
    SELECT n.oid, n.nspname FROM pg_namespace n WHERE n.nspname = ANY ($1)
),
around AS (
    -- Those, and what their foreign keys refer to.
    SELECT c.oid, s.nspname, c.relname, c.relkind, c.relowner, c.relrowsecurity, c.relforcerowsecurity, c.relispartition,
           c.relreplident, c.reloptions, c.oid = ANY ($6::int8[]::oid[]) AS meant
    FROM pg_class c JOIN schemas s ON s.oid = c.relnamespace
    WHERE c.oid IN (SELECT unnest($6::int8[]::oid[]) UNION SELECT k.confrelid FROM pg_constraint k WHERE k.contype = 'f' AND k.conrelid = ANY ($6::int8[]::oid[]))
      AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
),
relations AS (
    SELECT * FROM around WHERE meant
)
SELECT json_build_object(
    'api', (SELECT coalesce(json_agg(rolname ORDER BY rolname), '[]') FROM api),
    'roles', (SELECT coalesce(json_agg(json_build_object(
            'oid', r.oid::int8, 'name', r.rolname, 'bypass', r.rolbypassrls, 'makes_roles', r.rolcreaterole,
            -- Whoever may run programs on the server, or write its files, can make itself one.
            'super', r.rolsuper OR r.rolname IN ('pg_execute_server_program', 'pg_write_server_files'),
            'member_of', (SELECT coalesce(json_agg(m.roleid::int8), '[]') FROM pg_auth_members m WHERE m.member = r.oid))), '[]')
        FROM pg_roles r WHERE r.rolname !~ '^pg_' OR r.rolname IN ('pg_execute_server_program', 'pg_write_server_files')),
    'relations', (SELECT coalesce(json_agg(json_build_object(
            'oid', r.oid::int8, 'meant', r.meant, 'schema', r.nspname, 'name', r.relname,
            'shown', format('%I.%I', r.nspname, r.relname),
            'kind', r.relkind, 'owner', r.relowner::int8,
            'rls', r.relrowsecurity, 'forced', r.relforcerowsecurity, 'partition', r.relispartition, 'identity', r.relreplident,
            'invoker', EXISTS (SELECT FROM unnest(r.reloptions) o WHERE o ~* '^security_invoker=(t(r(ue?)?)?|y(es?)?|on|1)$'),
            'grants', (SELECT coalesce(json_object_agg(a.rolname, p.list), '{}') FROM api a, LATERAL (
                SELECT array_to_string(ARRAY(
                    SELECT k FROM unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'REFERENCES', 'TRIGGER']) k
                    WHERE has_table_privilege(a.oid, r.oid, k)
                       OR (k IN ('SELECT', 'INSERT', 'UPDATE', 'REFERENCES') AND r.relkind <> 'm' AND has_any_column_privilege(a.oid, r.oid, k))), ',') AS list) p
                WHERE p.list <> '' AND has_schema_privilege(a.oid, (SELECT oid FROM schemas s WHERE s.nspname = r.nspname), 'USAGE'))
            ) ORDER BY r.nspname, r.relname), '[]') FROM around r),
    'columns', (SELECT coalesce(json_agg(json_build_object(
            'relation', t.attrelid::int8, 'number', t.attnum, 'name', t.attname, 'type', format_type(t.atttypid, NULL),
            'readable', (SELECT coalesce(json_agg(a.rolname), '[]') FROM api a WHERE has_column_privilege(a.oid, t.attrelid, t.attnum, 'SELECT')))), '[]')
        FROM pg_attribute t JOIN around r ON r.oid = t.attrelid
        WHERE t.attnum > 0 AND NOT t.attisdropped
          AND (t.attname ~* $3 OR EXISTS (SELECT FROM pg_constraint k WHERE k.conrelid = t.attrelid AND k.contype IN ('p', 'u', 'f') AND t.attnum = ANY (k.conkey))
               OR EXISTS (SELECT FROM pg_index i WHERE i.indrelid = t.attrelid AND t.attnum = ANY (i.indkey::int2[]))
               OR EXISTS (SELECT FROM pg_policy p JOIN pg_depend d ON d.classid = 'pg_policy'::regclass AND d.objid = p.oid
                          WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid = t.attrelid AND d.refobjsubid = t.attnum))),
    'policies', (SELECT coalesce(json_agg(json_build_object(
            'relation', p.polrelid::int8, 'name', p.polname, 'command', p.polcmd, 'permissive', p.polpermissive,
            'roles', (SELECT coalesce(json_agg(CASE WHEN o = 0 THEN 'public' ELSE pg_get_userbyid(o) END), '[]') FROM unnest(p.polroles) o),
            'using', pg_get_expr(p.polqual, p.polrelid), 'check', pg_get_expr(p.polwithcheck, p.polrelid),
            'columns', (SELECT coalesce(json_agg(DISTINCT d.refobjsubid), '[]') FROM pg_depend d
                        WHERE d.classid = 'pg_policy'::regclass AND d.objid = p.oid AND d.refclassid = 'pg_class'::regclass
                          AND d.refobjid = p.polrelid AND d.refobjsubid > 0))
            ORDER BY p.polrelid, p.polname), '[]')
        FROM pg_policy p JOIN around r ON r.oid = p.polrelid),
    -- Primary keys, unique constraints and unique indexes; and, for the columns of policies, what any index begins with.
    'indexes', (SELECT coalesce(json_agg(json_build_object(
            'relation', i.indrelid::int8, 'name', x.relname, 'unique', i.indisunique, 'primary', i.indisprimary, 'exclusion', i.indisexclusion,
            'columns', (SELECT coalesce(json_agg(k), '[]') FROM unnest(i.indkey::int2[]) WITH ORDINALITY u(k, n) WHERE n <= i.indnkeyatts),
            'expression', pg_get_expr(i.indexprs, i.indrelid))), '[]')
        FROM pg_index i JOIN around r ON r.oid = i.indrelid JOIN pg_class x ON x.oid = i.indexrelid WHERE i.indisvalid),
    'foreign_keys', (SELECT coalesce(json_agg(json_build_object(
            'name', k.conname, 'relation', k.conrelid::int8, 'columns', to_json(k.conkey), 'target', k.confrelid::int8,
            'target_shown', k.confrelid::regclass::text, 'target_columns', to_json(k.confkey))), '[]')
        FROM pg_constraint k JOIN relations r ON r.oid = k.conrelid WHERE k.contype = 'f' AND k.conparentid = 0),
    'functions', (SELECT coalesce(json_agg(json_build_object(
            'oid', f.oid::int8, 'shown', format('%I.%I(%s)', n.nspname, f.proname, pg_get_function_identity_arguments(f.oid)),
            'exposed', n.nspname = ANY ($1), 'definer', f.prosecdef, 'owner', f.proowner::int8,
            'fixed_path', EXISTS (SELECT FROM unnest(f.proconfig) c WHERE c LIKE 'search_path=%'),
            'writable_path', (SELECT n.nspname FROM unnest(f.proconfig) c, LATERAL regexp_split_to_table(substr(c, 13), '\s*,\s*') p
                JOIN pg_namespace n ON n.nspname = btrim(p, '" ') WHERE c LIKE 'search_path=%'
                  AND EXISTS (SELECT FROM api a WHERE has_schema_privilege(a.oid, n.oid, 'CREATE')) LIMIT 1),
            'trigger', f.prorettype IN ('trigger'::regtype, 'event_trigger'::regtype),
            -- The words of a statement, not `TG_OP = 'UPDATE'` or FOR UPDATE; what is put together and executed may be anything.
            'writes', regexp_replace(f.prosrc, '--[^\n]*|/\*.*?\*/', ' ', 'g')
                ~* '\m(insert\s+into|update\s+(only\s+)?[\w."]+\s+((as\s+)?\w+\s+)?set|delete\s+from|truncate(\s+table)?\s+[\w."]|merge\s+into|execute)\M',
            'asks_who', f.prosrc ~* '(auth\.(uid|jwt|role)\s*\(|request\.jwt|current_setting\s*\()',
            'callable_by', (SELECT coalesce(json_agg(a.rolname), '[]') FROM api a
                            WHERE has_function_privilege(a.oid, f.oid, 'EXECUTE') AND has_schema_privilege(a.oid, n.oid, 'USAGE')))
            ORDER BY n.nspname, f.proname), '[]')
        FROM pg_proc f JOIN pg_namespace n ON n.oid = f.pronamespace
        WHERE f.prosecdef AND n.nspname NOT IN ('pg_catalog', 'information_schema')
          AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = f.oid AND d.deptype = 'e')),
    'triggers', (SELECT coalesce(json_agg(json_build_object('relation', t.tgrelid::int8, 'name', t.tgname, 'function', t.tgfoid::int8)), '[]')
        FROM pg_trigger t JOIN relations r ON r.oid = t.tgrelid WHERE NOT t.tgisinternal AND t.tgparentid = 0),
    -- Rules other than those that views are made of.
    'rewrites', (SELECT coalesce(json_agg(json_build_object('relation', w.ev_class::int8, 'name', w.rulename, 'text', pg_get_ruledef(w.oid))), '[]')
        FROM pg_rewrite w JOIN relations r ON r.oid = w.ev_class WHERE w.rulename <> '_RETURN'),
    'writable', (SELECT coalesce(json_agg(json_build_object('schema', s.nspname,
            'by', (SELECT json_agg(a.rolname) FROM api a WHERE has_schema_privilege(a.oid, s.oid, 'CREATE')),
            'public', (SELECT EXISTS (SELECT FROM pg_namespace n, LATERAL aclexplode(n.nspacl) e WHERE n.oid = s.oid AND e.grantee = 0 AND e.privilege_type = 'CREATE')))), '[]')
        FROM schemas s WHERE $7 AND EXISTS (SELECT FROM api a WHERE has_schema_privilege(a.oid, s.oid, 'CREATE'))),
    -- What each view reads, through the views below it, and with whose rights: its owner's, or, of one with
    -- security_invoker, those of whoever asks, wherever that view stands. What nobody who asks may read leads nowhere.
    'reads', (WITH RECURSIVE steps AS (
            SELECT DISTINCT c.oid AS view, d.refobjid AS relation, CASE WHEN c.relkind = 'v'
                AND EXISTS (SELECT FROM unnest(c.reloptions) o WHERE o ~* '^security_invoker=(t(r(ue?)?)?|y(es?)?|on|1)$') THEN 0::oid ELSE c.relowner END AS by
            FROM pg_class c JOIN pg_rewrite w ON w.ev_class = c.oid
                JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = w.oid AND d.refclassid = 'pg_class'::regclass AND d.refobjid <> c.oid
            WHERE c.relkind IN ('v', 'm')),
        open_steps AS (SELECT s.* FROM steps s WHERE s.by <> 0 OR EXISTS (SELECT FROM api a WHERE has_any_column_privilege(a.oid, s.relation, 'SELECT'))),
        uses(view, relation, by) AS (
            SELECT s.view, s.relation, s.by FROM open_steps s JOIN relations r ON r.oid = s.view
            UNION
            SELECT u.view, s.relation, s.by FROM uses u JOIN open_steps s ON s.view = u.relation)
        SELECT coalesce(json_agg(json_build_object('view', u.view::int8, 'relation', u.relation::int8, 'shown', format('%I.%I', n.nspname, c.relname),
            'kind', c.relkind, 'rls', c.relrowsecurity, 'by', u.by::int8)), '[]')
        FROM uses u JOIN pg_class c ON c.oid = u.relation JOIN pg_namespace n ON n.oid = c.relnamespace),
    'publications', (SELECT coalesce(json_agg(json_build_object('name', p.pubname, 'relation', l.relid::int8)), '[]')
        FROM pg_publication p, LATERAL pg_get_publication_tables(p.pubname) l JOIN relations r ON r.oid = l.relid),
    'default_privileges', (SELECT coalesce(json_agg(DISTINCT jsonb_build_object(
            'by', pg_get_userbyid(d.defaclrole), 'schema', coalesce(n.nspname, '*'), 'kind', d.defaclobjtype,
            'to', CASE WHEN e.grantee = 0 THEN 'public' ELSE pg_get_userbyid(e.grantee) END)), '[]')
        FROM pg_default_acl d LEFT JOIN pg_namespace n ON n.oid = d.defaclnamespace, LATERAL aclexplode(d.defaclacl) e
        WHERE $7 AND d.defaclobjtype = 'r' AND (n.nspname = ANY ($1) OR n.oid IS NULL)
          AND (e.grantee = 0 OR e.grantee IN (SELECT oid FROM api))),
    'extensions', (SELECT coalesce(json_agg(json_build_object('name', e.extname, 'schema', n.nspname)), '[]')
        FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace JOIN schemas s ON s.oid = n.oid WHERE $7)
)::text
