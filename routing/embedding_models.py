"""By which names questions can be compared: what embeds and is served to an organisation."""

from __future__ import annotations

from collections.abc import Collection

from django.utils.translation import gettext as _

from accounts.errors import InvalidField
from accounts.models import Organization
from providers.schema import SUFFIXES
from providers.targets import Target
from routing.models import Route
from routing.rules import targets_of
from routing.sentences import parsed
from routing.tester import targets_now

MOST_TOLD = 10


def embedding_models(organization: Organization, routes: Collection[Route] | None = None) -> list[str]:
    """Args: routes: all of the organisation's, where they were read before.

    Returns: routes and models, then what is pinned to a provider or machine. A route's name counts before a model's.
    """
    embedding = [target for target in targets_now(organization).values() if _embeds(target)]
    models = {target.model_id for target in embedding if not target.named_only}
    pinned = {target.name for target in embedding}
    if routes is None:
        routes = list(Route.objects.of(organization))
    leading = {route.name for route in routes if route.enabled and _leads_to(route) & (models | pinned)}
    names = (models - {route.name for route in routes}) | leading
    return [*sorted(names), *sorted(pinned)]


def require_embedding(organization: Organization, name: str) -> None:
    """Raises: InvalidField: nobody serves an embedding model of this name; the message tells which there are."""
    there = embedding_models(organization)
    bare, _colon, suffix = name.rpartition(":")
    if name in there or (suffix in SUFFIXES and bare in there):
        return
    if not there:
        raise InvalidField.one("semantic", _("No embedding model is served here. Add one to a provider first."))
    names = ", ".join(there[:MOST_TOLD]) + (", …" if len(there) > MOST_TOLD else "")
    message = _("There is no embedding model “%(name)s” here that is served. There are: %(names)s.")
    raise InvalidField.one("semantic", message % {"name": name, "names": names})


def _embeds(target: Target) -> bool:
    return target.kind == "embedding" or "embeddings" in target.capabilities


def _leads_to(route: Route) -> set[str]:
    legs = {str(leg["target"]) for leg in route.targets}
    return legs.union(*(targets_of(parsed(sentence)) for sentence in route.rules))
