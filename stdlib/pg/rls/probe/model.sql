-- The tables to be probed and how rows of them are made, as one JSON value. $1 exposed schemas, $2 more tables that rows may need.
WITH asked AS (
    SELECT DISTINCT d.refobjid AS oid FROM pg_policy p JOIN pg_depend d ON d.classid = 'pg_policy'::regclass AND d.objid = p.oid
        AND d.refclassid = 'pg_class'::regclass AND d.refobjid <> p.polrelid
),
askers AS (
    SELECT DISTINCT f.oid, f.prosrc FROM pg_policy p JOIN pg_depend d ON d.classid = 'pg_policy'::regclass AND d.objid = p.oid AND d.refclassid = 'pg_proc'::regclass
        JOIN pg_proc f ON f.oid = d.refobjid JOIN pg_namespace n ON n.oid = f.pronamespace WHERE n.nspname NOT IN ('pg_catalog', 'auth')
)
SELECT json_build_object(
    'bypass', (SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user),
    'tables', (SELECT coalesce(json_agg(json_build_object(
        'oid', c.oid::int8, 'schema', n.nspname, 'name', c.relname, 'shown', format('%I.%I', n.nspname, c.relname),
        'exposed', n.nspname = ANY ($1), 'rls', c.relrowsecurity, 'partition', c.relispartition, 'kind', c.relkind,
        -- Policies of others ask it, or a function that they call does, as far as its text says.
        'asked', EXISTS (SELECT FROM asked a WHERE a.oid = c.oid) OR EXISTS (SELECT FROM askers f WHERE f.prosrc ~* ('\m' || regexp_replace(c.relname, '\W', '.', 'g') || '\M')),
        -- Where nobody has counted yet, by how large it is: a row has a hundred bytes, or more.
        'rows', CASE WHEN c.relkind = 'p' THEN (SELECT coalesce(sum(CASE WHEN l.reltuples >= 0 THEN l.reltuples ELSE pg_relation_size(l.oid) / 100 END), 0)
                    FROM pg_partition_tree(c.oid) t JOIN pg_class l ON l.oid = t.relid WHERE t.isleaf)
                WHEN c.reltuples >= 0 THEN c.reltuples ELSE pg_relation_size(c.oid) / 100 END,
        -- What a row must have to find a place: the columns of the partition key, and where the first partition begins.
        'partitioned_by', (SELECT coalesce(to_json(p.partattrs::int2[]), '[]') FROM pg_partitioned_table p WHERE p.partrelid = c.oid),
        'bound', (SELECT pg_get_expr(l.relpartbound, l.oid) FROM pg_inherits h JOIN pg_class l ON l.oid = h.inhrelid
                  WHERE h.inhparent = c.oid AND c.relkind = 'p' ORDER BY pg_get_expr(l.relpartbound, l.oid) = 'DEFAULT', l.oid LIMIT 1),
        'grants', (SELECT coalesce(json_object_agg(r.rolname, (
                SELECT array_to_string(ARRAY(SELECT k FROM unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) k
                    WHERE has_schema_privilege(r.oid, n.oid, 'USAGE') AND (has_table_privilege(r.oid, c.oid, k)
                       OR (k <> 'DELETE' AND has_any_column_privilege(r.oid, c.oid, k)))), ','))), '{}')
            FROM pg_roles r WHERE r.rolname IN ('anon', 'authenticated', 'service_role')),
        'columns', (SELECT coalesce(json_agg(json_build_object(
                'number', a.attnum, 'name', a.attname, 'quoted', quote_ident(a.attname), 'type', format_type(a.atttypid, a.atttypmod),
                'base', (WITH RECURSIVE d(oid, base, kind, category) AS (
                            SELECT t.oid, t.typbasetype, t.typtype, t.typcategory FROM pg_type t WHERE t.oid = a.atttypid
                            UNION ALL SELECT t.oid, t.typbasetype, t.typtype, t.typcategory FROM d JOIN pg_type t ON t.oid = d.base WHERE d.kind = 'd')
                         SELECT json_build_object('name', format_type(oid, NULL), 'kind', kind, 'category', category,
                            'label', (SELECT enumlabel FROM pg_enum e WHERE e.enumtypid = d.oid ORDER BY enumsortorder LIMIT 1)) FROM d WHERE kind <> 'd' LIMIT 1),
                'required', a.attnotnull AND NOT a.atthasdef AND a.attidentity = '' AND a.attgenerated = '',
                'generated', a.attgenerated <> '' OR a.attidentity = 'a',
                'readable', (SELECT coalesce(json_agg(r.rolname), '[]') FROM pg_roles r WHERE r.rolname IN ('anon', 'authenticated', 'service_role') AND has_column_privilege(r.oid, c.oid, a.attnum, 'SELECT')),
                'insertable', (SELECT coalesce(json_agg(r.rolname), '[]') FROM pg_roles r WHERE r.rolname IN ('anon', 'authenticated', 'service_role') AND has_column_privilege(r.oid, c.oid, a.attnum, 'INSERT')),
                'updatable', (SELECT coalesce(json_agg(r.rolname), '[]') FROM pg_roles r WHERE r.rolname IN ('anon', 'authenticated', 'service_role') AND has_column_privilege(r.oid, c.oid, a.attnum, 'UPDATE')),
                'has_default', a.atthasdef OR a.attidentity <> '',
                'limit', CASE WHEN a.atttypmod > 4 AND a.atttypid IN ('varchar'::regtype, 'bpchar'::regtype) THEN a.atttypmod - 4 END) ORDER BY a.attnum), '[]')
            FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped),
        'key', (SELECT to_json(k.conkey) FROM pg_constraint k WHERE k.conrelid = c.oid AND k.contype = 'p'),
        'unique', (SELECT coalesce(json_agg(CASE WHEN i.indexprs IS NULL THEN to_json(ARRAY(SELECT k FROM unnest(i.indkey::int2[]) WITH ORDINALITY u(k, n) WHERE n <= i.indnkeyatts))
                   -- Over an expression, `lower(email)`: the columns that are in it.
                   ELSE (SELECT coalesce(json_agg(DISTINCT d.refobjsubid), '[]') FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = i.indexrelid
                         AND d.refclassid = 'pg_class'::regclass AND d.refobjid = c.oid AND d.refobjsubid > 0) END), '[]')
                   FROM pg_index i WHERE i.indrelid = c.oid AND i.indisunique AND NOT i.indisprimary),
        'foreign', (SELECT coalesce(json_agg(json_build_object('name', k.conname, 'columns', to_json(k.conkey), 'target', k.confrelid::int8,
                    'target_columns', to_json(k.confkey))), '[]') FROM pg_constraint k WHERE k.conrelid = c.oid AND k.contype = 'f' AND k.conparentid = 0),
        'policies', (SELECT coalesce(json_agg(json_build_object('name', p.polname, 'quoted', quote_ident(p.polname), 'command', p.polcmd, 'permissive', p.polpermissive,
                'using', pg_get_expr(p.polqual, p.polrelid), 'check', pg_get_expr(p.polwithcheck, p.polrelid),
                'roles', (SELECT json_agg(CASE WHEN o = 0 THEN 'public' ELSE pg_get_userbyid(o) END) FROM unnest(p.polroles) o),
                'columns', (SELECT coalesce(json_agg(DISTINCT d.refobjsubid), '[]') FROM pg_depend d WHERE d.classid = 'pg_policy'::regclass
                            AND d.objid = p.oid AND d.refclassid = 'pg_class'::regclass AND d.refobjid = c.oid AND d.refobjsubid > 0)) ORDER BY p.polname), '[]')
            FROM pg_policy p WHERE p.polrelid = c.oid)) ORDER BY n.nspname, c.relname), '[]')
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE c.relkind IN ('r', 'p') AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast') AND n.nspname !~ '^pg_temp'
          AND (n.nspname = ANY ($1) OR c.oid IN (SELECT confrelid FROM pg_constraint WHERE contype = 'f')
               OR c.oid IN (SELECT conrelid FROM pg_constraint k JOIN pg_class t ON t.oid = k.confrelid JOIN pg_namespace tn ON tn.oid = t.relnamespace
                            WHERE contype = 'f' AND tn.nspname = ANY ($1))
               OR (n.nspname = 'auth' AND c.relname = 'users'))
          AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')),
    'views', (SELECT coalesce(json_agg(json_build_object('shown', format('%I.%I', n.nspname, c.relname),
            'copies', (WITH RECURSIVE below(oid, kind) AS (
                    SELECT c.oid, c.relkind UNION SELECT d.refobjid, l.relkind FROM below b JOIN pg_rewrite w ON w.ev_class = b.oid JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass
                      AND d.objid = w.oid AND d.refclassid = 'pg_class'::regclass AND d.refobjid <> b.oid JOIN pg_class l ON l.oid = d.refobjid)
                SELECT bool_or(b.kind = 'm') FROM below b),
            'columns', (SELECT json_agg(a.attname) FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0),
            'grants', (SELECT coalesce(json_object_agg(r.rolname, (
                SELECT array_to_string(ARRAY(SELECT k FROM unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) k
                    WHERE has_schema_privilege(r.oid, n.oid, 'USAGE') AND (has_table_privilege(r.oid, c.oid, k)
                       OR (k <> 'DELETE' AND has_any_column_privilege(r.oid, c.oid, k)))), ','))), '{}')
                FROM pg_roles r WHERE r.rolname IN ('anon', 'authenticated', 'service_role')),
            'writable', pg_relation_is_updatable(c.oid, false) <> 0,
            -- Through the views below it as well.
            'reads', (WITH RECURSIVE below(oid) AS (
                    SELECT c.oid UNION SELECT d.refobjid FROM below b JOIN pg_rewrite w ON w.ev_class = b.oid JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass
                      AND d.objid = w.oid AND d.refclassid = 'pg_class'::regclass AND d.refobjid <> b.oid)
                SELECT coalesce(json_agg(b.oid::int8), '[]') FROM below b WHERE b.oid <> c.oid))), '[]')
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN ('v', 'm') AND n.nspname = ANY ($1)
          AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')),
    'functions', (SELECT coalesce(json_agg(json_build_object('shown', format('%I.%I', n.nspname, f.proname),
            'schema', n.nspname, 'volatile', f.provolatile = 'v',
            'names', (SELECT coalesce(json_agg(coalesce(f.proargnames[a.n], '') ORDER BY a.n), '[]') FROM generate_series(1, cardinality(coalesce(f.proallargtypes, f.proargtypes::oid[]))) a(n)
                      WHERE f.proargmodes IS NULL OR f.proargmodes[a.n] IN ('i', 'b', 'v')),
            'callable', (SELECT EXISTS (SELECT FROM pg_roles r WHERE r.rolname IN ('anon', 'authenticated')
                      AND has_schema_privilege(r.oid, n.oid, 'USAGE') AND has_function_privilege(r.oid, f.oid, 'EXECUTE'))),
            'arguments', (SELECT coalesce(json_agg(format_type(t, NULL)), '[]') FROM unnest(f.proargtypes::oid[]) t),
            'defaults', f.pronargdefaults)), '[]')
        FROM pg_proc f JOIN pg_namespace n ON n.oid = f.pronamespace
        WHERE n.nspname = ANY ($1) AND f.prokind = 'f' AND f.prorettype NOT IN ('trigger'::regtype, 'event_trigger'::regtype)
          AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = f.oid AND d.deptype = 'e'))
)::text
