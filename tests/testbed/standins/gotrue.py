# Stands in for GoTrue (Supabase Auth); follows its openapi.yaml, as far as the runbooks ask.
"""Sign-up, sign-in, tokens and users, in `auth.users` of the real database."""

import time
import uuid

import asyncpg
import jwt
from aiohttp import web

from service import application, env, run, serve

SECRET = env("GOTRUE_JWT_SECRET")
LIFETIME = int(env("GOTRUE_JWT_EXP", "3600"))
AUDIENCE = env("GOTRUE_JWT_AUD", "authenticated")
AUTOCONFIRM = env("GOTRUE_MAILER_AUTOCONFIRM", "false") == "true"
ADMIN_ROLES = env("GOTRUE_JWT_ADMIN_ROLES", "service_role").split(",")

# The columns that matter of those that GoTrue's own migrations make.
TABLES = """
CREATE TABLE IF NOT EXISTS auth.users (
    instance_id uuid, id uuid PRIMARY KEY, aud varchar(255), role varchar(255), email varchar(255) UNIQUE,
    encrypted_password varchar(255), email_confirmed_at timestamptz, last_sign_in_at timestamptz,
    raw_app_meta_data jsonb DEFAULT '{}', raw_user_meta_data jsonb DEFAULT '{}', is_super_admin boolean,
    created_at timestamptz DEFAULT now(), updated_at timestamptz DEFAULT now());
CREATE TABLE IF NOT EXISTS auth.refresh_tokens (
    id bigserial PRIMARY KEY, token varchar(255) UNIQUE, user_id uuid REFERENCES auth.users (id) ON DELETE CASCADE,
    revoked boolean DEFAULT false, created_at timestamptz DEFAULT now());
"""


def refused(status, code, message):
    return web.json_response({"code": status, "error_code": code, "msg": message}, status=status)


def shown(user):
    return {
        "id": str(user["id"]),
        "aud": user["aud"],
        "role": user["role"],
        "email": user["email"],
        "email_confirmed_at": user["email_confirmed_at"] and user["email_confirmed_at"].isoformat(),
        "app_metadata": {"provider": "email", "providers": ["email"]},
        "user_metadata": {},
        "created_at": user["created_at"].isoformat(),
    }


async def session(pool, user):
    now = int(time.time())
    claims = {
        "sub": str(user["id"]), "aud": AUDIENCE, "role": user["role"], "email": user["email"],
        "exp": now + LIFETIME, "iat": now, "session_id": str(uuid.uuid4()), "is_anonymous": False,
        "app_metadata": {"provider": "email"}, "user_metadata": {}, "aal": "aal1",
    }
    refresh = uuid.uuid4().hex
    await pool.execute("INSERT INTO auth.refresh_tokens (token, user_id) VALUES ($1, $2)", refresh, user["id"])
    await pool.execute("UPDATE auth.users SET last_sign_in_at = now() WHERE id = $1", user["id"])
    return web.json_response({
        "access_token": jwt.encode(claims, SECRET, algorithm="HS256"),
        "token_type": "bearer", "expires_in": LIFETIME, "expires_at": now + LIFETIME,
        "refresh_token": refresh, "user": shown(user),
    })


async def create(pool, email, password, confirmed):
    return await pool.fetchrow(
        """INSERT INTO auth.users (instance_id, id, aud, role, email, encrypted_password, email_confirmed_at)
           VALUES (uuid_nil(), $1, $2, 'authenticated', lower($3), crypt($4, gen_salt('bf')),
                   CASE WHEN $5 THEN now() END) RETURNING *""".replace("uuid_nil()", "'00000000-0000-0000-0000-000000000000'"),
        uuid.uuid4(), AUDIENCE, email, password, confirmed)


def bearer(request):
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer":
        return None
    try:
        return jwt.decode(token, SECRET, algorithms=["HS256"], audience=AUDIENCE, options={"verify_aud": False})
    except jwt.PyJWTError:
        return None


async def signup(request):
    body = await request.json()
    email, password = body.get("email", ""), body.get("password", "")
    if "@" not in email:
        return refused(400, "validation_failed", "Unable to validate email address: invalid format")
    if len(password) < 6:
        return refused(422, "weak_password", "Password should be at least 6 characters.")
    pool = request.app["pool"]
    try:
        user = await create(pool, email, password, AUTOCONFIRM)
    except asyncpg.UniqueViolationError:
        return refused(422, "user_already_exists", "User already registered")
    return await session(pool, user) if AUTOCONFIRM else web.json_response(shown(user))


async def token(request):
    body = await request.json()
    pool = request.app["pool"]
    kind = request.query.get("grant_type")
    if kind == "password":
        user = await pool.fetchrow(
            "SELECT * FROM auth.users WHERE email = lower($1) AND encrypted_password = crypt($2, encrypted_password)",
            body.get("email", ""), body.get("password", ""))
        if user is None:
            return refused(400, "invalid_credentials", "Invalid login credentials")
        if user["email_confirmed_at"] is None:
            return refused(400, "email_not_confirmed", "Email not confirmed")
        return await session(pool, user)
    if kind == "refresh_token":
        user = await pool.fetchrow(
            """UPDATE auth.refresh_tokens t SET revoked = true FROM auth.users u
               WHERE t.token = $1 AND NOT t.revoked AND u.id = t.user_id RETURNING u.*""",
            body.get("refresh_token", ""))
        if user is None:
            return refused(400, "refresh_token_not_found", "Invalid Refresh Token: Refresh Token Not Found")
        return await session(pool, user)
    return refused(400, "unsupported_grant_type", "unsupported_grant_type")


async def user(request):
    claims = bearer(request)
    if claims is None:
        return refused(401, "no_authorization", "This endpoint requires a valid Bearer token")
    found = await request.app["pool"].fetchrow("SELECT * FROM auth.users WHERE id = $1::uuid", claims["sub"])
    return web.json_response(shown(found)) if found else refused(403, "user_not_found", "User from sub claim in JWT does not exist")


async def admin_users(request):
    claims = bearer(request)
    if claims is None or claims.get("role") not in ADMIN_ROLES:
        return refused(403, "not_admin", "User not allowed")
    pool = request.app["pool"]
    if request.method == "POST":
        body = await request.json()
        try:
            made = await create(pool, body["email"], body.get("password", uuid.uuid4().hex), body.get("email_confirm", False))
        except asyncpg.UniqueViolationError:
            return refused(422, "email_exists", "A user with this email address has already been registered")
        return web.json_response(shown(made))
    if "id" in request.match_info:
        await pool.execute("DELETE FROM auth.users WHERE id = $1::uuid", request.match_info["id"])
        return web.json_response({})
    rows = await pool.fetch("SELECT * FROM auth.users ORDER BY created_at")
    return web.json_response({"users": [shown(row) for row in rows], "aud": AUDIENCE})


async def main():
    pool = await asyncpg.create_pool(env("GOTRUE_DB_DATABASE_URL"), min_size=1, max_size=5,
                                     server_settings={"search_path": "auth, public"})
    await pool.execute(TABLES)
    app = application()
    app["pool"] = pool
    health = {"version": "v2.180.0", "name": "GoTrue", "description": "GoTrue is a user registration and authentication API"}
    app.router.add_get("/health", lambda _: answer(health))
    app.router.add_get("/settings", lambda _: answer({
        "external": {"email": True, "phone": False}, "disable_signup": False, "mailer_autoconfirm": AUTOCONFIRM}))
    app.router.add_get("/.well-known/jwks.json", lambda _: answer({"keys": []}))
    app.router.add_post("/signup", signup)
    app.router.add_post("/token", token)
    app.router.add_get("/user", user)
    app.router.add_route("*", "/admin/users", admin_users)
    app.router.add_delete("/admin/users/{id}", admin_users)
    app.router.add_post("/logout", lambda _: empty())
    await serve((app, int(env("GOTRUE_API_PORT", "9999"))))


async def answer(value):
    return web.json_response(value)


async def empty():
    return web.Response(status=204)


run(main())
