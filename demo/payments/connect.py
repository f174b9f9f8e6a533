"""Accounts of those who are paid, at the double: their hosted onboarding, and transfers to them."""

from __future__ import annotations

from demo.payments.state import Object, Refused, State

ACTIVE, PENDING, RESTRICTED = "active", "pending", "restricted"
WAITS_FOR = {
    PENDING: {"code": "requirements_pending_verification", "resolution": "no_resolution"},
    RESTRICTED: {"code": "requirements_past_due", "resolution": "provide_info"},
}


def create_account(state: State, given: Object) -> Object:
    if "recipient" not in (given.get("configuration") or {}):
        raise Refused("parameter_missing", "This double knows accounts that are recipients.")
    made = state.add("account", metadata=given.get("metadata") or {}, contact_email=given.get("contact_email"),
                     display_name=given.get("display_name"), identity=given.get("identity") or {})  # fmt: skip
    set_status(state, made["id"], RESTRICTED)
    return made


def set_status(state: State, account_id: str, status: str) -> Object:
    """`active` takes transfers; `pending` is what Stripe still checks; `restricted` lacks something."""
    account = state.get("account", account_id)
    waits = [WAITS_FOR[status]] if status in WAITS_FOR else []
    transfers = {"requested": True, "status": status, "status_details": waits}
    capabilities = {"stripe_balance": {"stripe_transfers": transfers}}
    account["configuration"] = {"recipient": {"applied": True, "capabilities": capabilities}}
    state.save()
    return account


def judge(state: State, account_id: str, status: str) -> Object:
    """As Stripe does in its own time, and tells."""
    account = set_status(state, account_id, status)
    state.happen("account.updated", account, account=account_id)
    return account


def open_onboarding(state: State, given: Object, origin: str) -> Object:
    state.get("account", given["account"])
    way = given["use_case"]["account_onboarding"]
    link = state.add("link", account=given["account"], return_url=way["return_url"])
    state.save()
    return link | {"url": f"{origin}/onboarding/{link['id']}"}


def reverse(state: State, transfer_id: str, amount: int | None) -> Object:
    """As the platform's owner does on Stripe's pages."""
    sent = state.get("transfer", transfer_id)
    left = sent["amount"] - sent["amount_reversed"]
    sent["amount_reversed"] += left if amount is None else min(amount, left)
    sent["reversed"] = sent["amount_reversed"] == sent["amount"]
    state.happen("transfer.reversed", sent)
    return sent


def transfer(state: State, given: Object) -> Object:
    """Raises: Refused: the account takes none, or there is not so much to send."""
    account = state.get("account", given["destination"])
    status = account["configuration"]["recipient"]["capabilities"]["stripe_balance"]["stripe_transfers"]["status"]
    if status != ACTIVE:
        text = "Your destination account needs to have at least the transfers capability enabled."
        raise Refused("insufficient_capabilities_for_transfer", text)
    amount = int(given["amount"])
    if state.funds_cents is not None and amount > state.funds_cents:
        raise Refused("balance_insufficient", "You have insufficient available funds in your Stripe account.")
    if state.funds_cents is not None:
        state.funds_cents -= amount
    made = state.add(
        "transfer", amount=amount, currency=given["currency"], destination=account["id"], reversed=False,
        amount_reversed=0, transfer_group=given.get("transfer_group"), metadata=given.get("metadata") or {},
    )  # fmt: skip
    state.happen("transfer.created", made)
    return made
