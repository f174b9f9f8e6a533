"""Routes for one click: a draft made of what the organisation can call, to be looked at, changed and published."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from accounts.models import Organization
from providers.targets import CLOUD, OWN, Target
from routing.services import MOST_TARGETS
from routing.tester import targets_now

Content = dict[str, Any]
Make = Callable[[Sequence[str], Sequence[str]], Content]
"""From the names of cloud targets and of own machines."""


@dataclass(frozen=True, slots=True)
class Template:
    """`needs_cloud` and `needs_machine` say what must be there for it to make sense."""

    slug: str
    label: Promise
    text: Promise
    icon: str
    make: Make
    needs_cloud: bool = True
    needs_machine: bool = True


@dataclass(frozen=True, slots=True)
class Offered:
    """A template, and whether this organisation has what it takes."""

    template: Template
    content: Content | None


def _legs(names: Sequence[str], tier: int = 0) -> list[dict[str, Any]]:
    return [{"target": name, "weight": 1, "tier": tier} for name in names]


def _cheapest_then_machines(clouds: Sequence[str], machines: Sequence[str]) -> Content:
    return {"strategy": "cheapest", "targets": [*_legs(clouds), *_legs(machines, 1)]}


def _machines_then_cloud(clouds: Sequence[str], machines: Sequence[str]) -> Content:
    legs = [*_legs(machines), *_legs(clouds)]
    return {"strategy": "least_busy", "targets": legs, "spill_over": {"queue_above": 2, "first_token_above_s": 5.0}}


def _private(clouds: Sequence[str], machines: Sequence[str]) -> Content:
    return {"strategy": "least_busy", "targets": _legs(machines), "private": True}


TEMPLATES = (
    Template(
        "cheapest-then-my-node",
        _("Cheapest, then my node on error"),
        _("The cheapest provider answers; when providers fail, a machine of your own does."),
        "piggy-bank",
        _cheapest_then_machines,
    ),
    Template(
        "my-nodes-first",
        _("My nodes first, cloud when busy"),
        _("Your machines answer; when they are busy or slow, providers help out."),
        "server",
        _machines_then_cloud,
    ),
    Template(
        "private-only",
        _("Private only"),
        _("Your machines answer or nobody does: nothing leaves your infrastructure."),
        "lock",
        _private,
        needs_cloud=False,
    ),
)


def offered(organization: Organization) -> list[Offered]:
    """All templates, those that can be used filled in."""
    targets = [target for target in targets_now(organization).values() if target.kind == "chat"]
    clouds, machines = _names(targets, CLOUD), _names(targets, OWN)
    return [Offered(each, _filled(each, clouds, machines)) for each in TEMPLATES]


def _names(targets: Sequence[Target], place: str) -> list[str]:
    return sorted(target.name for target in targets if target.place == place)[: MOST_TARGETS // 2]


def _filled(template: Template, clouds: Sequence[str], machines: Sequence[str]) -> Content | None:
    if (template.needs_cloud and not clouds) or (template.needs_machine and not machines):
        return None
    return template.make(clouds, machines)
