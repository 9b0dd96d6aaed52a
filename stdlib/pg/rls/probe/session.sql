-- Becomes a user of the API, as PostgREST does it for a request.
CREATE FUNCTION pg_temp.ccrun_become(probe jsonb) RETURNS void LANGUAGE plpgsql AS $body$
BEGIN
    PERFORM set_config('request.jwt.claims', probe ->> 'claims', true),
            set_config('request.method', 'GET', true), set_config('request.path', '/', true),
            set_config('request.headers', '{}', true), set_config('request.cookies', '{}', true),
            set_config('search_path', probe ->> 'path', true),
            set_config('statement_timeout', '10s', true);
    -- The older settings, one for each claim, would be asked first.
    PERFORM set_config('request.jwt.claim.' || k, '', true)
        FROM (SELECT jsonb_object_keys((probe ->> 'claims')::jsonb) UNION VALUES ('sub'), ('role'), ('email')) u(k) WHERE k ~ '^[a-z_][a-z0-9_]*$';
    PERFORM set_config('role', probe ->> 'role', true);
    IF current_user <> probe ->> 'role' THEN
        RAISE EXCEPTION 'the session is %, not %', current_user, probe ->> 'role';
    END IF;
END
$body$;

-- Tries statements as users of the API, each in a subtransaction that is taken back, and says what came of them.
-- A probe: role, claims (text), path, sql, and truth: a query that a role past all policies answers before and after.
CREATE FUNCTION pg_temp.ccrun_probe(probes jsonb) RETURNS jsonb LANGUAGE plpgsql AS $body$
DECLARE
    probe jsonb;
    results jsonb[] := '{}';
    touched bigint;
    before text;
    after text;
    code text;
    said text;
    refused_by text;
    refused_in_schema text;
    refused_in text;
    refused_column text;
BEGIN
    FOR probe IN SELECT * FROM jsonb_array_elements(probes) LOOP
        touched := NULL; before := NULL; after := NULL; code := NULL; said := NULL; refused_by := NULL;
        IF probe ? 'truth' THEN
            EXECUTE probe ->> 'truth' INTO before;
        END IF;
        BEGIN
            PERFORM pg_temp.ccrun_become(probe);
            EXECUTE probe ->> 'sql';
            GET DIAGNOSTICS touched = ROW_COUNT;
            PERFORM set_config('role', 'none', true);
            IF probe ? 'truth' THEN
                EXECUTE probe ->> 'truth' INTO after;
            END IF;
            RAISE EXCEPTION USING ERRCODE = 'CC000';
        EXCEPTION
            WHEN SQLSTATE 'CC000' THEN NULL;
            WHEN integrity_constraint_violation THEN
                code := SQLSTATE; said := SQLERRM;
                -- The constraint, or the column that takes no NULL; a trigger may have been refused by another table's.
                GET STACKED DIAGNOSTICS refused_in_schema = SCHEMA_NAME, refused_in = TABLE_NAME, refused_by = CONSTRAINT_NAME, refused_column = COLUMN_NAME;
                refused_by := concat_ws('.', refused_in_schema, refused_in, coalesce(nullif(refused_by, ''), refused_column));
            WHEN OTHERS THEN code := SQLSTATE; said := SQLERRM;
        END;
        results := results || jsonb_build_object(
            'rows', touched, 'code', code, 'said', said, 'refused_by', refused_by,
            'changed', code IS NULL AND probe ? 'truth' AND before IS DISTINCT FROM after);
    END LOOP;
    RETURN to_jsonb(results);
END
$body$;

-- Asks the same with somebody's rows there and with them gone: whatever comes out differently tells of them, also where no
-- key can be asked for (counts, views without keys, columns that are granted alone, functions).
-- A probe: role, claims, path, sql (answers one text), truth as above, and needles: words that only those rows have.
CREATE FUNCTION pg_temp.ccrun_observe(probes jsonb, without text) RETURNS jsonb LANGUAGE plpgsql AS $body$
DECLARE
    probe jsonb;
    results jsonb[] := '{}';
    answers text[] := '{}';
    gone text[] := '{}';
    first text;
    again text;
    before text;
    after text;
    code text;
    said text;
    told text;
    at int;
    removed boolean := false;
    steady boolean;
BEGIN
    FOR probe IN SELECT * FROM jsonb_array_elements(probes) LOOP
        first := NULL; again := NULL; before := NULL; after := NULL; code := NULL; said := NULL; told := NULL; steady := false;
        IF probe ? 'truth' THEN
            EXECUTE probe ->> 'truth' INTO before;
        END IF;
        BEGIN
            PERFORM pg_temp.ccrun_become(probe);
            EXECUTE probe ->> 'sql' INTO first;
            IF probe ? 'truth' THEN
                PERFORM set_config('role', 'none', true);
                EXECUTE probe ->> 'truth' INTO after;
            END IF;
            RAISE EXCEPTION USING ERRCODE = 'CC000';
        EXCEPTION
            WHEN SQLSTATE 'CC000' THEN NULL;
            WHEN OTHERS THEN code := SQLSTATE; said := SQLERRM;
        END;
        -- What is another answer each time, such as the hour, tells of nothing.
        IF code IS NULL THEN
            BEGIN
                PERFORM pg_temp.ccrun_become(probe);
                EXECUTE probe ->> 'sql' INTO again;
                RAISE EXCEPTION USING ERRCODE = 'CC000';
            EXCEPTION
                WHEN OTHERS THEN NULL;
            END;
            steady := first IS NOT DISTINCT FROM again;
            SELECT needle INTO told FROM jsonb_array_elements_text(coalesce(probe -> 'needles', '[]')) needle
                WHERE strpos(first, needle) > 0 LIMIT 1;
        END IF;
        answers := array_append(answers, first);
        results := results || jsonb_build_object(
            'rows', NULL, 'code', code, 'said', said, 'told', told, 'steady', steady,
            'changed', code IS NULL AND probe ? 'truth' AND before IS DISTINCT FROM after);
    END LOOP;
    BEGIN
        -- Triggers and foreign keys are not what is looked at here, and must not be in the way.
        IF (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) THEN
            PERFORM set_config('session_replication_role', 'replica', true);
        END IF;
        EXECUTE without;
        PERFORM set_config('session_replication_role', 'origin', true) WHERE current_setting('session_replication_role') = 'replica';
        removed := true;
        at := 0;
        FOR probe IN SELECT * FROM jsonb_array_elements(probes) LOOP
            at := at + 1;
            again := NULL;
            IF results[at] ->> 'code' IS NULL AND (results[at] -> 'steady')::boolean THEN
                BEGIN
                    PERFORM pg_temp.ccrun_become(probe);
                    EXECUTE probe ->> 'sql' INTO again;
                    RAISE EXCEPTION USING ERRCODE = 'CC000';
                EXCEPTION
                    WHEN SQLSTATE 'CC000' THEN NULL;
                    -- That it fails now is another answer, too.
                    WHEN OTHERS THEN again := SQLSTATE;
                END;
            END IF;
            gone := array_append(gone, again);
        END LOOP;
        RAISE EXCEPTION USING ERRCODE = 'CC000';
    EXCEPTION
        WHEN SQLSTATE 'CC000' THEN NULL;
        WHEN OTHERS THEN said := SQLERRM; removed := false;
    END;
    RETURN (SELECT coalesce(jsonb_agg(results[n] || jsonb_build_object(
            'differs', CASE WHEN removed AND (results[n] -> 'steady')::boolean THEN answers[n] IS DISTINCT FROM gone[n] END) ORDER BY n), '[]')
        FROM generate_series(1, cardinality(results)) n);
END
$body$;
