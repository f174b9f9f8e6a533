"""Use cases of routes that are not live yet: draft, test, publish; and the way back to what was.

A draft is checked like a route when it is saved, and again when it is published: targets may have gone meanwhile.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from django.utils.translation import gettext as _

from accounts.audit import Actor, record
from accounts.authority import authority_of
from accounts.changes import changing
from accounts.errors import InvalidField
from accounts.models import Organization
from accounts.roles import Permission
from common.ids import new_id
from providers.schema import Call
from routing.explanation import Explanation
from routing.models import Route, RouteDraft, RouteVersion
from routing.services import check_content, put_route, require_targets, route_name
from routing.snapshots import OrgSnapshot
from routing.sources import route_record
from routing.tester import explain_in, snapshot_now
from routing.versions import CONTENT, current_version


def save_draft(organization: Organization, actor: Actor, name: str, given: Mapping[str, Any]) -> RouteDraft:
    """Makes the draft of this name, or replaces it; the route of that name, if there is one, stays as it is.

    Raises:
        NotPermitted: the actor may not manage routes.
        InvalidField: as for a route.
    """
    content = check_content(given, name)
    name = route_name(name)
    with changing(organization):
        authority_of(organization, actor).require(Permission.MANAGE_ROUTES)
        require_targets(organization, content)
        draft = RouteDraft.objects.of(organization).filter(name=name).first()
        before = _said(draft) if draft else None
        if draft is None:
            route = Route.objects.of(organization).filter(name=name).first()
            based_on = current_version(route) if route else None
            draft = RouteDraft(org=organization, public_id=new_id("draft"), name=name, based_on=based_on)
        draft.content = content
        draft.save()
        record(
            organization,
            actor,
            "route.drafted",
            "route",
            draft.public_id,
            label=name,
            before=before,
            after=_said(draft),
        )
    return draft


def discard_draft(draft: RouteDraft, actor: Actor) -> None:
    organization = draft.org
    with changing(organization):
        authority_of(organization, actor).require(Permission.MANAGE_ROUTES)
        record(
            organization,
            actor,
            "route.draft_discarded",
            "route",
            draft.public_id,
            label=draft.name,
            before=_said(draft),
        )
        draft.delete()


def publish_draft(draft: RouteDraft, actor: Actor) -> Route:
    """The draft becomes the route, which every process serves within a second.

    Raises:
        NotPermitted, InvalidField: as for a route; then the draft stays.
    """
    with changing(draft.org):
        route = put_route(draft.org, actor, draft.name, draft.content)
        RouteDraft.objects.of(draft.org).filter(pk=draft.pk).delete()
    return route


def roll_back(route: Route, actor: Actor, number: int) -> Route:
    """Publishes what an earlier version said, as a new version.

    Raises:
        NotPermitted: the actor may not manage routes.
        InvalidField: there is no such version, or its targets are gone.
    """
    version = RouteVersion.objects.of(route.org).filter(route=route, number=number).first()
    if version is None:
        raise InvalidField.one("version", _("This route has no version %(number)d.") % {"number": number})
    return put_route(route.org, actor, route.name, version.content, restored=number)


def explain_draft(draft: RouteDraft, call: Call, key_id: str = "") -> Explanation:
    """Where a call of the draft's name would go if the draft were live."""
    return explain_in(snapshot_with(draft.org, draft.name, draft.content), call, key_id)


def snapshot_with(organization: Organization, name: str, content: Mapping[str, Any]) -> OrgSnapshot:
    """The organisation as it would be if its route of this name said this."""
    snapshot = snapshot_now(organization)
    row = Route(org=organization, name=name, **{field: content[field] for field in CONTENT})
    routes = {**snapshot.routes, name: route_record(row)}
    return msgspec.structs.replace(snapshot, routes=routes)


def _said(draft: RouteDraft) -> dict[str, Any]:
    return {"name": draft.name, **draft.content}
