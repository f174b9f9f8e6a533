"""Brings prices that came from the catalogue up to date with the one that is installed."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from accounts.audit import Actor
from accounts.audit_values import differences
from providers import catalog, changes
from providers.models import Connection, ServedModel
from providers.serving import CATALOG, apply_price

SYSTEM = Actor.system("price catalogue")


@dataclass(frozen=True, slots=True)
class Synced:
    looked_at: int
    changed: int


def sync_prices() -> Synced:
    """One transaction per connection. A model that left the catalogue keeps its last price."""
    catalog.forget()
    by_connection: defaultdict[int, list[ServedModel]] = defaultdict(list)
    rows = ServedModel.objects.filter(price_source=CATALOG).select_related("connection__org").order_by("pk")
    for row in rows:
        by_connection[row.connection_id].append(row)
    changed = sum(_sync(served[0].connection, served) for served in by_connection.values())
    return Synced(sum(map(len, by_connection.values())), changed)


def _sync(connection: Connection, served: list[ServedModel]) -> int:
    found = catalog.find_prices(connection.preset, [row.upstream_id for row in served])
    prices = {row.pk: price for row, price in zip(served, found, strict=True) if price}
    if not any(apply_price(row, prices[row.pk]) for row in served if row.pk in prices):
        return 0
    changed = 0
    with changes.changing(connection.org, SYSTEM):
        # Read again: a person may have entered a price since.
        for row in ServedModel.objects.filter(pk__in=prices, price_source=CATALOG):
            before = changes.said_of_model(row)
            if apply_price(row, prices[row.pk]):
                row.save()
                was, now = differences(before, changes.said_of_model(row))
                changes.record(connection, SYSTEM, "model.updated", before={"model": row.model_id, **was}, after=now)
                changed += 1
    return changed
