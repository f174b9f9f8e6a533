"""Cards at the double: saved on a hosted page, charged later with nobody there, declined when of that kind."""

from __future__ import annotations

from typing import Any

from demo.payments.state import CardRefused, Object, Refused, State

GOOD, DECLINED, DECLINED_LATER, ASKS = "good", "declined", "declined_later", "asks"
KINDS = {
    GOOD: ("4242", "A card that pays"),
    DECLINED: ("0002", "A card that is declined"),
    DECLINED_LATER: ("0341", "A card that is declined when it is charged later"),
    ASKS: ("3184", "A card whose bank asks its owner each time"),
}
REFUSALS = {
    DECLINED: ("card_declined", "generic_decline", "Your card was declined."),
    DECLINED_LATER: ("card_declined", "insufficient_funds", "Your card has insufficient funds."),
    ASKS: ("authentication_required", "authentication_required", "Your card was declined. Authenticate."),
}


def new_method(state: State, kind: str, customer: str | None) -> Object:
    last4 = KINDS[kind][0]
    card = {"brand": "visa", "last4": last4, "exp_month": 12, "exp_year": 2034}
    return state.add("method", type="card", card=card, customer=customer, behaves=kind)


def open_setup(state: State, given: Object, origin: str) -> Object:
    """A page on which to save a card without paying anything."""
    session = state.add(
        "session", mode="setup", status="open", payment_status="no_payment_required", payment_intent=None,
        setup_intent=None, customer=given["customer"], metadata=given.get("metadata") or {}, amount_total=None,
        currency=given.get("currency"), client_reference_id=given.get("client_reference_id"), invoice=None,
        success_url=given["success_url"], cancel_url=given.get("cancel_url"),
    )  # fmt: skip
    session["url"] = f"{origin}/pay/{session['id']}"
    state.save()
    return session


def save_card(state: State, session: Object, kind: str) -> Object:
    """As the customer's click does. Raises: CardRefused."""
    if session["status"] != "open":
        return session
    if kind == DECLINED:
        raise CardRefused(*REFUSALS[DECLINED], None)
    method = new_method(state, kind, session["customer"])
    intent = state.add(
        "setup", status="succeeded", payment_method=method["id"], customer=session["customer"],
        metadata=session["metadata"],
    )  # fmt: skip
    session |= {"status": "complete", "setup_intent": intent["id"], "url": None}
    state.happen("checkout.session.completed", session)
    return session


def charge(state: State, given: Object) -> Object:
    """A payment that is confirmed as it is made. Raises: CardRefused, Refused."""
    if given.get("confirm") != "true" or "payment_method" not in given:
        raise Refused("parameter_missing", "This double knows payments that are confirmed at once.")
    method = state.get("method", given["payment_method"])
    if method["customer"] != given.get("customer"):
        raise Refused("payment_method_customer_mismatch", "The card belongs to no such customer.")
    about: dict[str, Any] = {
        "amount": int(given["amount"]), "currency": given["currency"], "customer": given.get("customer"),
        "metadata": given.get("metadata") or {}, "method": method["id"],
    }  # fmt: skip
    if method["behaves"] in REFUSALS:
        raise CardRefused(*REFUSALS[method["behaves"]], state.fail_to_take(**about))
    return state.take(**about, invoiced=False)


def detach(state: State, method_id: str) -> Object:
    method = state.get("method", method_id)
    method["customer"] = None
    state.save()
    return method
