"""The log as those see it who serve: requests that went to given targets, whichever organisation asked.

Narrow on purpose: an owner of a machine sees that it worked and how much, never what was asked, nor by which key.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from django.db.models import Count

from metering.models import Usage


def requests_served(target_ids: Collection[int], from_: datetime) -> dict[int, int]:
    """How many since `from_`, by target; targets without any are left out."""
    rows = Usage.objects.filter(target_id__in=target_ids, started_at__gte=from_)
    counts = rows.values("target_id").annotate(n=Count("request_id")).values_list("target_id", "n")
    return {target: n for target, n in counts if target is not None}


def newest_served(target_ids: Collection[int], from_: datetime, limit: int) -> list[Usage]:
    """Newest first, with what an owner may see and nothing else: the rest is not loaded."""
    rows = Usage.objects.filter(target_id__in=target_ids, started_at__gte=from_)
    return [*rows.only(*SHOWN).order_by("-started_at", "-request_id")[:limit]]


SHOWN = (
    "started_at", "request_id", "org_id", "target", "target_id", "status", "error_code", "stream", "input_tokens",
    "output_tokens", "cost_nanos", "duration_ms", "ttft_ms",
)  # fmt: skip
