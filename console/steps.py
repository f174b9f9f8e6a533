"""The first steps in an organisation, each ticked by something that really happened."""

from __future__ import annotations

from dataclasses import dataclass, replace

from django.urls import reverse
from django.utils.translation import gettext as _

from accounts.models import ApiKey, Organization
from accounts.roles import Permission
from console.offers import connections_in_sight, served_in_sight
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


def steps_of(organization: Organization) -> list[Step]:
    """In order; the first that is not done yet is marked as the one to do now."""
    asked = (_provider, _key, _machine, _first_call, _survived)
    steps = [_signed_in(), *(ask(organization) for ask in asked)]
    due = next((index for index, step in enumerate(steps) if not step.done), None)
    if due is not None:
        steps[due] = replace(steps[due], now=True)
    return steps


def _signed_in() -> Step:
    return Step(_("Sign in"), _("You are here."), True)


def _provider(organization: Organization) -> Step:
    return Step(
        _("Have a model to call"),
        _("Connect a provider with your own key, or use what the platform offers."),
        served_in_sight(organization).exists(),
        _("Add a provider"),
        reverse("providers-new"),
        permission=Permission.MANAGE_PROVIDERS,
    )


def _key(organization: Organization) -> Step:
    return Step(
        _("Create an API key"),
        _("Your application sends it in place of the provider's."),
        ApiKey.objects.of(organization).filter(is_ephemeral=False).exists(),
        _("Create key"),
        reverse("keys-new"),
        permission=Permission.MANAGE_OWN_KEYS,
    )


def _machine(organization: Organization) -> Step:
    """One that was enrolled, whatever became of it."""
    return Step(
        _("Add a machine of your own"),
        _("A PC or a GPU server answers beside your providers, and what it is asked stays with you."),
        Node.objects.of(organization).exists(),
        _("Add a machine"),
        reverse("nodes-new"),
        permission=Permission.MANAGE_NODES,
    )


def _first_call(organization: Organization) -> Step:
    return Step(
        _("Make the first call"),
        _("Change base_url and api_key in your client, or try a model right here."),
        Usage.objects.of(organization).filter(status__lt=400).exists(),
        _("Open the Playground"),
        reverse("playground"),
        permission=Permission.USE_PLAYGROUND,
    )


def _survived(organization: Organization) -> Step:
    """A request that was answered although its first target failed."""
    simulated = connections_in_sight(organization).filter(simulated=True, enabled=True).order_by("priority").first()
    return Step(
        _("See a request survive an outage"),
        _("Two providers for one model: when the first fails, the second answers, and your client notices nothing."),
        Usage.objects.of(organization).filter(status__lt=400, attempt_count__gt=1).exists(),
        _("Simulate an outage") if simulated else _("Add a second provider"),
        _outage_url(simulated),
        permission=Permission.MANAGE_PROVIDERS,
    )


def _outage_url(simulated: Connection | None) -> str:
    return reverse("providers-detail", args=[simulated.public_id]) if simulated else reverse("providers-new")
