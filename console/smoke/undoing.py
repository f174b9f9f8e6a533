"""Taking back what a run made. Each thing goes by its own service, so that its own audit event says so.

What is gone already, because it ended by itself or somebody was quicker, counts as taken back.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from django.db import DatabaseError, transaction

from accounts.audit import Actor
from accounts.errors import NotPermitted
from accounts.keys import revoke_key
from accounts.limits import set_key_limits
from accounts.models import ApiKey, Organization
from common.errors import CodedError
from console.models import SmokeRun
from routing.cache_services import delete_policy
from routing.drills import end_drill
from routing.models import CachePolicy, Drill

KEY, KEY_LIMITS, POLICY, DRILL = "key", "key_limits", "policy", "drill"

logger = logging.getLogger(__name__)


def undo_all(run: SmokeRun, actor: Actor) -> int:
    """The last thing made goes first. Returns: how many things could not be taken back, and stay noted."""
    left = [thing for thing in reversed(run.undo) if not _undone(run.org, actor, *thing)]
    run.undo = left[::-1]
    run.save(update_fields=["undo", "updated_at"])
    return len(left)


def undo_one(run: SmokeRun, actor: Actor, kind: str, id: str) -> bool:
    """Before the check ends. Returns: whether it is taken back."""
    if not _undone(run.org, actor, kind, id):
        return False
    run.undo.remove([kind, id])
    run.save(update_fields=["undo", "updated_at"])
    return True


def _undone(organization: Organization, actor: Actor, kind: str, id: str) -> bool:
    """By whoever ran it; by the system if that person may no longer."""
    for who in (actor, Actor.system("smoke test")):
        try:
            with transaction.atomic():
                _UNDO[kind](organization, who, id)
        except NotPermitted:
            continue
        except (CodedError, DatabaseError):
            logger.exception("the %s %s of a smoke test stays for now", kind, id)
            return False
        return True
    return False


def _revoke(organization: Organization, actor: Actor, id: str) -> None:
    for key in ApiKey.objects.of(organization).select_related("org").filter(public_id=id):
        revoke_key(key, actor)


def _unlimit(organization: Organization, actor: Actor, id: str) -> None:
    for key in ApiKey.objects.of(organization).select_related("org").filter(public_id=id):
        set_key_limits(key, actor, {})


def _delete_policy(organization: Organization, actor: Actor, id: str) -> None:
    for policy in CachePolicy.objects.of(organization).select_related("org").filter(public_id=id):
        delete_policy(policy, actor)


def _end_drill(organization: Organization, actor: Actor, id: str) -> None:
    for drill in Drill.objects.of(organization).select_related("org").filter(public_id=id):
        end_drill(drill, actor)


_UNDO: dict[str, Callable[[Organization, Actor, str], None]] = {
    KEY: _revoke,
    KEY_LIMITS: _unlimit,
    POLICY: _delete_policy,
    DRILL: _end_drill,
}
