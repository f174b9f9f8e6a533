"""Use cases of canaries: a draft on trial with a part of a route's requests, to be promoted or rolled back.

It is rolled back when, of at least so many requests, its share of failures is so many points above that of the stable
version, over its last minutes or over all of its time.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from django.conf import settings
from django.db import DatabaseError, transaction
from django.db.models import Q, Sum
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts import audit, mail
from accounts.audit import Actor
from accounts.authority import require
from accounts.changes import changing
from accounts.errors import InvalidField, OrganizationGone
from accounts.models import Membership
from accounts.roles import ADMIN, OWNER, Permission
from common.ids import new_id
from common.numbers import is_whole
from routing.models import Canary, CanaryCount, Route, RouteDraft
from routing.services import check_content, put_route, require_targets

MOST_PERCENT = 99
RECENT = timedelta(minutes=10)
LEAST_REQUESTS, MOST_LEAST_REQUESTS = 50, 1_000_000
MOST_ERROR_PERCENT = 5
BY_HAND, ERRORS = "by_hand", "errors"
ACTOR = Actor.system("canaries")

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Figures:
    """Of one version while the canary runs. Times are means, in milliseconds; None where nothing was timed."""

    requests: int = 0
    errors: int = 0
    ttft_ms: float | None = None
    duration_ms: float | None = None
    cost_nanos: float | None = None

    @property
    def error_percent(self) -> float:
        return 100 * self.errors / self.requests if self.requests else 0.0


@dataclass(frozen=True, slots=True)
class Comparison:
    canary: Figures
    stable: Figures

    def is_worse(self, row: Canary) -> bool:
        if self.canary.requests < row.least_requests:
            return False
        return self.canary.error_percent - self.stable.error_percent > row.most_error_percent


def running_of(route: Route) -> Canary | None:
    return Canary.objects.filter(route=route, state=Canary.RUNNING).first()


def start(
    draft: RouteDraft,
    actor: Actor,
    percent: int,
    *,
    most_error_percent: int = MOST_ERROR_PERCENT,
    least_requests: int = LEAST_REQUESTS,
) -> Canary:
    """Puts what the draft says on trial. The draft stays.

    Raises:
        NotPermitted: the actor may not manage routes.
        InvalidField: naming the field; there is no live route, or a canary runs already.
    """
    _check(percent, most_error_percent, least_requests)
    with changing(draft.org) as held:
        require(held, actor, Permission.MANAGE_ROUTES)
        route = Route.objects.of(held).filter(name=draft.name, enabled=True).first()
        if route is None:
            raise InvalidField.one("name", _("A canary needs a live route beside it. Publish the draft."))
        if running_of(route) is not None:
            raise InvalidField.one("name", _("A canary of this route runs already. Promote it or roll it back."))
        content = check_content(draft.content, draft.name)
        if content["private"] != route.private or not content["enabled"]:
            message = _("A canary is switched on, and as private as its route.")
            raise InvalidField.one("private", message)
        require_targets(held, content)
        row = Canary.objects.create(
            org=held,
            public_id=new_id("canary"),
            route=route,
            content=content,
            percent=percent,
            most_error_percent=most_error_percent,
            least_requests=least_requests,
            actor_label=actor.label[:254],
        )
        _record(row, actor, "canary.started", None, {**_said(row), "content": content})
    return row


def set_percent(row: Canary, actor: Actor, percent: int) -> Canary:
    """Raises: NotPermitted, InvalidField."""
    _check(percent, row.most_error_percent, row.least_requests)
    with changing(row.org) as held:
        require(held, actor, Permission.MANAGE_ROUTES)
        row = _still_running(row)
        before = _said(row)
        if row.percent != percent:
            row.percent = percent
            row.save(update_fields=["percent"])
            _record(row, actor, "canary.changed", before, _said(row))
    return row


def promote(row: Canary, actor: Actor) -> Route:
    """It becomes the route, as a new version; its draft goes. Raises: NotPermitted, InvalidField."""
    with changing(row.org) as held:
        require(held, actor, Permission.MANAGE_ROUTES)
        row = _still_running(row)
        before = _said(row)
        _end(row, Canary.PROMOTED, BY_HAND)
        route = put_route(held, actor, row.route.name, row.content)
        RouteDraft.objects.of(held).filter(name=route.name, content=row.content).delete()
        _record(row, actor, "canary.promoted", before, _said(row) | _told(compare(row)))
    return route


def roll_back(row: Canary, actor: Actor, reason: str = BY_HAND) -> Canary:
    """All requests go to the stable version again; the draft stays. Raises: NotPermitted, InvalidField."""
    with changing(row.org) as held:
        require(held, actor, Permission.MANAGE_ROUTES)
        row = _still_running(row)
        before = _said(row)
        _end(row, Canary.ROLLED_BACK, reason)
        found = compare(row)
        _record(row, actor, "canary.rolled_back", before, _said(row) | _told(found))
        if reason == ERRORS:
            for message in _messages(row, found):
                transaction.on_commit(partial(mail.send, message), robust=True)
    return row


def watch(now: datetime | None = None) -> int:
    """Rolls back what does worse than it may. Whoever comes second finds it done. Returns how many."""
    ended = 0
    for row in Canary.objects.filter(state=Canary.RUNNING).select_related("org", "route"):
        try:
            if recently(row, now or timezone.now()).is_worse(row) or compare(row).is_worse(row):
                roll_back(row, ACTOR, ERRORS)
                ended += 1
        except (InvalidField, OrganizationGone):
            continue
        except DatabaseError:
            logger.exception("canary %s could not be looked at", row.public_id)
    return ended


def compare(row: Canary, since: datetime | None = None) -> Comparison:
    """Both versions while it runs, or since then."""
    found = CanaryCount.objects.filter(canary=row)
    if since is not None:
        found = found.filter(minute__gte=since)
    return Comparison(_figures(found, True), _figures(found, False))


def recently(row: Canary, now: datetime) -> Comparison:
    return compare(row, now - RECENT)


def _figures(rows: Any, is_canary: bool) -> Figures:
    names = ("requests", "errors", "ttft_ms_sum", "ttft_count", "duration_ms_sum", "cost_nanos")
    sums = rows.filter(is_canary=is_canary).aggregate(**{name: Sum(name) for name in names})
    requests, errors, ttft, timed, duration, cost = (int(sums[name] or 0) for name in names)
    return Figures(
        requests,
        errors,
        ttft / timed if timed else None,
        duration / requests if requests else None,
        cost / requests if requests else None,
    )


def _check(percent: int, most_error_percent: int, least_requests: int) -> None:
    for name, value, least, most in (
        ("percent", percent, 1, MOST_PERCENT),
        ("most_error_percent", most_error_percent, 0, 100),
        ("least_requests", least_requests, 1, MOST_LEAST_REQUESTS),
    ):
        if not is_whole(value, least, most):
            message = _("A whole number from %(least)d to %(most)d.") % {"least": least, "most": most}
            raise InvalidField.one(name, message)


def _still_running(row: Canary) -> Canary:
    found = Canary.objects.of(row.org).filter(pk=row.pk, state=Canary.RUNNING).select_related("route", "org").first()
    if found is None:
        raise InvalidField.one("name", _("This canary has ended."))
    return found


def _end(row: Canary, state: str, reason: str) -> None:
    row.state, row.reason, row.ended_at = state, reason, timezone.now()
    row.save(update_fields=["state", "reason", "ended_at"])


def _said(row: Canary) -> dict[str, Any]:
    names = ("percent", "most_error_percent", "least_requests", "state", "reason")
    return {"name": row.route.name, **{name: getattr(row, name) for name in names}}


def _told(found: Comparison) -> dict[str, Any]:
    return {
        f"{name}_{kind}": round(getattr(figures, kind), 2)
        for name, figures in (("canary", found.canary), ("stable", found.stable))
        for kind in ("requests", "error_percent")
    }


def _record(row: Canary, actor: Actor, action: str, before: Any, after: Any) -> None:
    audit.record(row.org, actor, action, "canary", row.public_id, label=row.route.name, before=before, after=after)


def _messages(row: Canary, found: Comparison) -> list[mail.Message]:
    people = Membership.objects.of(row.org).filter(Q(role=OWNER) | Q(role=ADMIN), user__is_active=True)
    values = {
        "organization": row.org.name,
        "route": row.route.name,
        "percent": row.percent,
        "canary": found.canary,
        "stable": found.stable,
        "url": f"{settings.PUBLIC_URL}/routes/show/{row.route.name}",
    }
    return [
        mail.Message("canary", member.user.email, member.user.language, values)
        for member in people.select_related("user")
    ]
