-- What the requests of all these probes have in common, set once: taking a probe back brings it back, too.
CREATE FUNCTION pg_temp.ccrun_prepare(probes jsonb) RETURNS void LANGUAGE plpgsql AS $body$
BEGIN
    PERFORM set_config('request.method', 'GET', true), set_config('request.path', '/', true),
            set_config('request.headers', '{}', true), set_config('request.cookies', '{}', true);
    -- The older settings, one for each claim, would be asked first.
    PERFORM set_config('request.jwt.claim.' || k, '', true)
        FROM (SELECT jsonb_object_keys(claims::jsonb) FROM (SELECT DISTINCT probe ->> 'claims' FROM jsonb_array_elements(probes) p(probe)) c(claims)
            UNION VALUES ('sub'), ('role'), ('email')) u(k) WHERE k ~ '^[a-z_][a-z0-9_]*$';
END
$body$;

-- Becomes a user of the API, as PostgREST does it for a request. Setting a path that is set already still costs looking it up.
CREATE FUNCTION pg_temp.ccrun_become(probe jsonb) RETURNS void LANGUAGE plpgsql AS $body$
BEGIN
    IF current_setting('search_path') <> probe ->> 'path' THEN
        PERFORM set_config('search_path', probe ->> 'path', true);
    END IF;
    PERFORM set_config('request.jwt.claims', probe ->> 'claims', true), set_config('role', probe ->> 'role', true);
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
    truth text;
    before text;
    after text;
    code text;
    said text;
    refused_by text;
    refused_in_schema text;
    refused_in text;
    refused_column text;
BEGIN
    PERFORM pg_temp.ccrun_prepare(probes);
    FOR probe IN SELECT * FROM jsonb_array_elements(probes) LOOP
        touched := NULL; after := NULL; code := NULL; said := NULL; refused_by := NULL;
        -- Each probe is taken back, so the same question has the same answer before each of them.
        IF truth IS DISTINCT FROM probe ->> 'truth' THEN
            truth := probe ->> 'truth';
            before := NULL;
            IF truth IS NOT NULL THEN
                EXECUTE truth INTO before;
            END IF;
        END IF;
        BEGIN
            PERFORM pg_temp.ccrun_become(probe);
            EXECUTE probe ->> 'sql';
            GET DIAGNOSTICS touched = ROW_COUNT;
            PERFORM set_config('role', 'none', true);
            IF truth IS NOT NULL THEN
                EXECUTE truth INTO after;
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
            'changed', code IS NULL AND truth IS NOT NULL AND before IS DISTINCT FROM after);
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
    truth text;
    before text;
    after text;
    code text;
    said text;
    told text;
    at int;
    removed boolean := false;
BEGIN
    PERFORM pg_temp.ccrun_prepare(probes);
    FOR probe IN SELECT * FROM jsonb_array_elements(probes) LOOP
        first := NULL; after := NULL; code := NULL; said := NULL; told := NULL;
        -- Each probe is taken back, so the same question has the same answer before each of them.
        IF truth IS DISTINCT FROM probe ->> 'truth' THEN
            truth := probe ->> 'truth';
            before := NULL;
            IF truth IS NOT NULL THEN
                EXECUTE truth INTO before;
            END IF;
        END IF;
        BEGIN
            PERFORM pg_temp.ccrun_become(probe);
            EXECUTE probe ->> 'sql' INTO first;
            IF truth IS NOT NULL THEN
                PERFORM set_config('role', 'none', true);
                EXECUTE truth INTO after;
            END IF;
            RAISE EXCEPTION USING ERRCODE = 'CC000';
        EXCEPTION
            WHEN SQLSTATE 'CC000' THEN NULL;
            WHEN OTHERS THEN code := SQLSTATE; said := SQLERRM;
        END;
        IF code IS NULL THEN
            SELECT needle INTO told FROM jsonb_array_elements_text(coalesce(probe -> 'needles', '[]')) needle
                WHERE strpos(first, needle) > 0 LIMIT 1;
        END IF;
        answers := array_append(answers, first);
        results := results || jsonb_build_object(
            'rows', NULL, 'code', code, 'said', said, 'told', told, 'steady', code IS NULL,
            'changed', code IS NULL AND truth IS NOT NULL AND before IS DISTINCT FROM after);
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
            IF results[at] ->> 'code' IS NULL THEN
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
    -- What is another answer each time, such as the hour, tells of nothing.
    at := 0;
    FOR probe IN SELECT * FROM jsonb_array_elements(probes) LOOP
        at := at + 1;
        IF removed AND results[at] ->> 'code' IS NULL AND answers[at] IS DISTINCT FROM gone[at] THEN
            again := NULL;
            BEGIN
                PERFORM pg_temp.ccrun_become(probe);
                EXECUTE probe ->> 'sql' INTO again;
                RAISE EXCEPTION USING ERRCODE = 'CC000';
            EXCEPTION
                WHEN OTHERS THEN NULL;
            END;
            results[at] := jsonb_set(results[at], '{steady}', to_jsonb(answers[at] IS NOT DISTINCT FROM again));
        END IF;
    END LOOP;
    RETURN (SELECT coalesce(jsonb_agg(results[n] || jsonb_build_object(
            'differs', CASE WHEN removed AND (results[n] -> 'steady')::boolean THEN answers[n] IS DISTINCT FROM gone[n] END) ORDER BY n), '[]')
        FROM generate_series(1, cardinality(results)) n);
END
$body$;
