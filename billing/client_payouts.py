"""The door to Stripe for money that goes out: accounts of those who are paid, and transfers to them.

Raises as `billing.client`. A transfer is asked for once and never repeated by the SDK: whoever does not know what
came of it asks `find_transfer` first.
"""

from __future__ import annotations

from dataclasses import dataclass

from billing.client import USD, asking

MOST_TRANSFERS = 100


@dataclass(frozen=True, slots=True)
class Recipient:
    """`takes_transfers`: Stripe has verified it. `problem` is Stripe's code for what is missing."""

    id: str
    takes_transfers: bool
    problem: str


@dataclass(frozen=True, slots=True)
class Sent:
    """A transfer that Stripe has made."""

    id: str
    cents: int
    currency: str
    destination: str


def create_recipient(org_id: str, name: str, email: str, country: str) -> str:
    """Returns: the account's id. Source: https://docs.stripe.com/connect/accounts-v2"""
    with asking() as client:
        return client.v2.core.accounts.create(
            {
                "contact_email": email,
                "display_name": name,
                "dashboard": "express",
                "identity": {"country": country.lower()},
                "configuration": {
                    "recipient": {"capabilities": {"stripe_balance": {"stripe_transfers": {"requested": True}}}}
                },
                "defaults": {
                    "responsibilities": {"fees_collector": "application", "losses_collector": "application"},
                },
                "metadata": {"organization": org_id},
            },
            {"idempotency_key": f"recipient-{org_id}-{country.lower()}"},
        ).id


def open_onboarding(account_id: str, back_to: str, refresh_at: str) -> str:
    """A page of Stripe's on which they say who they are and where they want to be paid."""
    with asking() as client:
        return client.v2.core.account_links.create(
            {
                "account": account_id,
                "use_case": {
                    "type": "account_onboarding",
                    "account_onboarding": {
                        "return_url": back_to,
                        "refresh_url": refresh_at,
                    },
                },
            }
        ).url


def recipient(account_id: str) -> Recipient:
    with asking() as client:
        account = client.v2.core.accounts.retrieve(account_id, {"include": ["configuration.recipient"]})
        transfers = None
        if account.configuration and account.configuration.recipient:
            capabilities = account.configuration.recipient.capabilities
            transfers = capabilities and capabilities.stripe_balance and capabilities.stripe_balance.stripe_transfers
        if not transfers:
            return Recipient(account_id, False, "")
        codes = [str(detail.code) for detail in transfers.status_details or []]
        return Recipient(account_id, transfers.status == "active", codes[0] if codes else "")


def transfer(payout: str, destination: str, cents: int, key: str) -> Sent:
    with asking(retries=0) as client:
        made = client.v1.transfers.create(
            {
                "amount": cents,
                "currency": USD,
                "destination": destination,
                "transfer_group": payout,
                "metadata": {"payout": payout},
            },
            {"idempotency_key": key},
        )
        return Sent(made.id, made.amount, made.currency, destination)


def find_transfer(payout: str) -> Sent | None:
    """What was sent for this payout, if anything was."""
    with asking() as client:
        found = client.v1.transfers.list({"transfer_group": payout, "limit": MOST_TRANSFERS}).data
        if not found:
            return None
        to = found[0].destination
        return Sent(found[0].id, found[0].amount, found[0].currency, to if isinstance(to, str) else str(to and to.id))
