"""What a machine served lately, as its owner may see it: when, how much and for whom, never what was asked."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from django.utils import timezone

from accounts.models import Organization
from metering.models import Usage
from metering.served import newest_served
from nodes.models import Node, NodeModel, NodeShare
from nodes.sources import target_id_of

NEWEST = 10
LOOK_BACK = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Line:
    """
    Args:
        model: as the machine offers it.
        guest: who asked, where it is an organisation that the machine is shared with; "" for the owner's own
            and for strangers of the community, of whom nothing is told.
    """

    usage: Usage
    model: str
    is_own: bool
    guest: str = ""


def served_lines(node: Node) -> list[Line]:
    models = {target_id_of(row): row for row in node.served_models.all()}
    usages = newest_served(list(models), timezone.now() - LOOK_BACK, NEWEST)
    guests = _named_guests(node, {usage.org_id for usage in usages})
    return [_line(node, usage, models[usage.target_id or 0], guests) for usage in usages]


def _line(node: Node, usage: Usage, model: NodeModel, guests: dict[int, str]) -> Line:
    return Line(usage, model.model_id, usage.org_id == node.org_id, guests.get(usage.org_id, ""))


def _named_guests(node: Node, org_ids: set[int]) -> dict[int, str]:
    """Only those that the owner named itself."""
    named = NodeShare.objects.filter(node=node, guest__in=org_ids).values_list("guest", flat=True)
    return dict(Organization.objects.filter(pk__in=list(named)).values_list("pk", "name"))
