"""What the double remembers, and what each act changes. Pure, but for the clock and random ids."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Object = dict[str, Any]

PREFIXES = {
    "customer": "cus", "session": "cs_test", "payment": "pi", "charge": "ch", "refund": "re", "dispute": "dp",
    "event": "evt", "portal": "bps", "invoice": "in", "method": "pm", "setup": "seti", "account": "acct",
    "link": "acctlink", "transfer": "tr", "line": "ii",
}  # fmt: skip
KINDS = tuple(PREFIXES)
NAMES = {
    "session": "checkout.session", "payment": "payment_intent", "portal": "billing_portal.session",
    "method": "payment_method", "setup": "setup_intent", "account": "v2.core.account", "link": "v2.core.account_link",
    "line": "invoiceitem",
}  # fmt: skip


class NotThere(Exception):
    """There is no such object."""


class Refused(Exception):
    """Stripe would answer 400. Args: code, message."""


class CardRefused(Exception):
    """Stripe would answer 402. Args: code, decline code, message, the payment that came to nothing."""


def no_fault(path: str, given: Object) -> str:
    return ""


@dataclass(slots=True)
class State:
    """`on_event` is told of each event as it happens.

    `faults` says of each POST what goes wrong with it: "" nothing, "500" (nothing is done), "cut" (it is done, the
    answer is lost), "pruned" (the same, and the idempotency key is forgotten). `funds_cents` is what can be sent on;
    None is no end of it. `refuse_lists` is the status with which each question for a list is refused; 0 refuses none.
    `asked` has the lists that were asked for.
    """

    objects: dict[str, dict[str, Object]] = field(default_factory=lambda: {kind: {} for kind in KINDS})
    on_event: Callable[[Object], None] = lambda event: None
    path: Path | None = None
    faults: Callable[[str, Object], str] = no_fault
    funds_cents: int | None = None
    refuse_lists: int = 0
    asked: list[str] = field(default_factory=list)

    @classmethod
    def load(cls, path: Path) -> State:
        state = cls(path=path)
        if path.exists():
            state.objects |= json.loads(path.read_text())
        return state

    def save(self) -> None:
        if self.path is not None:
            self.path.write_text(json.dumps(self.objects))

    def get(self, kind: str, id: str) -> Object:
        if id not in self.objects[kind]:
            raise NotThere(f"No such {NAMES.get(kind, kind)}: '{id}'")
        return self.objects[kind][id]

    def of(self, kind: str, **matching: Any) -> list[Object]:
        """Newest first."""
        found = self.objects[kind].values()
        return [one for one in reversed(found) if all(one.get(key) == value for key, value in matching.items())]

    def add(self, kind: str, **fields: Any) -> Object:
        id = f"{PREFIXES[kind]}_{secrets.token_hex(12)}"
        made = {"id": id, "object": NAMES.get(kind, kind), "created": int(time.time()), "livemode": False, **fields}
        self.objects[kind][id] = made
        return made

    def happen(self, type: str, about: Object, **more: Any) -> Object:
        event = self.add("event", type=type, api_version="2026-10-28.endive", data={"object": dict(about)}, **more)
        self.save()
        self.on_event(event)
        return event

    # -- acts ----------------------------------------------------------------------------------

    def open_session(self, given: Object, address: str) -> Object:
        lines = given.get("line_items") or []
        if not lines or given.get("mode") != "payment":
            raise Refused("parameter_missing", "This double knows mode=payment with line items.")
        price = lines[0]["price_data"]
        paid_with = given.get("payment_intent_data") or {}
        session = self.add(
            "session", mode="payment", status="open", payment_status="unpaid", payment_intent=None,
            customer=given.get("customer"), currency=price["currency"],
            amount_total=int(price["unit_amount"]) * int(lines[0].get("quantity", 1)),
            client_reference_id=given.get("client_reference_id"), metadata=given.get("metadata") or {},
            success_url=given["success_url"], cancel_url=given.get("cancel_url"),
            payment_metadata=paid_with.get("metadata") or {}, setup_intent=None, invoice=None,
            keeps_card=paid_with.get("setup_future_usage"),
        )  # fmt: skip
        session["url"] = f"{address}/pay/{session['id']}"
        self.save()
        return session

    def pay(self, session: Object, method: Object | None = None) -> Object:
        """As the customer's click does. Paying what is paid changes nothing."""
        if session["status"] != "open":
            return session
        payment = self.take(
            session["amount_total"], session["currency"], session["customer"], session["payment_metadata"],
            method=method["id"] if method else None, keeps_card=session.get("keeps_card"),
        )  # fmt: skip
        session |= {"status": "complete", "payment_status": "paid", "payment_intent": payment["id"], "url": None}
        session["invoice"] = payment["invoice"]
        self.happen("checkout.session.completed", session)
        return session

    def take(
        self,
        amount: int,
        currency: str,
        customer: str | None,
        metadata: Object,
        *,
        method: str | None = None,
        keeps_card: str | None = None,
        invoiced: bool = True,
    ) -> Object:
        payment = self.add(
            "payment", amount=amount, amount_received=amount, currency=currency, status="succeeded",
            customer=customer, metadata=metadata, payment_method=method, setup_future_usage=keeps_card, invoice=None,
        )  # fmt: skip
        charge = self.add(
            "charge", amount=amount, currency=currency, payment_intent=payment["id"], status="succeeded", paid=True
        )
        payment["latest_charge"] = charge["id"]
        if invoiced:
            payment["invoice"] = self._invoice(amount, currency, customer)["id"]
        self.happen("payment_intent.succeeded", payment)
        return payment

    def fail_to_take(
        self, amount: int, currency: str, customer: str | None, metadata: Object, method: str | None
    ) -> Object:
        payment = self.add(
            "payment", amount=amount, amount_received=0, currency=currency, status="requires_payment_method",
            customer=customer, metadata=metadata, payment_method=None, setup_future_usage=None, invoice=None,
            latest_charge=None, tried=method,
        )  # fmt: skip
        self.happen("payment_intent.payment_failed", payment)
        return payment

    def _invoice(self, amount: int, currency: str, customer: str | None) -> Object:
        number = sum(one["number"] is not None for one in self.objects["invoice"].values()) + 1
        return self.add(
            "invoice", customer=customer, total=amount, currency=currency, status="paid", number=f"TEST-{number:04d}",
            metadata={}, amount_paid=amount,
        )  # fmt: skip

    def refund(self, payment_id: str, amount: int | None) -> Object:
        payment = self.get("payment", payment_id)
        before = sum(one["amount"] for one in self.of("refund", payment_intent=payment_id, status="succeeded"))
        amount = payment["amount_received"] - before if amount is None else amount
        if not 0 < amount <= payment["amount_received"] - before:
            raise Refused("charge_already_refunded", "The refund is larger than what is left of the payment.")
        made = self.add(
            "refund", amount=amount, currency=payment["currency"], payment_intent=payment_id,
            charge=payment["latest_charge"], status="succeeded",
        )  # fmt: skip
        self.happen("refund.created", made)
        self.happen("charge.refunded", self.get("charge", payment["latest_charge"]))
        return made

    def fail_refund(self, refund_id: str) -> Object:
        refund = self.get("refund", refund_id)
        refund["status"] = "failed"
        self.happen("refund.failed", refund)
        return refund

    def dispute(self, payment_id: str) -> Object:
        payment = self.get("payment", payment_id)
        made = self.add(
            "dispute", amount=payment["amount_received"], currency=payment["currency"], payment_intent=payment_id,
            charge=payment["latest_charge"], status="needs_response",
        )  # fmt: skip
        self.happen("charge.dispute.created", made)
        self.happen("charge.dispute.funds_withdrawn", made)
        return made

    def close_dispute(self, dispute_id: str, status: str) -> Object:
        dispute = self.get("dispute", dispute_id)
        dispute["status"] = status
        self.happen("charge.dispute.closed", dispute)
        return dispute
