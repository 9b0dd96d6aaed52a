-- What a backup notes of the server and the database, as one JSON document.
SELECT json_build_object(
    'server', json_build_object(
        'version', current_setting('server_version'),
        'version_num', current_setting('server_version_num')::int,
        'system_identifier', (SELECT system_identifier::text FROM pg_control_system()),
        'timeline', (SELECT timeline_id FROM pg_control_checkpoint()),
        'in_recovery', pg_is_in_recovery()),
    'database', (
        SELECT json_build_object(
            'name', datname,
            'owner', pg_get_userbyid(datdba),
            'encoding', pg_encoding_to_char(encoding),
            'collate', datcollate,
            'ctype', datctype,
            'provider', coalesce(to_jsonb(d) ->> 'datlocprovider', 'c'),
            'icu_locale', coalesce(to_jsonb(d) ->> 'daticulocale', to_jsonb(d) ->> 'datlocale'),
            'connection_limit', datconnlimit,
            'acl', datacl::text[],
            'comment', shobj_description(d.oid, 'pg_database'),
            'size', pg_database_size(d.oid),
            'settings', coalesce((
                SELECT json_agg(json_build_object('role', CASE WHEN setrole = 0 THEN NULL ELSE pg_get_userbyid(setrole) END,
                                                  'settings', setconfig) ORDER BY setrole)
                FROM pg_db_role_setting WHERE setdatabase = d.oid), '[]'))
        FROM pg_database d WHERE datname = current_database()),
    'extensions', coalesce((
        SELECT json_agg(json_build_object('name', extname, 'version', extversion, 'schema', extnamespace::regnamespace::text) ORDER BY extname)
        FROM pg_extension), '[]'),
    'roles', coalesce((
        SELECT json_agg(rolname ORDER BY rolname) FROM pg_roles WHERE rolname !~ '^pg_'), '[]'),
    'settings', coalesce((
        SELECT json_object_agg(name, setting ORDER BY name) FROM pg_settings
        WHERE source NOT IN ('default', 'override', 'client', 'session', 'environment variable')), '{}'),
    'superuser', (SELECT rolsuper FROM pg_roles WHERE rolname = current_user),
    'lsn', CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_insert_lsn() END::text
)::text
