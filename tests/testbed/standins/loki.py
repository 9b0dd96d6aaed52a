# Stands in for Grafana Loki; follows its HTTP API, with `{label="value"} |= "text"` of LogQL, in memory.
"""Push log lines, and find them again."""

import re
import time

from aiohttp import web

from service import application, run, serve

MOST = 100_000
LINES = []

MATCHER = re.compile(r'(\w+)\s*(=~|!=|!~|=)\s*"((?:[^"\\]|\\.)*)"')
FILTER = re.compile(r'(\|=|!=|\|~|!~)\s*(?:"((?:[^"\\]|\\.)*)"|`([^`]*)`)')


async def push(request):
    body = await request.json()
    for stream in body.get("streams", []):
        for stamp, line, *_ in stream["values"]:
            LINES.append((int(stamp), stream["stream"], line))
    del LINES[:-MOST]
    return web.Response(status=204)


def holds(operator, wanted, found):
    if operator in ("=", "|="):
        return found == wanted if operator == "=" else wanted in found
    if operator == "!=":
        return found != wanted
    return bool(re.search(wanted, found)) == (operator in ("=~", "|~"))


def query(text):
    selector, _, rest = text.partition("}")
    matchers = MATCHER.findall(selector)
    filters = [(operator, double or back) for operator, double, back in FILTER.findall(rest)]
    for stamp, labels, line in LINES:
        if not all(holds(operator, value, labels.get(name, "")) for name, operator, value in matchers):
            continue
        if all((value not in line) if operator == "!=" else holds(operator, value, line) for operator, value in filters):
            yield stamp, labels, line


async def query_range(request):
    text = request.query.get("query", "")
    if not text.startswith("{"):
        return web.Response(status=400, text="parse error at line 1, col 1: syntax error: unexpected IDENTIFIER")
    start, end = (int(float(request.query.get(key, default))) for key, default in (("start", 0), ("end", 2**62)))
    streams = {}
    for stamp, labels, line in query(text):
        if start <= stamp <= end:
            streams.setdefault(tuple(sorted(labels.items())), []).append([str(stamp), line])
    limit = int(request.query.get("limit", "100"))
    result = [{"stream": dict(labels), "values": values[-limit:][::-1]} for labels, values in streams.items()]
    return web.json_response({"status": "success", "data": {"resultType": "streams", "result": result}})


async def labels(request):
    names = sorted({name for _, found, _ in LINES for name in found})
    return web.json_response({"status": "success", "data": names})


async def values(request):
    name = request.match_info["name"]
    return web.json_response({"status": "success", "data": sorted({found[name] for _, found, _ in LINES if name in found})})


async def metrics(request):
    return web.Response(text=f"loki_distributor_lines_received_total {len(LINES)}\nloki_build_info 1\n")


async def ready(request):
    return web.Response(text="ready\n")


async def main():
    app = application()
    app.router.add_get("/ready", ready)
    app.router.add_get("/metrics", metrics)
    app.router.add_post("/loki/api/v1/push", push)
    app.router.add_get("/loki/api/v1/query_range", query_range)
    app.router.add_get("/loki/api/v1/query", query_range)
    app.router.add_get("/loki/api/v1/labels", labels)
    app.router.add_get("/loki/api/v1/label/{name}/values", values)
    LINES.append((time.time_ns(), {"job": "loki"}, "ready"))
    await serve((app, 3100))


run(main())
