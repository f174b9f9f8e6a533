"""Stripe's API over the double's state: the calls that ShareAI makes, the hosted pages, and signed webhooks.

    python -m demo.payments.server --port 9105 --key sk_test_… --webhook http://127.0.0.1:8000/billing/stripe \\
        --secret whsec_… --state var/payments.json

From this machine, `/_control` does what happens at Stripe's side: refunds, disputes.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import hmac
import html
import json
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import aiohttp
from aiohttp import web

from demo.payments.state import NotThere, Object, Refused, State

RETRY_S = (0.2, 1.0, 5.0, 30.0, 120.0)
PATHS = {
    "customers": "customer", "checkout/sessions": "session", "payment_intents": "payment", "charges": "charge",
    "refunds": "refund", "disputes": "dispute", "events": "event", "invoices": "invoice",
}  # fmt: skip
FILTERS = ("payment_intent", "customer", "type")


def nested(pairs: list[tuple[str, str]]) -> Object:
    """`a[0][b]=c` → `{"a": [{"b": "c"}]}`, as Stripe reads forms."""
    tree: Object = {}
    for name, value in pairs:
        first, *rest = name.replace("]", "").split("[")
        node, keys = tree, [first, *rest]
        for key in keys[:-1]:
            node = node.setdefault(key, {})
        node[keys[-1]] = value
    return {key: _listed(value) for key, value in tree.items()}


def _listed(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    inner = {key: _listed(one) for key, one in value.items()}
    return list(inner.values()) if inner and all(key.isdigit() for key in inner) else inner


@dataclass(slots=True)
class Deliveries:
    """Tells a webhook of each event: signed, again until it is taken, and as disorderly as it is told to be."""

    url: str
    secret: str
    disorder_s: float = 0.0
    doubles: float = 0.0
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def send(self, event: Object) -> None:
        for _ in range(2 if random.random() < self.doubles else 1):  # noqa: S311  not a secret
            task = asyncio.get_running_loop().create_task(self._deliver(event))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _deliver(self, event: Object) -> None:
        await asyncio.sleep(random.uniform(0, self.disorder_s))  # noqa: S311  not a secret
        body = json.dumps(event)
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as session:
            for pause_s in RETRY_S:
                if await self._is_taken(session, body):
                    return
                await asyncio.sleep(pause_s)

    async def _is_taken(self, session: aiohttp.ClientSession, body: str) -> bool:
        headers = {"Stripe-Signature": signature(body, self.secret), "Content-Type": "application/json"}
        try:
            async with session.post(self.url, data=body, headers=headers) as answer:
                return answer.status == 200
        except (aiohttp.ClientError, TimeoutError):
            return False


def signature(body: str, secret: str, at_s: int | None = None) -> str:
    at_s = int(time.time()) if at_s is None else at_s
    digest = hmac.new(secret.encode(), f"{at_s}.{body}".encode(), hashlib.sha256).hexdigest()
    return f"t={at_s},v1={digest}"


class Door:
    """Handlers of one double."""

    def __init__(self, state: State, key: str) -> None:
        self._state = state
        self._key = key
        self._answered: dict[str, tuple[str, web.Response]] = {}

    async def api(self, request: web.Request) -> web.Response:
        if request.headers.get("Authorization") != f"Bearer {self._key}":
            return _error(401, "invalid_api_key", "Invalid API Key provided.")
        body = (await request.read()).decode()
        idempotency = request.headers.get("Idempotency-Key", "") if request.method == "POST" else ""
        said = f"{request.path} {body}"
        if idempotency in self._answered:
            before, answer = self._answered[idempotency]
            return (
                _copy(answer) if before == said else _error(400, "idempotency_error", "The key was used otherwise.")
            )
        answer = self._act(request, nested(parse_qsl(body)))
        if idempotency:
            self._answered[idempotency] = said, answer
        return _copy(answer)

    def _act(self, request: web.Request, given: Object) -> web.Response:
        try:
            path = request.match_info["path"]
            return _json(self._post(request, path, given) if request.method == "POST" else self._get(request, path))
        except NotThere as missing:
            return _error(404, "resource_missing", str(missing))
        except Refused as refused:
            return _error(400, *refused.args)

    def _post(self, request: web.Request, path: str, given: Object) -> Object:
        state = self._state
        if path == "customers":
            made = state.add("customer", email=given.get("email"), name=given.get("name"), metadata=given["metadata"])
            state.save()
            return made
        if path == "checkout/sessions":
            return state.open_session(given, _origin(request))
        if path == "refunds":
            return state.refund(given["payment_intent"], int(given["amount"]) if "amount" in given else None)
        if path == "billing_portal/sessions":
            state.get("customer", given["customer"])
            portal = state.add("portal", customer=given["customer"], return_url=given.get("return_url"))
            return portal | {"url": f"{_origin(request)}/portal/{portal['id']}"}
        raise NotThere(f"Unrecognized request URL (POST: /v1/{path}).")

    def _get(self, request: web.Request, path: str) -> Object:
        if path in PATHS:
            return self._list(request, PATHS[path])
        stem, _, id = path.rpartition("/")
        if stem not in PATHS:
            raise NotThere(f"Unrecognized request URL (GET: /v1/{path}).")
        return self._state.get(PATHS[stem], id)

    def _list(self, request: web.Request, kind: str) -> Object:
        query = request.query
        found = self._state.of(kind, **{name: query[name] for name in FILTERS if name in query})
        since = int(query.get("created[gte]", 0))
        found = [one for one in found if one["created"] >= since]
        if "starting_after" in query:
            ids = [one["id"] for one in found]
            found = found[ids.index(query["starting_after"]) + 1 :] if query["starting_after"] in ids else []
        limit = int(query.get("limit", 10))
        return {
            "object": "list", "data": found[:limit], "has_more": len(found) > limit, "url": f"/v1/{kind}s",
        }  # fmt: skip

    async def checkout(self, request: web.Request) -> web.Response:
        session = self._session(request)
        if request.method == "GET":
            return _page(_checkout_page(session))
        if (await request.post()).get("act") == "pay":
            session = self._state.pay(session)
            raise web.HTTPSeeOther(str(session["success_url"]).replace("{CHECKOUT_SESSION_ID}", session["id"]))
        if session["cancel_url"]:
            raise web.HTTPSeeOther(session["cancel_url"])
        return _page(_checkout_page(session))

    def _session(self, request: web.Request) -> Object:
        try:
            return self._state.get("session", request.match_info["id"])
        except NotThere:
            raise web.HTTPNotFound from None

    async def portal(self, request: web.Request) -> web.Response:
        try:
            portal = self._state.get("portal", request.match_info["id"])
        except NotThere:
            raise web.HTTPNotFound from None
        return _page(_portal_page(portal, self._state.of("invoice", customer=portal["customer"])))

    async def control(self, request: web.Request) -> web.Response:
        """`{"act": "refund", "id": "pi_…", "amount": 500}`; dispute, close_dispute (with `status`), fail_refund."""
        given = await request.json()
        acts: dict[str, Callable[[], Object]] = {
            "refund": lambda: self._state.refund(given["id"], given.get("amount")),
            "fail_refund": lambda: self._state.fail_refund(given["id"]),
            "dispute": lambda: self._state.dispute(given["id"]),
            "close_dispute": lambda: self._state.close_dispute(given["id"], given["status"]),
        }
        return _json(acts[given["act"]]())


def application(state: State, key: str) -> web.Application:
    door = Door(state, key)
    app = web.Application()
    app.add_routes([web.get("/v1/{path:.+}", door.api), web.post("/v1/{path:.+}", door.api)])
    app.add_routes([web.get("/pay/{id}", door.checkout), web.post("/pay/{id}", door.checkout)])
    app.add_routes([web.get("/portal/{id}", door.portal), web.post("/_control", door.control)])
    return app


def _origin(request: web.Request) -> str:
    return f"{request.scheme}://{request.host}"


def _json(value: object, status: int = 200) -> web.Response:
    return web.Response(text=json.dumps(value), status=status, content_type="application/json")


def _copy(answer: web.Response) -> web.Response:
    """A response is sent once."""
    return web.Response(text=answer.text, status=answer.status, content_type="application/json")


def _error(status: int, code: str, message: str) -> web.Response:
    kind = code if code == "idempotency_error" else "invalid_request_error"
    return _json({"error": {"type": kind, "code": code, "message": message}}, status)


def _page(body: str) -> web.Response:
    style = (
        "body{font:16px/1.6 system-ui;max-width:28rem;margin:3rem auto;padding:0 1rem;color:#1f2937}"
        "b.test{display:block;background:#fde68a;color:#713f12;padding:.5rem 1rem;border-radius:.5rem}"
        "button{font:inherit;padding:.6rem 1rem;border-radius:.5rem;border:1px solid #4b5563;background:#fff}"
        "button.main{background:#3730a3;color:#fff;border-color:#3730a3}form{display:inline}"
    )
    page = (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Test payment</title>'
        f'<meta name="viewport" content="width=device-width"><style>{style}</style></head>'
        f'<body><main><b class="test">Test mode: no money moves.</b>{body}</main></body></html>'
    )
    return web.Response(text=page, content_type="text/html")


def _checkout_page(session: Object) -> str:
    if session["status"] != "open":
        return f'<h1>Paid</h1><p><a href="{html.escape(session["success_url"])}">Back</a></p>'
    return (
        f"<h1>Pay ${session['amount_total'] / 100:.2f}</h1><p>This page stands where Stripe's own would be.</p>"
        '<form method="post"><button class="main" name="act" value="pay">Pay with the test card</button></form> '
        '<form method="post"><button name="act" value="cancel">Cancel</button></form>'
    )


def _portal_page(portal: Object, invoices: list[Object]) -> str:
    rows = "".join(f"<li>{one['number']}: ${one['total'] / 100:.2f}, {one['status']}</li>" for one in invoices)
    back = html.escape(portal["return_url"] or "/")
    return f'<h1>Invoices</h1><ul>{rows or "<li>None yet</li>"}</ul><p><a href="{back}">Back</a></p>'


async def serve(arguments: argparse.Namespace) -> None:
    state = State.load(arguments.state) if arguments.state else State()
    state.on_event = Deliveries(arguments.webhook, arguments.secret).send
    runner = web.AppRunner(application(state, arguments.key))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", arguments.port).start()
    await asyncio.Event().wait()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--key", required=True)
    parser.add_argument("--webhook", required=True)
    parser.add_argument("--secret", required=True)
    parser.add_argument("--state", type=Path)
    asyncio.run(serve(parser.parse_args()))


if __name__ == "__main__":
    main()
