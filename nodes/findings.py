"""Rare facts that nodes report (models, capabilities, the local server, trials) on their way to PostgreSQL.

Written off the data plane, in a thread, and only when something changed. A node can make its owner's snapshot reload
by what it reports, so a connection is listened to at most every few seconds, once it has said how it starts.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from django.db import DatabaseError
from django.db.models import Q
from django.utils import timezone

from accounts.audit import Actor
from accounts.errors import OrganizationGone
from common.ids import new_id
from nodes import changes
from nodes.models import Node, NodeModel
from nodes.reports import FoundModel, LocalServer, Report, public_name
from nodes.threads import in_thread
from providers.models import ServedModel

MOST_ROWS = 500
"""Of one node, those that it no longer has among them; then the oldest that are not offered make room."""
WRITE_EVERY_S = 3.0
AT_ONCE = 3
"""Reports of a new connection that are not kept waiting: its server, its models, and what they can do."""
NODE = Actor.system("node")

logger = logging.getLogger(__name__)


class Trial(msgspec.Struct, frozen=True):
    """How a test prompt went. `error` is a sentence for the owner, "" when it was answered."""

    upstream_id: str
    ok: bool
    error: str = ""
    first_token_ms: float | None = None
    tokens_per_s: float | None = None


class Keeper:
    """Takes the reports of one connection and writes the latest of each kind: the first ones at once, then at
    intervals."""

    def __init__(
        self,
        node: str,
        on_saved: Callable[[str], None] = lambda node: None,
        *,
        save: Callable[[str, Report], None] | None = None,
        every_s: float = WRITE_EVERY_S,
        turn: asyncio.Lock | None = None,
    ) -> None:
        """
        Args:
            on_saved: told on the loop after each write; `nodes.trials.Trials.begin` wants to know.
            turn: who holds it writes. PostgreSQL takes one such change at a time; threads that wait for it are
                missed by whoever comes in.
        """
        self._node = node
        self._on_saved = on_saved
        self._save = save or save_report
        self._every_s = every_s
        self._turn = turn or asyncio.Lock()
        self._at_once = AT_ONCE
        self._pending = self._written = Report()
        self._writer: asyncio.Task[None] | None = None

    def note(self, report: Report) -> None:
        """From the loop. State and vitals are not for PostgreSQL and are passed over."""
        self._pending = Report(
            models=report.models if report.models is not None else self._pending.models,
            local_server=report.local_server or self._pending.local_server,
        )
        if self._pending != self._written and (self._writer is None or self._writer.done()):
            self._writer = asyncio.create_task(self._write())

    async def aclose(self) -> None:
        """Waits for a write that has begun; what came after it is not written."""
        self._pending = self._written
        if self._writer is not None and not self._writer.done():
            self._writer.cancel()
            await asyncio.wait([self._writer])

    async def _write(self) -> None:
        while self._pending != self._written:
            async with self._turn:
                news = self._pending
                await asyncio.shield(in_thread(self._save, self._node, news))
            self._written = news
            self._on_saved(self._node)
            self._at_once -= 1
            if self._at_once <= 0:
                await asyncio.sleep(self._every_s)


def save_report(public_id: str, report: Report) -> None:
    """For a thread of its own. Fails: open; the node reports again when it reconnects."""
    try:
        if report.local_server is not None:
            store_local_server(public_id, report.local_server)
        if report.models is not None:
            store_models(public_id, report.models)
    except (DatabaseError, OrganizationGone):
        logger.exception("what node %s reported could not be stored", public_id)


def store_local_server(public_id: str, server: LocalServer) -> None:
    """Tells nobody: the planner hears from the node's state whether it takes work."""
    said = {name: value.replace("\0", "") if isinstance(value, str) else value for name, value in _as_dict(server)}
    Node.objects.filter(public_id=public_id).exclude(local_server=said).update(local_server=said)


def store_models(public_id: str, found: Sequence[FoundModel] | None) -> bool:
    """Makes `found` what the node has. Whether something changed that routing must know.

    A model that is new gets a row, offered when the owner wants new ones offered and nothing but nodes serves that
    name: no machine takes over a provider's name by listing it. One that is gone keeps its row, with its price.
    """
    node = Node.objects.select_related("org").filter(public_id=public_id, revoked_at=None).first()
    if node is None or found is None or not _differs(node, found):
        return False
    with changes.changing(node.org, NODE):
        rows = {row.upstream_id: row for row in node.served_models.all()}
        added = [model for model in found if model.id not in rows]
        for model in found:
            if (row := rows.get(model.id)) is not None:
                _describe(row, model)
                row.save()
        node.served_models.exclude(upstream_id__in=[model.id for model in found]).update(present=False)
        made = _add(node, added, {row.model_id for row in rows.values()})
        if made:
            changes.record(node, NODE, "node.models_found", after={row.upstream_id: row.advertised for row in made})
        changes.tell_guests(changes.guests_of(node))
        changes.announce_changed(node)
    return True


def store_trial(public_id: str, trial: Trial) -> None:
    """Tells the data plane only when the verdict is another than before."""
    row = (
        NodeModel.objects.select_related("node__org")
        .filter(node__public_id=public_id, node__revoked_at=None, upstream_id=trial.upstream_id)
        .first()
    )
    if row is None:
        return
    news = {
        "trial_ok": trial.ok,
        "trial_error": "" if trial.ok else trial.error.replace("\0", "")[:200],
        "trial_at": timezone.now(),
    }
    if trial.ok:
        news |= {"first_token_ms": trial.first_token_ms, "tokens_per_s": trial.tokens_per_s}
    if (row.trial_ok is False) == (not trial.ok):
        NodeModel.objects.filter(pk=row.pk).update(**news)
        return
    with changes.changing(row.org, NODE):
        NodeModel.objects.filter(pk=row.pk).update(**news)
        changes.tell_guests(changes.guests_of(row.node))


def _differs(node: Node, found: Sequence[FoundModel]) -> bool:
    known = {row.upstream_id: row for row in node.served_models.all()}
    if {name for name, row in known.items() if row.present} != {model.id for model in found}:
        return True
    return any(_described(known[model.id]) != _description(model) for model in found)


def _add(node: Node, found: Sequence[FoundModel], taken: set[str]) -> list[NodeModel]:
    elsewhere = _names_of_providers(node, [public_name(model.id) for model in found])
    made = []
    for model in found[: _room(node, len(found))]:
        name = _free_name(public_name(model.id), taken)
        taken.add(name)
        row = NodeModel(org=node.org, public_id=new_id("nmod"), node=node, upstream_id=model.id, model_id=name)
        row.advertised = node.advertise_new and name not in elsewhere
        _describe(row, model)
        row.save()
        made.append(row)
    return made


def _room(node: Node, wanted: int) -> int:
    """How many of `wanted` rows fit. Old ones that are neither there nor offered are deleted for them."""
    over = node.served_models.count() + wanted - MOST_ROWS
    if over > 0:
        old = node.served_models.filter(present=False, advertised=False).order_by("updated_at")
        gone, _ = node.served_models.filter(pk__in=list(old.values_list("pk", flat=True)[:over])).delete()
        over -= gone
    return wanted - max(over, 0)


def _names_of_providers(node: Node, names: list[str]) -> set[str]:
    near = Q(org=None) | Q(org=node.org)
    return set(ServedModel.objects.filter(near, model_id__in=names).values_list("model_id", flat=True))


def _free_name(name: str, taken: set[str]) -> str:
    numbered = (f"{name[:195]}-{number}" for number in range(2, len(taken) + 3))
    return name if name not in taken else next(other for other in numbered if other not in taken)


def _describe(row: NodeModel, model: FoundModel) -> None:
    row.present = True
    for name, value in _description(model).items():
        setattr(row, name, value)
    measured = model.measured
    row.tokens_per_s = row.tokens_per_s if measured.tokens_per_s is None else measured.tokens_per_s
    row.first_token_ms = row.first_token_ms if measured.first_token_ms is None else measured.first_token_ms


def _description(model: FoundModel) -> dict[str, Any]:
    return {
        "runtime": model.runtime,
        "kind": model.kind,
        "context_tokens": model.context,
        "capabilities": model.able,
    }


def _described(row: NodeModel) -> dict[str, Any]:
    return {name: getattr(row, name) for name in ("runtime", "kind", "context_tokens", "capabilities")}


def _as_dict(server: LocalServer) -> list[tuple[str, Any]]:
    return list(msgspec.structs.asdict(server).items())
