"""Stripe's API over the double's state: the calls that ShareAI makes, the hosted pages, and signed webhooks.

    python -m demo.payments.server --port 9105 --key sk_test_… --webhook http://127.0.0.1:8000/billing/stripe \\
        --secret whsec_… --state var/payments.json

From this machine, `/_control` does what happens at Stripe's side: refunds, disputes.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from aiohttp import web

from demo.payments import cards, connect, invoices, pages
from demo.payments.deliveries import Deliveries
from demo.payments.state import CardRefused, NotThere, Object, Refused, State

PATHS = {
    "customers": "customer", "checkout/sessions": "session", "payment_intents": "payment", "charges": "charge",
    "refunds": "refund", "disputes": "dispute", "events": "event", "invoices": "invoice",
    "payment_methods": "method", "setup_intents": "setup", "transfers": "transfer", "core/accounts": "account",
}  # fmt: skip
FILTERS = ("payment_intent", "customer", "type", "transfer_group", "destination")


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


CUT = ("cut", "pruned")


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
        given = json.loads(body or "{}") if request.path.startswith("/v2/") else nested(parse_qsl(body))
        fault = self._state.faults(request.match_info["path"], given) if request.method == "POST" else ""
        answer = _error(500, "api_error", "Try again.") if fault == "500" else self._act(request, given)
        if idempotency and fault != "pruned":
            self._answered[idempotency] = said, answer
        if fault in CUT and request.transport is not None:
            request.transport.abort()
        return _copy(answer)

    def forget_keys(self) -> None:
        """As Stripe does after a day."""
        self._answered.clear()

    def _act(self, request: web.Request, given: Object) -> web.Response:
        try:
            path = request.match_info["path"]
            return _json(self._post(request, path, given) if request.method == "POST" else self._get(request, path))
        except NotThere as missing:
            return _error(404, "resource_missing", str(missing))
        except Refused as refused:
            return _error(400, *refused.args)
        except CardRefused as refused:
            code, decline, text, payment = refused.args
            return _error(402, code, text, decline_code=decline, payment_intent=payment)

    def _post(self, request: web.Request, path: str, given: Object) -> Object:
        state, origin = self._state, _origin(request)
        acts: dict[str, Callable[[], Object]] = {
            "customers": lambda: self._customer(given),
            "checkout/sessions": lambda: (
                cards.open_setup(state, given, origin)
                if given.get("mode") == "setup"
                else state.open_session(given, origin)
            ),
            "payment_intents": lambda: cards.charge(state, given),
            "refunds": lambda: state.refund(given["payment_intent"], _whole(given, "amount")),
            "billing_portal/sessions": lambda: self._portal(given, origin),
            "core/accounts": lambda: connect.create_account(state, given),
            "core/account_links": lambda: connect.open_onboarding(state, given, origin),
            "transfers": lambda: connect.transfer(state, given),
            "invoices": lambda: invoices.draft(state, given),
            "invoiceitems": lambda: invoices.add_line(state, given),
        }
        if path in acts:
            return acts[path]()
        kind, _, rest = path.partition("/")
        if kind == "customers" and "/" not in rest:
            changed = state.get("customer", rest)
            changed |= given
            state.save()
            return changed
        if kind == "payment_methods" and rest.endswith("/detach"):
            return cards.detach(state, rest.removesuffix("/detach"))
        if kind == "invoices":
            id, _, what = rest.partition("/")
            return invoices.act(state, id, what, given)
        raise NotThere(f"Unrecognized request URL (POST: /v1/{path}).")

    def _customer(self, given: Object) -> Object:
        made = self._state.add(
            "customer", email=given.get("email"), name=given.get("name"), metadata=given["metadata"]
        )
        self._state.save()
        return made

    def _portal(self, given: Object, origin: str) -> Object:
        self._state.get("customer", given["customer"])
        portal = self._state.add("portal", customer=given["customer"], return_url=given.get("return_url"))
        return portal | {"url": f"{origin}/portal/{portal['id']}"}

    def _get(self, request: web.Request, path: str) -> Object:
        if path in PATHS:
            self._state.asked.append(path)
            if self._state.refuse_lists:
                raise (NotThere("Refused.") if self._state.refuse_lists == 404 else Refused("refused", "Refused."))
            return self._list(request, PATHS[path])
        stem, _, id = path.rpartition("/")
        if stem not in PATHS:
            raise NotThere(f"Unrecognized request URL (GET: /v1/{path}).")
        found = self._state.get(PATHS[stem], id)
        if stem == "invoices":
            return found | {"invoice_pdf": f"{_origin(request)}/invoices/{id}.pdf" if found["number"] else None}
        return found

    def _list(self, request: web.Request, kind: str) -> Object:
        query = request.query
        found = self._state.of(kind, **{name: query[name] for name in FILTERS if name in query})
        types = [value for name, value in query.items() if name.startswith("types[")]
        found = [one for one in found if not types or one["type"] in types]
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
        session = self._found("session", request)
        if request.method == "GET":
            return _page(pages.checkout(session))
        said = await request.post()
        if said.get("act") == "pay":
            try:
                session = self._paid(session, str(said.get("card", cards.GOOD)))
            except CardRefused as refused:
                return _page(pages.checkout(session, refused.args[2]))
            raise web.HTTPSeeOther(str(session["success_url"]).replace("{CHECKOUT_SESSION_ID}", session["id"]))
        if session["cancel_url"]:
            raise web.HTTPSeeOther(session["cancel_url"])
        return _page(pages.checkout(session))

    def _paid(self, session: Object, card: str) -> Object:
        """Here its owner is there to confirm: only a card that is always declined is declined."""
        if session["mode"] == "setup":
            return cards.save_card(self._state, session, card)
        if card == cards.DECLINED:
            raise CardRefused(*cards.REFUSALS[cards.DECLINED], None)
        kept = session["customer"] if session.get("keeps_card") else None
        return self._state.pay(session, cards.new_method(self._state, card, kept))

    def _found(self, kind: str, request: web.Request) -> Object:
        try:
            return self._state.get(kind, request.match_info["id"])
        except NotThere:
            raise web.HTTPNotFound from None

    async def portal(self, request: web.Request) -> web.Response:
        portal = self._found("portal", request)
        its = {"customer": portal["customer"]}
        return _page(pages.portal(portal, invoices.numbered(self._state, **its), self._state.of("method", **its)))

    async def invoice(self, request: web.Request) -> web.Response:
        invoice = self._found("invoice", request)
        if not invoice["number"]:
            raise web.HTTPNotFound
        body = pages.invoice(invoice, self._state.objects["customer"].get(str(invoice["customer"]), {}))
        name = f'attachment; filename="{invoice["number"]}.pdf"'
        return web.Response(body=body, content_type="application/pdf", headers={"Content-Disposition": name})

    async def onboarding(self, request: web.Request) -> web.Response:
        link = self._found("link", request)
        if request.method == "GET":
            return _page(pages.onboarding(self._state.get("account", link["account"])))
        status = {"finish": connect.ACTIVE, "hand_in": connect.PENDING}.get(str((await request.post()).get("act")))
        if status is not None:
            connect.set_status(self._state, link["account"], status)
        raise web.HTTPSeeOther(link["return_url"])

    async def control(self, request: web.Request) -> web.Response:
        """`{"act": "refund", "id": "pi_…", "amount": 500}`; fail_refund, dispute, close_dispute
        (with `status`), reverse_transfer, restrict_account, verify_account."""
        given = await request.json()
        acts: dict[str, Callable[[], Object]] = {
            "refund": lambda: self._state.refund(given["id"], given.get("amount")),
            "fail_refund": lambda: self._state.fail_refund(given["id"]),
            "dispute": lambda: self._state.dispute(given["id"]),
            "close_dispute": lambda: self._state.close_dispute(given["id"], given["status"]),
            "reverse_transfer": lambda: connect.reverse(self._state, given["id"], given.get("amount")),
            "restrict_account": lambda: connect.judge(self._state, given["id"], connect.RESTRICTED),
            "verify_account": lambda: connect.judge(self._state, given["id"], connect.ACTIVE),
        }
        return _json(acts[given["act"]]())


DOOR: web.AppKey[Door] = web.AppKey("door", Door)


def application(state: State, key: str) -> web.Application:
    door = Door(state, key)
    app = web.Application()
    for version in ("v1", "v2"):
        app.add_routes([web.route(method, f"/{version}/{{path:.+}}", door.api) for method in ("GET", "POST")])
    app.add_routes([web.get("/pay/{id}", door.checkout), web.post("/pay/{id}", door.checkout)])
    app.add_routes([web.get("/onboarding/{id}", door.onboarding), web.post("/onboarding/{id}", door.onboarding)])
    app.add_routes([web.get("/portal/{id}", door.portal), web.get("/invoices/{id}.pdf", door.invoice)])
    app.add_routes([web.post("/_control", door.control)])
    app[DOOR] = door
    return app


def _origin(request: web.Request) -> str:
    return f"{request.scheme}://{request.host}"


def _json(value: object, status: int = 200) -> web.Response:
    return web.Response(text=json.dumps(value), status=status, content_type="application/json")


def _copy(answer: web.Response) -> web.Response:
    """A response is sent once."""
    return web.Response(text=answer.text, status=answer.status, content_type="application/json")


def _error(status: int, code: str, message: str, **more: object) -> web.Response:
    kinds = {402: "card_error", 500: "api_error"}
    kind = code if code == "idempotency_error" else kinds.get(status, "invalid_request_error")
    return _json({"error": {"type": kind, "code": code, "message": message, **more}}, status)


def _page(body: str) -> web.Response:
    return web.Response(text=pages.page(body), content_type="text/html")


def _whole(given: Mapping[str, str], name: str) -> int | None:
    return int(given[name]) if name in given else None


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
