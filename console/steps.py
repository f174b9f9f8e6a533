"""The first steps in an organisation, each ticked by something that really happened."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from django.db.models import Exists
from django.urls import reverse
from django.utils.translation import gettext as _

from accounts.models import ApiKey, Organization
from accounts.roles import Permission
from console.offers import served_in_sight
from metering.models import Usage
from nodes.models import Node
from providers.models import Connection


@dataclass(frozen=True, slots=True)
class Step:
    title: str
    text: str
    done: bool
    action: str = ""
    url: str = ""
    now: bool = False
    permission: Permission = Permission.VIEW
    """What the action needs."""


@dataclass(frozen=True, slots=True)
class _Facts:
    """What really happened, all of it asked in one question."""

    has_models: bool
    has_keys: bool
    has_machines: bool
    has_called: bool
    has_survived: bool


def steps_of(organization: Organization, connections: Iterable[Connection]) -> list[Step]:
    """In order; the first that is not done yet is marked as the one to do now.

    Args:
        connections: those that the organisation may use.
    """
    facts = _facts_of(organization)
    steps = [
        Step(_("Sign in"), _("You are here."), True),
        *(_provider(facts), _key(facts), _machine(facts), _first_call(facts)),
        _survived(facts, connections),
    ]
    return due_marked(steps)


def due_marked(steps: Sequence[Step]) -> list[Step]:
    """The first that is not done yet is the one to do now."""
    due = next((index for index, step in enumerate(steps) if not step.done), None)
    return [replace(step, now=index == due) for index, step in enumerate(steps)]


def _facts_of(organization: Organization) -> _Facts:
    """A machine counts that was enrolled, whatever became of it; a request survived whose first target failed."""
    answered = Usage.objects.of(organization).filter(status__lt=400)
    asked = (
        served_in_sight(organization),
        ApiKey.objects.of(organization).filter(is_ephemeral=False),
        Node.objects.of(organization),
        answered,
        answered.filter(attempt_count__gt=1),
    )
    rows = Organization.objects.filter(pk=organization.pk).values_list(*(Exists(each) for each in asked))
    return _Facts(*rows.get())


def _provider(facts: _Facts) -> Step:
    return Step(
        _("Have a model to call"),
        _("Connect a provider with your own key, or use what the platform offers."),
        facts.has_models,
        _("Add a provider"),
        reverse("providers-new"),
        permission=Permission.MANAGE_PROVIDERS,
    )


def _key(facts: _Facts) -> Step:
    return Step(
        _("Create an API key"),
        _("Your application sends it in place of the provider's."),
        facts.has_keys,
        _("Create key"),
        reverse("keys-new"),
        permission=Permission.MANAGE_OWN_KEYS,
    )


def _machine(facts: _Facts) -> Step:
    return Step(
        _("Add a machine of your own"),
        _("A PC or a GPU server answers beside your providers, and what it is asked stays with you."),
        facts.has_machines,
        _("Add a machine"),
        reverse("nodes-new"),
        permission=Permission.MANAGE_NODES,
    )


def _first_call(facts: _Facts) -> Step:
    return Step(
        _("Make the first call"),
        _("Change base_url and api_key in your client, or try a model right here."),
        facts.has_called,
        _("Open the Playground"),
        reverse("playground"),
        permission=Permission.USE_PLAYGROUND,
    )


def _survived(facts: _Facts, connections: Iterable[Connection]) -> Step:
    simulated = next((each for each in connections if each.simulated and each.enabled), None)
    return Step(
        _("See a request survive an outage"),
        _("Two providers for one model: when the first fails, the second answers, and your client notices nothing."),
        facts.has_survived,
        _("Simulate an outage") if simulated else _("Add a second provider"),
        _outage_url(simulated),
        permission=Permission.MANAGE_PROVIDERS,
    )


def _outage_url(simulated: Connection | None) -> str:
    return reverse("providers-detail", args=[simulated.public_id]) if simulated else reverse("providers-new")
