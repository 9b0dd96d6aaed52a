# Stands in for PostgREST; follows its documentation (API, Authentication, Errors, Admin server), as far as the runbooks ask.
"""REST over the real database: the token is checked, and each request is one transaction that becomes its role."""

import asyncio
import json
import re
import time

import asyncpg
import jwt
from aiohttp import web

from service import application, env, run, serve

SECRET = env("PGRST_JWT_SECRET")
AUDIENCE = env("PGRST_JWT_AUD", "")
ANON = env("PGRST_DB_ANON_ROLE", "anon")
SCHEMA = env("PGRST_DB_SCHEMAS", "public").split(",")[0]
SKEW = 30
POOL = 10

OPERATORS = {"eq": "=", "neq": "<>", "gt": ">", "gte": ">=", "lt": "<", "lte": "<=", "like": "LIKE", "ilike": "ILIKE"}
CONTROL = {"select", "order", "limit", "offset", "on_conflict", "columns"}
NAME = re.compile(r"^[A-Za-z_][A-Za-z0-9_]*$")

# How long a request waits for a connection (PGRST_DB_POOL_ACQUISITION_TIMEOUT).
PATIENCE = float(env("PGRST_DB_POOL_ACQUISITION_TIMEOUT", "10"))
# The real one answers from its schema cache only; most tests make tables and ask for them at once.
CACHED = env("STANDIN_SCHEMA_CACHE", "off") == "on"
CACHE = {"relations": None}

METRICS = {"loads": 0, "timeouts": 0, "waiting": 0}


class Refused(Exception):
    def __init__(self, status, code, message, details=None, hint=None):
        super().__init__(message)
        self.status = status
        self.body = {"code": code, "details": details, "hint": hint, "message": message}


def quoted(name):
    if not NAME.match(name):
        raise Refused(400, "PGRST100", f'"failed to parse ({name})"')
    return f'"{name}"'


def claims_of(request):
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        return {"role": ANON}
    try:
        claims = jwt.decode(token, SECRET, algorithms=["HS256"], leeway=SKEW, options={"verify_aud": False})
    except jwt.ExpiredSignatureError:
        raise Refused(401, "PGRST303", "JWT expired")
    except jwt.DecodeError as error:
        raise Refused(401, "PGRST301", "JWSError (JWSInvalidSignature)" if "Signature" in str(error) else "Expected 3 parts in JWT; got 1")
    except jwt.PyJWTError as error:
        raise Refused(401, "PGRST303", str(error))
    audience = claims.get("aud")
    if AUDIENCE and audience is not None and AUDIENCE not in ([audience] if isinstance(audience, str) else audience):
        raise Refused(401, "PGRST303", "JWT not in audience")
    return {"role": ANON, **claims}


def status_of(error, role):
    """SQLSTATE to HTTP status, as the documentation's table has it."""
    code = error.sqlstate or "XX000"
    if code == "42501":
        return 401 if role == ANON else 403
    if code in ("42883", "42P01"):
        return 404
    if code in ("23503", "23505"):
        return 409
    if code == "25006":
        return 405
    if code == "P0001" or code.startswith(("22", "23", "42")):
        return 400
    if code.startswith(("08", "53")):
        return 503
    return 500


class Query:
    """The conditions, order and window that a query string says."""

    def __init__(self, query):
        self.values, self.conditions = [], []
        self.select, self.order, self.window = "*", "", ""
        for key, text in query.items():
            if key == "select":
                parts = [part for part in text.split(",") if part]
                self.select = ", ".join("*" if part == "*" else quoted(part) for part in parts) or "*"
            elif key == "order":
                parts = []
                for part in text.split(","):
                    column, *rest = part.split(".")
                    parts.append(quoted(column) + (" DESC" if "desc" in rest else ""))
                self.order = " ORDER BY " + ", ".join(parts)
            elif key in ("limit", "offset"):
                self.window += f" {key.upper()} {int(text)}"
            elif key not in CONTROL:
                self.condition(key, text)

    def condition(self, column, text):
        operator, _, value = text.partition(".")
        negate = ""
        if operator == "not":
            negate = "NOT "
            operator, _, value = value.partition(".")
        name = quoted(column)
        if operator == "is" and value.lower() in ("null", "true", "false", "unknown"):
            self.conditions.append(f"{negate}({name} IS {value.upper()})")
        elif operator == "in":
            items = [item.strip('"') for item in value.strip("()").split(",")]
            self.values.append(items)
            self.conditions.append(f"{negate}({name}::text = ANY(${len(self.values)}::text[]))")
        elif operator in OPERATORS:
            self.values.append(value.replace("*", "%") if "like" in operator else value)
            # The column's own type decides how values compare; the parameter is text by nature.
            self.conditions.append(f"{negate}({name} {OPERATORS[operator]} ${len(self.values)}::text::@{column}@)")
        else:
            raise Refused(400, "PGRST100", f'"failed to parse filter ({text})" (line 1, column 1)')

    def where(self, types):
        text = " AND ".join(self.conditions)
        for column, name in types.items():
            text = text.replace(f"::@{column}@", f"::{name}")
        missing = re.search(r"::@(\w+)@", text)
        if missing:
            raise Refused(400, "42703", f"column {missing[1]} does not exist")
        return f" WHERE {text}" if text else ""


async def load(connection):
    """What the schema cache holds: the names of tables and views; and the settings of roles, which requests take over."""
    rows = await connection.fetch(
        "SELECT relname FROM pg_class WHERE relnamespace = $1::regnamespace AND relkind IN ('r', 'p', 'v', 'm', 'f')", SCHEMA)
    CACHE["relations"] = {row[0] for row in rows}
    rows = await connection.fetch(
        "SELECT r.rolname, split_part(s.setting, '=', 1), substr(s.setting, strpos(s.setting, '=') + 1) "
        "FROM pg_db_role_setting d JOIN pg_roles r ON r.oid = d.setrole, unnest(d.setconfig) s(setting) WHERE d.setdatabase = 0")
    roles = {}
    for role, name, value in rows:
        roles.setdefault(role, {})[name] = value
    CACHE["settings"] = roles
    METRICS["loads"] += 1


def known(table):
    return not CACHED or CACHE["relations"] is None or table in CACHE["relations"]


async def types_of(connection, table):
    if not known(table):
        raise Refused(404, "PGRST205", f"Could not find the table '{SCHEMA}.{table}' in the schema cache")
    rows = await connection.fetch(
        "SELECT attname, format_type(atttypid, atttypmod) AS type FROM pg_attribute "
        "WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped", f'"{SCHEMA}".{quoted(table)}')
    if not rows:
        raise Refused(404, "PGRST205", f"Could not find the table '{SCHEMA}.{table}' in the schema cache")
    return {row["attname"]: row["type"] for row in rows}


async def enter(connection, request, claims):
    settings = {
        **CACHE.get("settings", {}).get(claims["role"], {}),
        "search_path": f'"{SCHEMA}", "public"',
        "role": claims["role"],
        "request.jwt.claims": json.dumps(claims),
        "request.method": request.method,
        "request.path": request.path,
        "request.headers": json.dumps({name.lower(): value for name, value in request.headers.items()}),
        "request.cookies": json.dumps(dict(request.cookies)),
    }
    calls = ", ".join(f"set_config(${2 * n + 1}, ${2 * n + 2}, true)" for n in range(len(settings)))
    await connection.execute("SELECT 1")
    await connection.fetch("SELECT " + calls, *[text for pair in settings.items() for text in pair])


async def rows_as_json(connection, sql, values):
    text = await connection.fetchval(f"SELECT coalesce(json_agg(r), '[]')::text FROM ({sql}) r", *values)
    return json.loads(text)


async def table(request, connection):
    name = request.match_info["table"]
    types = await types_of(connection, name)
    place, query = f'"{SCHEMA}".{quoted(name)}', Query(request.query)
    prefer = request.headers.get("Prefer", "")
    if request.method in ("GET", "HEAD"):
        found = await rows_as_json(
            connection, f"SELECT {query.select} FROM {place}{query.where(types)}{query.order}{query.window}", query.values)
        total = "*"
        if "count=exact" in prefer:
            total = await connection.fetchval(f"SELECT count(*) FROM {place}{query.where(types)}", *query.values)
        window = f"0-{len(found) - 1}" if found else "*"
        return web.json_response(found, headers={"Content-Range": f"{window}/{total}"})
    if request.method == "POST":
        body = await request.json()
        rows = body if isinstance(body, list) else [body]
        names = sorted({key for row in rows for key in row})
        for column in names:
            if column not in types:
                raise Refused(400, "PGRST204", f"Could not find the '{column}' column of '{name}' in the schema cache")
        columns = ", ".join(quoted(column) for column in names)
        sql = (f"INSERT INTO {place} ({columns}) SELECT {columns} FROM json_populate_recordset(NULL::{place}, $1::json)"
               if names else f"INSERT INTO {place} DEFAULT VALUES")
        values = [json.dumps(rows)] if names else []
    elif request.method == "PATCH":
        body = await request.json()
        changes = []
        for column in body:
            if column not in types:
                raise Refused(400, "PGRST204", f"Could not find the '{column}' column of '{name}' in the schema cache")
            changes.append(f"{quoted(column)} = (json_populate_record(NULL::{place}, ${len(query.values) + 1}::json)).{quoted(column)}")
        sql = f"UPDATE {place} SET {', '.join(changes)}{query.where(types)}"
        values = query.values + [json.dumps(body)]
    else:
        sql, values = f"DELETE FROM {place}{query.where(types)}", query.values
    if "return=representation" in prefer:
        changed = await connection.fetchval(
            f"WITH changed AS ({sql} RETURNING *) SELECT coalesce(json_agg(changed), '[]')::text FROM changed", *values)
        return web.json_response(json.loads(changed), status=201 if request.method == "POST" else 200)
    await connection.execute(sql, *values)
    return web.Response(status=201 if request.method == "POST" else 204)


async def rpc(request, connection):
    name = request.match_info["name"]
    arguments = dict(request.query) if request.method == "GET" else (await request.json() if request.can_read_body else {})
    there = await connection.fetchval(
        "SELECT count(*) FROM pg_proc p JOIN pg_namespace n ON n.oid = pronamespace WHERE nspname = $1 AND proname = $2", SCHEMA, name)
    if not there:
        raise Refused(404, "PGRST202", f"Could not find the function {SCHEMA}.{name} without parameters in the schema cache")
    calls = ", ".join(f"{quoted(key)} => ${n + 1}" for n, key in enumerate(arguments))
    text = await connection.fetchval(f'SELECT to_json(r)::text FROM "{SCHEMA}".{quoted(name)}({calls}) r', *arguments.values())
    return web.json_response(json.loads(text) if text is not None else None)


async def root(request, connection):
    rows = await connection.fetch(
        "SELECT relname FROM pg_class WHERE relnamespace = $1::regnamespace AND relkind IN ('r','v','p') "
        "AND has_table_privilege(oid, 'SELECT,INSERT,UPDATE,DELETE')", SCHEMA)
    return web.json_response({"swagger": "2.0", "info": {"title": "PostgREST API"}, "paths": {f"/{row[0]}": {} for row in rows if known(row[0])}})


class Turn:
    """A connection of the pool, waited for as long as requests wait."""

    def __init__(self, pool):
        self.pool = pool

    async def __aenter__(self):
        METRICS["waiting"] += 1
        try:
            self.connection = await self.pool.acquire(timeout=PATIENCE)
        finally:
            METRICS["waiting"] -= 1
        return self.connection

    async def __aexit__(self, *_):
        await self.pool.release(self.connection)


def transaction(handler):
    async def handle(request):
        pool = request.app["pool"]
        if pool is None:
            return web.json_response(Refused(503, "PGRST000", "Database connection error. Retrying the connection.").body, status=503)
        role = ANON
        try:
            claims = claims_of(request)
            role = claims["role"]
            async with Turn(pool) as connection:
                work = connection.transaction(readonly=request.method in ("GET", "HEAD"))
                async with work:
                    await enter(connection, request, claims)
                    return await handler(request, connection)
        except Refused as refused:
            return web.json_response(refused.body, status=refused.status)
        except json.JSONDecodeError:
            return web.json_response(Refused(400, "PGRST102", "Empty or invalid json").body, status=400)
        except asyncpg.PostgresError as error:
            body = {"code": error.sqlstate, "details": error.detail, "hint": error.hint, "message": error.message}
            return web.json_response(body, status=status_of(error, role))
        except TimeoutError:
            METRICS["timeouts"] += 1
            return web.json_response(Refused(504, "PGRST003", "Timed out acquiring connection from connection pool.").body, status=504)
        except OSError as error:
            return web.json_response(Refused(503, "PGRST001", "Database client error. Retrying the connection.", str(error)).body, status=503)
    return handle


def metrics(app):
    pool = app["pool"]
    idle = pool.get_idle_size() if pool else 0
    used = (pool.get_size() - idle) if pool else 0
    lines = []
    for name, kind, value in [
        ('pgrst_schema_cache_loads_total{status="SUCCESS"}', "counter", METRICS["loads"]),
        ("pgrst_schema_cache_query_time_seconds", "gauge", 0.01),
        ("pgrst_db_pool_timeouts_total", "counter", METRICS["timeouts"]),
        ("pgrst_db_pool_available", "gauge", POOL - used),
        ("pgrst_db_pool_waiting", "gauge", METRICS["waiting"]),
        ("pgrst_db_pool_max", "gauge", POOL),
    ]:
        lines += [f"# TYPE {name.split('{')[0]} {kind}", f"{name} {value}"]
    return web.Response(text="\n".join(lines) + "\n", content_type="text/plain")


async def connect(app):
    """Connect, and listen for `NOTIFY pgrst`; again and again, as the real one does."""
    while True:
        try:
            if app["pool"] is None:
                app["pool"] = await asyncpg.create_pool(env("PGRST_DB_URI"), min_size=1, max_size=POOL, statement_cache_size=0)
                listener = await asyncpg.connect(env("PGRST_DB_URI"))
                await load(listener)

                def reload(*_):
                    asyncio.create_task(load(listener))

                await listener.add_listener("pgrst", reload)
                print("connected", flush=True)
            await listener.fetchval("SELECT 1")
            app["ready"] = True
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            app["ready"] = False
            print(f"no database: {error}", flush=True)
        await asyncio.sleep(1)


async def main():
    app, admin = application(), application()
    app["pool"], app["ready"] = None, False
    app.router.add_get("/", transaction(root))
    app.router.add_route("*", "/rpc/{name}", transaction(rpc))
    app.router.add_route("*", "/{table}", transaction(table))
    admin.router.add_get("/live", lambda _: status(200))
    admin.router.add_get("/ready", lambda _: status(200 if app["ready"] else 503))
    admin.router.add_get("/metrics", lambda _: done(metrics(app)))
    app.on_startup.append(lambda app: keep(app))
    await serve((app, int(env("PGRST_SERVER_PORT", "3000"))), (admin, int(env("PGRST_ADMIN_SERVER_PORT", "3001"))))


async def keep(app):
    app["connecting"] = asyncio.create_task(connect(app))


async def status(code):
    return web.Response(status=code)


async def done(response):
    return response


run(main())
