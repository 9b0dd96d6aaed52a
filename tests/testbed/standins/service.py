"""What the stand-ins share: a server that logs each request and ends its work before it ends itself."""

import asyncio
import os
import signal
import sys
import time

from aiohttp import web


# A network that is slow, a clock that is wrong: seconds, as a test wants them.
DELAY = float(os.environ.get("STANDIN_DELAY", "0"))
CLOCK = float(os.environ.get("STANDIN_CLOCK", "0"))
if CLOCK:
    right = time.time
    time.time = lambda: right() + CLOCK


@web.middleware
async def log(request, handler):
    started = time.monotonic()
    status = 500
    try:
        if DELAY:
            await asyncio.sleep(DELAY)
        response = await handler(request)
        status = response.status
        return response
    except web.HTTPException as error:
        status = error.status
        raise
    finally:
        took = (time.monotonic() - started) * 1000
        print(f"{request.method} {request.path} {status} {took:.1f}ms", flush=True)


def application():
    return web.Application(middlewares=[log], client_max_size=16 << 20)


def env(name, default=None):
    value = os.environ.get(name, default)
    if value is None:
        sys.exit(f"{name} is not set")
    return value


async def serve(*apps):
    """Serve `(application, port)` pairs until SIGTERM; requests that are under way are finished."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    runners = []
    for app, port in apps:
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "0.0.0.0", port, shutdown_timeout=20).start()
        runners.append(runner)
        print(f"listening on {port}", flush=True)
    await stop.wait()
    print("ending", flush=True)
    for runner in runners:
        await runner.cleanup()


def run(main):
    try:
        asyncio.run(main)
    except KeyboardInterrupt:
        pass
