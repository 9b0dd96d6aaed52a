# Stands in for Supabase Realtime; follows its documentation (protocol, health checks), as far as the runbooks ask.
"""Health, and the Phoenix channel protocol: join, heartbeat, leave."""

import json

import asyncpg
from aiohttp import WSMsgType, web

from service import application, env, run, serve


async def health(request):
    try:
        connection = await asyncpg.connect(
            host=env("DB_HOST"), port=int(env("DB_PORT", "5432")), user=env("DB_USER"),
            password=env("DB_PASSWORD"), database=env("DB_NAME"), timeout=3)
        await connection.close()
        connected = True
    except (OSError, asyncpg.PostgresError, TimeoutError):
        connected = False
    # The real one is healthy, too, when nobody is connected and it has no connection to the database.
    return web.json_response({"data": {"healthy": True, "db_connected": connected, "connected_cluster": 1}})


async def channel(request):
    socket = web.WebSocketResponse(heartbeat=30)
    await socket.prepare(request)
    async for message in socket:
        if message.type != WSMsgType.TEXT:
            continue
        said = json.loads(message.data)
        await socket.send_json({
            "topic": said.get("topic"), "event": "phx_reply", "ref": said.get("ref"),
            "payload": {"status": "ok", "response": {}}})
    return socket


async def main():
    app = application()
    app.router.add_get("/healthcheck", lambda _: ok())
    app.router.add_get("/api/tenants/{id}/health", health)
    app.router.add_get("/socket/websocket", channel)
    await serve((app, int(env("PORT", "4000"))))


async def ok():
    return web.Response(text="ok")


run(main())
