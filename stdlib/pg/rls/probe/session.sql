-- Tries statements as users of the API, each in a subtransaction that is taken back, and says what came of them.
-- A probe: role, claims (text), sql, and truth: a query that a role past all policies answers before and after.
CREATE FUNCTION pg_temp.ccrun_probe(probes jsonb) RETURNS jsonb LANGUAGE plpgsql AS $body$
DECLARE
    probe jsonb;
    results jsonb[] := '{}';
    touched bigint;
    before text;
    after text;
    code text;
    said text;
BEGIN
    FOR probe IN SELECT * FROM jsonb_array_elements(probes) LOOP
        touched := NULL; before := NULL; after := NULL; code := NULL; said := NULL;
        IF probe ? 'truth' THEN
            EXECUTE probe ->> 'truth' INTO before;
        END IF;
        BEGIN
            PERFORM set_config('request.jwt.claims', probe ->> 'claims', true),
                    set_config('request.jwt.claim.sub', '', true),
                    set_config('request.jwt.claim.role', '', true),
                    set_config('request.jwt.claim.email', '', true),
                    set_config('search_path', 'public', true),
                    set_config('statement_timeout', '10s', true);
            PERFORM set_config('role', probe ->> 'role', true);
            IF current_user <> probe ->> 'role' THEN
                RAISE EXCEPTION 'the session is %, not %', current_user, probe ->> 'role';
            END IF;
            EXECUTE probe ->> 'sql';
            GET DIAGNOSTICS touched = ROW_COUNT;
            PERFORM set_config('role', 'none', true);
            IF probe ? 'truth' THEN
                EXECUTE probe ->> 'truth' INTO after;
            END IF;
            RAISE EXCEPTION USING ERRCODE = 'CC000';
        EXCEPTION
            WHEN SQLSTATE 'CC000' THEN NULL;
            WHEN OTHERS THEN code := SQLSTATE; said := SQLERRM;
        END;
        results := results || jsonb_build_object(
            'rows', touched, 'code', code, 'said', said,
            'changed', code IS NULL AND probe ? 'truth' AND before IS DISTINCT FROM after);
    END LOOP;
    RETURN to_jsonb(results);
END
$body$;
