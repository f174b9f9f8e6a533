"""What the seed does for earnings: causes to choose, and a second organisation that may use the demo's machine.

The machine itself stays private until its owner offers it: that, a price and a request of the guests make it earn.
"""

from __future__ import annotations

from accounts.audit import Actor
from accounts.models import Organization, User
from accounts.organizations import create_organization, update_organization
from billing import credits
from billing.earnings import causes
from billing.earnings.models import Cause
from common.money import NANOS_PER_USD

GUESTS = "Demo guests"
GUEST_NANOS = 10 * NANOS_PER_USD
CAUSES = (
    ("Trees for All", "Plants trees with schools; made up for this demo."),
    ("Clean Water", "Digs and mends wells; made up for this demo."),
)


def seed_earnings(owner: User, actor: Actor) -> None:
    """Makes what was never there; what somebody changed, closed or deleted stays so."""
    if not Cause.objects.exists():
        for name, summary in CAUSES:
            causes.add({"name": name, "summary": summary})
    if not Organization.objects.filter(name=GUESTS).exists():
        guests = create_organization(owner, GUESTS)
        update_organization(guests, actor, uses_community_nodes=True)
        credits.give(guests, actor, GUEST_NANOS, purpose="welcome", reason="Welcome")
