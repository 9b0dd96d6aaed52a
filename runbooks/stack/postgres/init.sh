#!/bin/sh
# Roles and schemas of a new database; runs once, when the volume is empty.
#
# Nobody who serves requests is a superuser or may bypass row-level security, and nobody owns tables but
# `owner`, as whom migrations run.
set -eu

psql --no-psqlrc --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" \
    --set database="$POSTGRES_DB" \
    --set owner_password="$OWNER_PASSWORD" \
    --set authenticator_password="$AUTHENTICATOR_PASSWORD" \
    --set auth_password="$AUTH_ADMIN_PASSWORD" \
    --set realtime_password="$REALTIME_PASSWORD" \
    --set exporter_password="$EXPORTER_PASSWORD" <<'SQL'
-- Whose requests are served.
CREATE ROLE anon NOLOGIN NOINHERIT;
CREATE ROLE authenticated NOLOGIN NOINHERIT;
CREATE ROLE service_role NOLOGIN NOINHERIT BYPASSRLS;

-- PostgREST connects as this one, which may do nothing but become one of the above.
CREATE ROLE authenticator LOGIN NOINHERIT PASSWORD :'authenticator_password';
GRANT anon, authenticated, service_role TO authenticator;
-- PostgREST takes over the settings of the role that a request becomes, so the log says which one it was.
ALTER ROLE anon SET application_name = 'anon';
ALTER ROLE authenticated SET application_name = 'authenticated';
ALTER ROLE service_role SET application_name = 'service_role';

CREATE ROLE owner LOGIN PASSWORD :'owner_password';
CREATE ROLE supabase_auth_admin LOGIN NOINHERIT CREATEROLE PASSWORD :'auth_password';
CREATE ROLE supabase_realtime_admin LOGIN REPLICATION PASSWORD :'realtime_password';
CREATE ROLE exporter LOGIN PASSWORD :'exporter_password';
GRANT pg_monitor TO exporter;

ALTER DATABASE :"database" OWNER TO owner;
REVOKE ALL ON DATABASE :"database" FROM PUBLIC;
GRANT CONNECT ON DATABASE :"database" TO authenticator, supabase_auth_admin, supabase_realtime_admin, exporter;
GRANT CREATE ON DATABASE :"database" TO supabase_auth_admin, supabase_realtime_admin;

CREATE EXTENSION IF NOT EXISTS pgcrypto;
CREATE EXTENSION IF NOT EXISTS pg_stat_statements;

ALTER SCHEMA public OWNER TO owner;
REVOKE CREATE ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO anon, authenticated, service_role;

-- GoTrue makes its tables in here by itself.
CREATE SCHEMA auth AUTHORIZATION supabase_auth_admin;
GRANT USAGE ON SCHEMA auth TO anon, authenticated, service_role, owner;
ALTER ROLE supabase_auth_admin SET search_path = auth;

CREATE SCHEMA _realtime AUTHORIZATION supabase_realtime_admin;
CREATE SCHEMA realtime AUTHORIZATION supabase_realtime_admin;
GRANT USAGE ON SCHEMA realtime TO anon, authenticated, service_role;

-- Who is asking, by the claims that PostgREST hands on.
SET ROLE supabase_auth_admin;
CREATE FUNCTION auth.uid() RETURNS uuid LANGUAGE sql STABLE AS $$
    SELECT coalesce(
        nullif(current_setting('request.jwt.claim.sub', true), ''),
        nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub'
    )::uuid
$$;
CREATE FUNCTION auth.role() RETURNS text LANGUAGE sql STABLE AS $$
    SELECT coalesce(
        nullif(current_setting('request.jwt.claim.role', true), ''),
        nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'role'
    )
$$;
CREATE FUNCTION auth.jwt() RETURNS jsonb LANGUAGE sql STABLE AS $$
    SELECT coalesce(nullif(current_setting('request.jwt.claims', true), ''), '{}')::jsonb
$$;
RESET ROLE;
SQL
