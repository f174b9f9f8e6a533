"""The hosted pages of the double: paying, saving a card, the portal, onboarding. Each says that no money moves."""

from __future__ import annotations

import html

from demo.payments.cards import GOOD, KINDS
from demo.payments.connect import ACTIVE, PENDING
from demo.payments.pdf import pdf_of
from demo.payments.state import Object

STYLE = (
    "body{font:16px/1.6 system-ui;max-width:28rem;margin:3rem auto;padding:0 1rem;color:#1f2937}"
    "b.test{display:block;background:#fde68a;color:#713f12;padding:.5rem 1rem;border-radius:.5rem}"
    "p.bad{background:#fee2e2;color:#7f1d1d;padding:.5rem 1rem;border-radius:.5rem}"
    "button{font:inherit;padding:.6rem 1rem;border-radius:.5rem;border:1px solid #4b5563;background:#fff}"
    "button.main{background:#3730a3;color:#fff;border-color:#3730a3}form{display:inline}"
    "label{display:block;margin:.4rem 0}li{margin:.3rem 0}"
)


def page(body: str) -> str:
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Test payment</title>'
        '<meta name="viewport" content="width=device-width"><link rel="icon" href="data:,">'
        f"<style>{STYLE}</style></head>"
        f'<body><main><b class="test">Test mode: no money moves.</b>{body}</main></body></html>'
    )


def checkout(session: Object, refusal: str = "") -> str:
    if session["status"] != "open":
        return f'<h1>Done</h1><p><a href="{html.escape(session["success_url"])}">Back</a></p>'
    saves = session["mode"] == "setup"
    title = "Save a card" if saves else f"Pay ${session['amount_total'] / 100:.2f}"
    button = "Save this card" if saves else "Pay with the test card"
    bad = f'<p class="bad" role="alert">{html.escape(refusal)}</p>' if refusal else ""
    return (
        f"<h1>{title}</h1>{bad}<p>This page stands where Stripe's own would be.</p>"
        f'<form method="post">{_cards()}<button class="main" name="act" value="pay">{button}</button></form> '
        '<form method="post"><button name="act" value="cancel">Cancel</button></form>'
    )


def _cards() -> str:
    return "".join(
        f'<label><input type="radio" name="card" value="{kind}"{" checked" if kind == GOOD else ""}>'
        f" •••• {last4}: {text}</label>"
        for kind, (last4, text) in KINDS.items()
    )


def portal(shown: Object, invoices: list[Object], methods: list[Object]) -> str:
    rows = "".join(
        f'<li><a href="/invoices/{one["id"]}.pdf">'
        f"{one['number']}: ${one['total'] / 100:.2f}, {one['status']}</a></li>"
        for one in invoices
    )
    cards = "".join(f"<li>•••• {one['card']['last4']}</li>" for one in methods)
    back = html.escape(shown["return_url"] or "/")
    return (
        f"<h1>Invoices</h1><ul>{rows or '<li>None yet</li>'}</ul>"
        f"<h2>Cards</h2><ul>{cards or '<li>None saved</li>'}</ul>"
        f'<p><a href="{back}">Back</a></p>'
    )


def onboarding(account: Object) -> str:
    status = account["configuration"]["recipient"]["capabilities"]["stripe_balance"]["stripe_transfers"]["status"]
    said = {ACTIVE: "is complete", PENDING: "is being checked"}.get(status, "needs a little more")
    return (
        f"<h1>Get paid</h1><p>The account of {html.escape(str(account['display_name']))} {said}.</p>"
        '<form method="post"><button class="main" name="act" value="finish">Give test details</button></form> '
        '<form method="post"><button name="act" value="hand_in">Give details to be checked</button></form> '
        '<form method="post"><button name="act" value="later">Later</button></form>'
    )


def invoice(shown: Object, customer: Object) -> bytes:
    address = customer.get("address") or {}
    settings = customer.get("invoice_settings") or {}
    fields = [f"{one['name']}: {one['value']}" for one in settings.get("custom_fields") or []]
    where = [str(address[part]) for part in ("line1", "line2", "postal_code", "city", "country") if address.get(part)]
    return pdf_of(
        [
            f"Invoice {shown['number']}", "TEST MODE: no money moved", "",
            f"Billed to: {customer.get('name') or ''}", *where, *fields, "",
            f"ShareAI credits: ${shown['total'] / 100:.2f} ({shown['status']})",
        ]
    )  # fmt: skip
