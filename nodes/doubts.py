"""Doubts about machines' words, as rows: a machine that repeats itself does not fill the table."""

from __future__ import annotations

import logging
from datetime import datetime

from django.db import DatabaseError, transaction
from django.db.models import F, QuerySet
from django.utils import timezone

from accounts.audit import Actor, record
from nodes.models import Node, NodeDoubt, NodeModel
from nodes.recount import Recount
from nodes.threads import in_thread

_RECOUNT = Actor.system("recount")

logger = logging.getLogger(__name__)


async def keep(recount: Recount, doubts: list[str]) -> None:
    """Without PostgreSQL they are lost: they are evidence, and nobody's bill."""
    try:
        await in_thread(store_doubts, recount, doubts)
    except DatabaseError as error:
        logger.warning("doubts about request %s were not kept: %s", recount.request_id, error)


def store_doubts(recount: Recount, doubts: list[str]) -> None:
    """What repeats within a day is one row that counts, and one event of the audit trail. For a thread."""
    model = NodeModel.objects.select_related("node__org").filter(pk=-recount.target_id).first()
    if model is None:
        return
    now = timezone.now()
    for kind in doubts:
        found = {"org": model.node.org, "node": model.node, "upstream_id": model.upstream_id, "kind": kind}
        with transaction.atomic():
            row, is_new = NodeDoubt.objects.get_or_create(**found, day=now.date(), defaults={"first_at": now})
            if is_new:
                _tell(model, kind)
            NodeDoubt.objects.filter(pk=row.pk).update(
                times=F("times") + 1,
                last_at=now,
                request_id=recount.request_id,
                said_tokens=F("said_tokens") + recount.said.input_tokens + recount.said.output_tokens,
                counted_tokens=F("counted_tokens") + recount.counted.input_tokens + recount.counted.output_tokens,
            )


def _tell(model: NodeModel, kind: str) -> None:
    """Its owner, in the trail that nobody can edit afterwards; whose request it was is not the owner's to know."""
    node, about = model.node, {"model": model.upstream_id, "doubt": kind}
    record(node.org, _RECOUNT, "node.doubted", "node", node.public_id, label=node.name, after=about)


def doubts_about(node: Node, since: datetime) -> QuerySet[NodeDoubt]:
    """For whoever decides about rewards; the newest first."""
    found: QuerySet[NodeDoubt] = NodeDoubt.objects.of(node.org)
    return found.filter(node=node, last_at__gte=since).order_by("-last_at")
