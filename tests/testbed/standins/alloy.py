# Stands in for Grafana Alloy with the stack's config.alloy: tails the engine's log files, and pushes lines to Loki.
"""Each line of the project's containers, with its service, in the order in which it was written."""

import asyncio
import glob
import json
from datetime import datetime

import aiohttp
from aiohttp import web

from service import application, env, run, serve

FILES = "/var/lib/docker/containers/*/*-json.log"
LOKI = env("STANDIN_LOKI", "http://loki:3100")
PROJECT = env("PROJECT")
POSITIONS = {}
METRICS = {"read": 0, "sent": 0, "dropped": 0}


def nanos(text):
    """RFC 3339 with up to nine digits, of which Python keeps six."""
    whole, _, rest = text.rstrip("Z").partition(".")
    seconds = int(datetime.fromisoformat(whole + "+00:00").timestamp())
    return seconds * 1_000_000_000 + int(rest.ljust(9, "0")[:9] or 0)


def fresh(path):
    """The whole lines that a file has grown by. A rotated one begins anew."""
    with open(path, "rb") as file:
        file.seek(0, 2)
        size = file.tell()
        start = POSITIONS.get(path, 0)
        if size < start:
            start = 0
        file.seek(start)
        data = file.read(4 << 20)
    end = data.rfind(b"\n") + 1
    return start + end, data[:end].splitlines()


def entries(lines):
    for line in lines:
        METRICS["read"] += 1
        try:
            entry = json.loads(line)
            labels = entry.get("attrs", {})
            project, service = labels.get("com.docker.compose.project"), labels.get("com.docker.compose.service")
        except ValueError:
            project, service = None, None
        if project != PROJECT or not service:
            METRICS["dropped"] += 1
            continue
        yield service, entry["stream"], nanos(entry["time"]), entry["log"].rstrip("\n")


async def ship(session):
    for path in glob.glob(FILES):
        try:
            position, lines = fresh(path)
        except OSError:
            continue
        streams = {}
        for service, stream, stamp, line in entries(lines):
            streams.setdefault((service, stream), []).append([str(stamp), line])
        if streams:
            body = {"streams": [
                {"stream": {"job": service, "service": service, "stream": stream}, "values": values}
                for (service, stream), values in streams.items()]}
            async with session.post(f"{LOKI}/loki/api/v1/push", json=body) as answer:
                answer.raise_for_status()
            METRICS["sent"] += sum(len(values) for values in streams.values())
        # Only now: what Loki did not take is read again.
        POSITIONS[path] = position


async def ship_for_ever():
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as session:
        while True:
            try:
                await ship(session)
            except (aiohttp.ClientError, asyncio.TimeoutError) as error:
                print(f"loki: {error}", flush=True)
            await asyncio.sleep(0.5)


async def ready(request):
    return web.Response(text="Alloy is ready.\n")


async def metrics(request):
    return web.Response(text=(
        f"loki_source_file_read_lines_total {METRICS['read']}\n"
        f"loki_write_sent_entries_total {METRICS['sent']}\n"
        f"loki_process_dropped_lines_total {METRICS['dropped']}\n"))


async def main():
    app = application()
    app.router.add_get("/-/ready", ready)
    app.router.add_get("/metrics", metrics)
    shipping = asyncio.create_task(ship_for_ever())
    await serve((app, 12345))
    shipping.cancel()


run(main())
