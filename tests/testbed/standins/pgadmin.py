# Stands in for pgAdmin 4; answers `/misc/ping` and its sign-in page, as its container documentation says.
"""Only whether it is there."""

from aiohttp import web

from service import application, env, run, serve

PREFIX = env("SCRIPT_NAME", "")


async def ping(request):
    return web.Response(text="PING")


async def login(request):
    return web.Response(text="<title>pgAdmin 4</title>", content_type="text/html")


async def main():
    app = application()
    for prefix in {"", PREFIX}:
        app.router.add_get(prefix + "/misc/ping", ping)
        app.router.add_get(prefix + "/login", login)
        app.router.add_get(prefix + "/", login)
    await serve((app, int(env("PGADMIN_LISTEN_PORT", "5050"))))


run(main())
