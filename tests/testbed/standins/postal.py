# Stands in for Postal; follows its API (`/api/v1/send/message`) and health endpoints, and hands mail on by SMTP.
"""The web server, the SMTP server's or the worker's health, by the command that Postal itself takes."""

import asyncio
import smtplib
import sys
import uuid
from email.message import EmailMessage

from aiohttp import web

from service import application, env, run, serve

SMTP = env("POSTAL_STANDIN_SMTP", "postal-smtp")


async def send(request):
    if not request.headers.get("X-Server-API-Key"):
        return web.json_response({"status": "error", "data": {"code": "AccessDenied", "message": "Must be authenticated as a server."}})
    body = await request.json()
    if not body.get("to"):
        return web.json_response({"status": "error", "data": {"code": "NoRecipients", "message": "There are no recipients defined to receive this message"}})
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = body.get("from"), ", ".join(body["to"]), body.get("subject", "")
    mail.set_content(body.get("plain_body", ""))

    def hand_on():
        with smtplib.SMTP(SMTP, 25, timeout=10) as server:
            server.send_message(mail)

    await asyncio.get_running_loop().run_in_executor(None, hand_on)
    name = uuid.uuid4().hex
    messages = {to: {"id": n + 1, "token": name[:12]} for n, to in enumerate(body["to"])}
    return web.json_response({"status": "success", "time": 0.1, "data": {"message_id": f"{name}@postal", "messages": messages}})


async def ok(request):
    return web.Response(text="OK")


async def main():
    app = application()
    app.router.add_get("/health", ok)
    kind = sys.argv[1] if len(sys.argv) > 1 else "web-server"
    if kind == "worker":
        await serve((app, int(env("WORKER_DEFAULT_HEALTH_SERVER_PORT", "9090"))))
    else:
        app.router.add_get("/", ok)
        app.router.add_post("/api/v1/send/message", send)
        await serve((app, 5000))


run(main())
