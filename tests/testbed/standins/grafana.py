# Stands in for Grafana; follows its HTTP API (health, data sources, dashboards, search, query), as far as the runbooks ask.
"""Reads the provisioning files as Grafana does, and hands queries on to the real Prometheus."""

import base64
import glob
import json
import os

import aiohttp
from aiohttp import web

from service import application, env, run, serve

PROVISIONING = env("GF_PATHS_PROVISIONING", "/etc/grafana/provisioning")
PREFIX = "/grafana"
PASSWORD = {"admin": env("GF_SECURITY_ADMIN_PASSWORD", "admin")}
# Where `grafana cli admin reset-admin-password` leaves it: the real one has it in its database.
RESET = "/var/lib/grafana/admin-password"


def value(text):
    """The scalars that the files use: no library for YAML is among the packages."""
    return text.strip().strip("\"'")


def sources():
    found = []
    for path in sorted(glob.glob(f"{PROVISIONING}/datasources/*.yml")):
        for line in open(path, encoding="utf-8"):
            text = line.strip()
            if text.startswith("- name:"):
                found.append({"id": len(found) + 1, "name": value(text[7:]), "isDefault": False})
            elif found and ":" in text:
                key, _, rest = text.partition(":")
                if key in ("uid", "type", "url", "access"):
                    found[-1][key] = value(rest)
                elif key == "isDefault":
                    found[-1][key] = value(rest) == "true"
    return found


def dashboards():
    found = {}
    for path in sorted(glob.glob("/var/lib/grafana/dashboards/*.json")):
        with open(path, encoding="utf-8") as file:
            board = json.load(file)
        found[board["uid"]] = board
    return found


@web.middleware
async def signed_in(request, handler):
    if request.path.removeprefix(PREFIX) in ("/api/health", "/login", "/metrics"):
        return await handler(request)
    scheme, _, text = request.headers.get("Authorization", "").partition(" ")
    try:
        user, _, password = base64.b64decode(text).decode().partition(":")
    except ValueError:
        user, password = "", ""
    if os.path.exists(RESET):
        with open(RESET, encoding="utf-8") as file:
            PASSWORD["admin"] = file.read()
    if scheme != "Basic" or PASSWORD.get(user) != password:
        return web.json_response({"message": "Invalid username or password"}, status=401)
    return await handler(request)


async def health(request):
    return web.json_response({"commit": "standin", "database": "ok", "version": "12.2.0"})


async def search(request):
    return web.json_response([
        {"uid": uid, "title": board["title"], "type": "dash-db", "url": f"/d/{uid}"} for uid, board in dashboards().items()])


async def dashboard(request):
    board = dashboards().get(request.match_info["uid"])
    if board is None:
        return web.json_response({"message": "Dashboard not found"}, status=404)
    return web.json_response({"meta": {"provisioned": True}, "dashboard": board})


async def query(request):
    body = await request.json()
    known = {source["uid"]: source for source in sources()}
    results = {}
    async with aiohttp.ClientSession() as session:
        for asked in body.get("queries", []):
            source = known.get((asked.get("datasource") or {}).get("uid"), {})
            async with session.get(f"{source.get('url')}/api/v1/query", params={"query": asked["expr"]}) as response:
                data = await response.json()
            results[asked["refId"]] = {
                "status": 200 if data["status"] == "success" else 400, "error": data.get("error"),
                "frames": [{"schema": {"name": json.dumps(row["metric"])}, "data": {"values": [[row["value"][0]], [float(row["value"][1])]]}}
                           for row in data.get("data", {}).get("result", [])]}
    return web.json_response({"results": results})


async def change_password(request):
    PASSWORD["admin"] = (await request.json())["password"]
    return web.json_response({"message": "User password updated"})


async def main():
    app = application()
    app.middlewares.append(signed_in)
    for prefix in ("", PREFIX):
        app.router.add_get(prefix + "/api/health", health)
        app.router.add_get(prefix + "/login", health)
        app.router.add_get(prefix + "/metrics", lambda _: text("grafana_build_info 1\n"))
        app.router.add_get(prefix + "/api/datasources", lambda _: answer(sources()))
        app.router.add_get(prefix + "/api/search", search)
        app.router.add_get(prefix + "/api/dashboards/uid/{uid}", dashboard)
        app.router.add_post(prefix + "/api/ds/query", query)
        app.router.add_put(prefix + "/api/admin/users/1/password", change_password)
    await serve((app, 3000))


async def answer(found):
    return web.json_response(found)


async def text(body):
    return web.Response(text=body)


run(main())
