"""Invoices made by hand at the double: drafted, given lines, finalised, paid by a payment that there is already."""

from __future__ import annotations

from typing import Any

from demo.payments.state import NotThere, Object, Refused, State


def draft(state: State, given: Object) -> Object:
    if given.get("auto_advance") != "false" or given.get("pending_invoice_items_behavior") != "exclude":
        raise Refused("parameter_missing", "This double knows invoices that collect and add nothing by themselves.")
    state.get("customer", given["customer"])
    made = state.add(
        "invoice", customer=given["customer"], currency=given["currency"], status="draft", number=None, total=0,
        amount_paid=0, metadata=given.get("metadata") or {}, effective_at=int(given["effective_at"]),
        auto_advance=False,
    )  # fmt: skip
    state.save()
    return made


def add_line(state: State, given: Object) -> Object:
    invoice = _in(state, given["invoice"], "draft")
    if (invoice["customer"], invoice["currency"]) != (given["customer"], given["currency"]):
        raise Refused("invoice_customer_mismatch", "The invoice is another customer's, or in another currency.")
    made = state.add(
        "line", invoice=invoice["id"], customer=given["customer"], amount=int(given["amount"]),
        currency=given["currency"], description=given.get("description"),
    )  # fmt: skip
    invoice["total"] += made["amount"]
    state.save()
    return made


def act(state: State, id: str, what: str, given: Object) -> Object:
    """What is done with one. Raises: NotThere, Refused."""
    if what == "finalize":
        return _finalize(state, _in(state, id, "draft"))
    if what == "attach_payment":
        return _attach(state, _in(state, id, "open"), state.get("payment", given["payment_intent"]))
    raise NotThere(f"Unrecognized request URL (POST: /v1/invoices/{id}/{what}).")


def numbered(state: State, **matching: Any) -> list[Object]:
    """Those that their customer sees."""
    return [one for one in state.of("invoice", **matching) if one["number"]]


def _in(state: State, id: str, status: str) -> Object:
    invoice = state.get("invoice", id)
    if invoice["status"] != status:
        raise Refused("invoice_not_editable", f"The invoice is {invoice['status']}, not {status}.")
    return invoice


def _finalize(state: State, invoice: Object) -> Object:
    number = sum(one["number"] is not None for one in state.of("invoice")) + 1
    invoice |= {"status": "open" if invoice["total"] else "paid", "number": f"TEST-{number:04d}"}
    state.happen("invoice.finalized", invoice)
    return invoice


def _attach(state: State, invoice: Object, payment: Object) -> Object:
    if (payment["customer"], payment["currency"]) != (invoice["customer"], invoice["currency"]):
        raise Refused("payment_intent_mismatch", "The payment is another customer's, or in another currency.")
    if payment["status"] != "succeeded" or payment["invoice"] is not None:
        raise Refused("payment_intent_unexpected_state", "The payment came to nothing, or has paid another invoice.")
    payment["invoice"] = invoice["id"]
    invoice["amount_paid"] += payment["amount_received"]
    if invoice["amount_paid"] >= invoice["total"]:
        invoice["status"] = "paid"
        state.happen("invoice.paid", invoice)
    state.save()
    return invoice
