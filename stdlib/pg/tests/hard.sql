-- A database with every hard thing that a backup must bring back.
CREATE SCHEMA "Ünï cödé ""schema""";
CREATE SCHEMA secret;
CREATE EXTENSION pg_trgm SCHEMA secret;
CREATE EXTENSION hstore;
CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy "quoted"');
CREATE DOMAIN positive AS int CHECK (VALUE > 0);
CREATE TYPE pair AS (a int, b text);
CREATE TYPE span AS RANGE (subtype = float8);
CREATE SEQUENCE lonely START 17 INCREMENT 3;
SELECT nextval('lonely'), nextval('lonely');

CREATE TABLE every_type (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    a smallint, b int, c bigint, d numeric(40, 20), e real, f float8, g money, h text, i varchar(10), j char(5), k bytea,
    l timestamp, m timestamptz, n date, o time, p timetz, q interval, r bool, s point, t polygon, u cidr, v inet, w macaddr,
    x bit(3), y varbit, z uuid, aa xml, bb json, cc jsonb, dd int[], ee text[][], ff mood, gg positive, hh pair, ii span,
    jj int4range, kk tstzrange, ll int4multirange, mm tsvector, nn tsquery, oo hstore, pp pg_lsn, qq "char", rr name,
    doubled int GENERATED ALWAYS AS (b * 2) STORED
);
INSERT INTO every_type (a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r, s, t, u, v, w, x, y, z, aa, bb, cc, dd, ee,
    ff, gg, hh, ii, jj, kk, ll, mm, nn, oo, pp, qq, rr)
VALUES (-32768, 1073741823, 9223372036854775807, 12345678901234567890.12345678901234567890, 'NaN', '-Infinity', '12.34',
    E'tab\t newline\n backslash\\ quote'' \\N \\. ü 漢字 🎉', 'x', 'y', '\x00ff5c0a', '294276-12-31', '4713-01-01 BC', 'infinity', '24:00',
    '12:00+14', '-1 year 2 days -03:04:05.678', true, '(1,2)', '((0,0),(1,1),(1,0))', '10.0.0.0/8', '::1/64', '08:00:2b:01:02:03',
    B'101', B'1', '00000000-0000-0000-0000-00000000000f', '<a>b</a>', '{"a": 1, "a": 2}', '{"b": [1, null, "\u00fc"]}', '{1,NULL,3}',
    '{{a,"b,c"},{"{","\\"}}', 'happy "quoted"', 1, '(1,"a,b")', '[1.5,2.5)', 'empty', '[2020-01-01,)', '{[1,3),[5,7)}', 'a:1 b:2', 'a & !b',
    'k=>v, n=>NULL', '16/B374D848', 'q', 'aname'), (1, -1, NULL, 'NaN', 0, -0.0, NULL, '', NULL, NULL, '', NULL, NULL, NULL, NULL, NULL, NULL, NULL,
    NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, '{}', '{}', NULL, NULL, NULL, NULL, NULL, NULL, '{}', '', NULL, '', NULL, NULL, NULL);
INSERT INTO every_type (b, h) SELECT g, repeat('x', g) FROM generate_series(1, 500) g;

-- More than is sent at once: many rows, and single ones.
CREATE TABLE many (n int, t text);
INSERT INTO many SELECT g, md5(g::text) || CASE WHEN g % 5000 = 0 THEN repeat(md5(g::text), 40 * (g / 1000) * (g / 1000)) END FROM generate_series(1, 30000) g;
INSERT INTO many SELECT g, md5(g::text) FROM generate_series(30001, 50000) g;

CREATE TABLE "Ünï cödé ""schema"""."Täble ""x"" 'y'" ("Cölumn "" %s" text);
INSERT INTO "Ünï cödé ""schema"""."Täble ""x"" 'y'" VALUES ('ß'), (E'\\.'), (NULL);
CREATE TABLE empty (id int);
CREATE TABLE no_columns ();
INSERT INTO no_columns SELECT FROM generate_series(1, 3);

CREATE TABLE parts (at date, value int) PARTITION BY RANGE (at);
CREATE TABLE parts_2025 PARTITION OF parts FOR VALUES FROM ('2025-01-01') TO ('2026-01-01') PARTITION BY LIST (value);
CREATE TABLE parts_2025_1 PARTITION OF parts_2025 FOR VALUES IN (1);
CREATE TABLE parts_rest PARTITION OF parts DEFAULT;
INSERT INTO parts VALUES ('2025-05-05', 1), ('2030-01-01', 2);
CREATE TABLE parent (id int, name text);
CREATE TABLE child (more text) INHERITS (parent);
INSERT INTO parent VALUES (1, 'p');
INSERT INTO child VALUES (2, 'c', 'm');
CREATE UNLOGGED TABLE fleeting (id int);
INSERT INTO fleeting VALUES (1);

CREATE TABLE tasks (id int PRIMARY KEY, owner uuid, note text, hidden text, parent int REFERENCES tasks DEFERRABLE INITIALLY DEFERRED);
INSERT INTO tasks VALUES (1, '00000000-0000-0000-0000-000000000001', 'one', 'h', NULL), (2, NULL, 'two', 'h', 1);
SET CONSTRAINTS ALL IMMEDIATE;
CREATE INDEX tasks_note ON tasks USING gin (note secret.gin_trgm_ops) WHERE note IS NOT NULL;
CREATE UNIQUE INDEX ON tasks (lower(note)) INCLUDE (owner);
CREATE STATISTICS tasks_stats ON owner, note FROM tasks;
ALTER TABLE tasks ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE tasks REPLICA IDENTITY FULL;
CREATE ROLE hard_reader NOLOGIN;
CREATE ROLE hard_app LOGIN PASSWORD 'hard' CONNECTION LIMIT 7 IN ROLE hard_reader;
ALTER ROLE hard_app SET statement_timeout TO '3s';
CREATE POLICY own ON tasks FOR SELECT TO hard_app USING (owner = '00000000-0000-0000-0000-000000000001');
CREATE POLICY narrow ON tasks AS RESTRICTIVE TO hard_reader USING (true) WITH CHECK (note <> 'x');
GRANT SELECT (id, note), UPDATE (note) ON tasks TO hard_reader;
GRANT SELECT ON every_type TO hard_app WITH GRANT OPTION;
REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA public FROM PUBLIC;
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO hard_reader;
ALTER DEFAULT PRIVILEGES GRANT USAGE ON SEQUENCES TO hard_app;
ALTER TABLE parent OWNER TO hard_reader;
COMMENT ON TABLE tasks IS 'it''s a "comment"';
COMMENT ON COLUMN tasks.note IS E'two\nlines';

CREATE VIEW seen WITH (security_invoker) AS SELECT id, note FROM tasks;
CREATE MATERIALIZED VIEW kept AS SELECT count(*) AS n FROM every_type;
CREATE MATERIALIZED VIEW unkept AS SELECT 1 AS x WITH NO DATA;
CREATE FUNCTION touched() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.note := NEW.note; RETURN NEW; END $$;
CREATE TRIGGER touch BEFORE UPDATE ON tasks FOR EACH ROW EXECUTE FUNCTION touched();
ALTER TABLE tasks DISABLE TRIGGER touch;
CREATE FUNCTION noticed() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN RAISE DEBUG 'ddl %', tg_tag; END $$;
CREATE EVENT TRIGGER notice ON ddl_command_end EXECUTE FUNCTION noticed();
CREATE PROCEDURE nothing() LANGUAGE sql BEGIN ATOMIC SELECT 1; END;
CREATE AGGREGATE summed (int) (SFUNC = int4pl, STYPE = int, INITCOND = '0');
CREATE OPERATOR === (LEFTARG = int, RIGHTARG = int, FUNCTION = int4eq);
CREATE COLLATION numeric_order (provider = icu, locale = 'en-u-kn-true');
CREATE TEXT SEARCH CONFIGURATION mine (COPY = simple);
CREATE FOREIGN DATA WRAPPER nowhere;
CREATE SERVER elsewhere FOREIGN DATA WRAPPER nowhere;
CREATE FOREIGN TABLE far (id int) SERVER elsewhere;
CREATE PUBLICATION some_rows FOR TABLE every_type, tasks (id, note) WHERE (id > 0);
CREATE RULE no_delete AS ON DELETE TO empty DO INSTEAD NOTHING;
SELECT lo_from_bytea(4711, decode(repeat('00ff0a5c', 20000), 'hex'));
SELECT lo_from_bytea(4712, '');
GRANT SELECT ON LARGE OBJECT 4711 TO hard_reader;

-- Names and words that tools trip over.
CREATE TABLE "line
break" ("select" int, "a.b" text, "%" int, "'" text DEFAULT 'it''s');
INSERT INTO "line
break" VALUES (1, E'one\rtwo\vthree', 100, 'x');
CREATE TABLE "a.b" ("user" name DEFAULT current_user);
INSERT INTO "a.b" DEFAULT VALUES;
CREATE TABLE sixty_three_bytes_is_the_longest_name_that_postgres_takes_as_it (id int);

-- Keys, counters, constraints of all sorts.
CREATE TABLE counted (
    id int GENERATED BY DEFAULT AS IDENTITY (START 1000 INCREMENT -7 MINVALUE -100000 MAXVALUE 2000 CYCLE) PRIMARY KEY,
    serial bigserial, code text UNIQUE NULLS NOT DISTINCT DEFERRABLE INITIALLY DEFERRED,
    during tstzrange, room int, EXCLUDE USING gist (int4range(room, room, '[]') WITH =, during WITH &&) WHERE (room IS NOT NULL)
);
INSERT INTO counted (code, during, room) VALUES ('a', '[2020-01-01,2020-01-02)', 1), (NULL, '[2020-01-02,2020-01-03)', 1);
ALTER TABLE counted ADD CONSTRAINT later CHECK (room < 0) NOT VALID;
ALTER TABLE counted ADD COLUMN filled text DEFAULT 'without a rewrite', DROP COLUMN serial;
ALTER TABLE counted ALTER COLUMN code SET STATISTICS 500, ALTER COLUMN code SET STORAGE EXTERNAL, ALTER COLUMN code SET COMPRESSION pglz;
ALTER TABLE counted SET (fillfactor = 70, autovacuum_enabled = off);
ALTER TABLE counted CLUSTER ON counted_pkey;
CREATE TABLE pointed (id int REFERENCES counted ON DELETE CASCADE ON UPDATE SET NULL, UNIQUE (id));

-- Types on types.
CREATE TYPE level AS ENUM ('low');
ALTER TYPE level ADD VALUE 'lower' BEFORE 'low';
CREATE DOMAIN levels AS level[] DEFAULT '{low}' NOT NULL CHECK (cardinality(VALUE) < 4);
CREATE DOMAIN word AS text COLLATE "C" CHECK (VALUE ~ '^\w+$');
CREATE TYPE nested AS (p pair, words word[], s span);
CREATE TABLE nests (n nested, many nested[], l levels, d secret.gtrgm);
INSERT INTO nests (n, many) VALUES (ROW(ROW(1, 'x'), '{a,b}', '[1,2]'), ARRAY[ROW(NULL, NULL, NULL)::nested]);
CREATE TABLE of_type OF pair (a WITH OPTIONS PRIMARY KEY);
INSERT INTO of_type VALUES (1, 'typed');

-- Types whose rows are sent in COPY's binary format, but for the dates before the first year.
CREATE TABLE eras (n int PRIMARY KEY, at date, m mood, p positive, w word, v varchar(9), c char(3), j json, "a (b), ""c" text);
INSERT INTO eras SELECT g, '0010-01-01 BC'::date + g * 30, (enum_range(NULL::mood))[1 + g % 3], g, 'w' || g, left(md5(g::text), g % 10),
    'x', format('{"a": %s, "a": "\\t"}', g)::json, E'\t' || g FROM generate_series(1, 20000) g;

-- Policies, rights.
CREATE TABLE tenants (tenant int, note text) PARTITION BY HASH (tenant);
CREATE TABLE tenants_0 PARTITION OF tenants FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE tenants_1 PARTITION OF tenants FOR VALUES WITH (MODULUS 2, REMAINDER 1);
INSERT INTO tenants SELECT g, 'note ' || g FROM generate_series(1, 20) g;
ALTER TABLE tenants ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY "of the ""tenant""" ON tenants USING (tenant = nullif(current_setting('request.tenant', true), '')::int);
COMMENT ON POLICY "of the ""tenant""" ON tenants IS 'policy';
CREATE SEQUENCE granted OWNED BY counted.room;
GRANT USAGE ON SEQUENCE granted TO hard_reader;
GRANT USAGE ON SCHEMA secret TO hard_reader;
GRANT USAGE ON TYPE mood TO hard_reader;
REVOKE ALL ON TYPE level FROM PUBLIC;
GRANT EXECUTE ON FUNCTION touched() TO hard_app WITH GRANT OPTION;
GRANT TRIGGER, REFERENCES, TRUNCATE ON parts TO hard_reader;
ALTER DEFAULT PRIVILEGES FOR ROLE hard_reader IN SCHEMA secret GRANT INSERT ON TABLES TO hard_app;
ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;
ALTER SCHEMA secret OWNER TO hard_reader;

-- Code.
CREATE FUNCTION twice(int) RETURNS int LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE COST 7 AS 'SELECT $1 * 2';
CREATE FUNCTION twice(text, VARIADIC more text[] DEFAULT '{}') RETURNS SETOF text LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' SET work_mem = '5MB' ROWS 3
    AS $body$ BEGIN RETURN QUERY SELECT $1 || $$ and $$ || 'again'; END $body$;
CREATE FUNCTION half(OUT a int, INOUT b text, c int DEFAULT 1) LANGUAGE sql BEGIN ATOMIC SELECT 1, 'b'::text; END;
CREATE FUNCTION as_int(level) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT length($1::text)';
CREATE CAST (level AS int) WITH FUNCTION as_int(level) AS ASSIGNMENT;
CREATE INDEX ON counted (twice(id)) WITH (fillfactor = 50);
CREATE INDEX ON counted USING brin (id);
CREATE INDEX ON tenants (lower(note) text_pattern_ops DESC NULLS LAST);
CREATE OPERATOR FAMILY by_length USING btree;
CREATE OPERATOR CLASS by_length FOR TYPE int USING btree FAMILY by_length AS OPERATOR 1 <, OPERATOR 2 <=, OPERATOR 3 =, OPERATOR 4 >=, OPERATOR 5 >, FUNCTION 1 btint4cmp(int, int);
CREATE VIEW checked WITH (security_barrier, check_option = cascaded) AS SELECT * FROM tasks WHERE id > 0;
CREATE RECURSIVE VIEW downwards (n) AS SELECT 1 UNION ALL SELECT n + 1 FROM downwards WHERE n < 5;
CREATE MATERIALIZED VIEW kept_again AS SELECT n * 2 AS n FROM kept;
CREATE UNIQUE INDEX ON kept_again (n);
CREATE CONSTRAINT TRIGGER deferred_touch AFTER INSERT OR UPDATE OF note ON tasks DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (NEW.id > 0) EXECUTE FUNCTION touched();
CREATE TRIGGER seen_rows AFTER DELETE ON tasks REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION touched();
ALTER TABLE tasks ENABLE ALWAYS TRIGGER seen_rows;
ALTER EVENT TRIGGER notice ENABLE REPLICA;
CREATE EVENT TRIGGER on_table ON sql_drop WHEN TAG IN ('DROP TABLE') EXECUTE FUNCTION noticed();
CREATE TEXT SEARCH DICTIONARY short (TEMPLATE = simple, STOPWORDS = english);
ALTER TEXT SEARCH CONFIGURATION mine ALTER MAPPING FOR asciiword WITH short, simple;
CREATE CONVERSION converted FOR 'LATIN1' TO 'UTF8' FROM iso8859_1_to_utf8;

-- Sending, foreign things, what extensions own.
CREATE PUBLICATION everything FOR ALL TABLES WITH (publish = 'insert');
CREATE PUBLICATION of_a_schema FOR TABLES IN SCHEMA secret WITH (publish_via_partition_root);
COMMENT ON PUBLICATION everything IS 'published';
CREATE EXTENSION postgres_fdw;
CREATE EXTENSION citext SCHEMA secret;
CREATE EXTENSION "uuid-ossp" SCHEMA "Ünï cödé ""schema""";
CREATE SERVER other FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host 'nowhere.invalid', dbname 'x');
CREATE USER MAPPING FOR hard_app SERVER other OPTIONS (user 'u', password 'of the mapping');
CREATE TABLE loud (name secret.citext PRIMARY KEY);
INSERT INTO loud VALUES ('Ärger');
CREATE SUBSCRIPTION from_elsewhere CONNECTION 'host=nowhere.invalid' PUBLICATION p WITH (connect = false, slot_name = NONE);
COMMENT ON LARGE OBJECT 4711 IS 'large';
ALTER LARGE OBJECT 4712 OWNER TO hard_reader;
COMMENT ON SCHEMA secret IS 'schema';
COMMENT ON INDEX tasks_note IS 'index';
COMMENT ON CONSTRAINT later ON counted IS 'constraint';
COMMENT ON FUNCTION twice(int) IS 'function';
COMMENT ON EXTENSION hstore IS 'another comment';
COMMENT ON TYPE mood IS 'type';
SELECT setval('granted', 41, false), nextval('counted_id_seq');
