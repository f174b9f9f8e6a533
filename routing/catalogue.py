"""What `GET /v1/models` and `/v1/key` say, from the snapshot."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import Any

from accounts.authentication import Caller, KeyRecord
from common.money import usd_from_nanos, usd_per_token
from common.rates import Tier, tiers_within
from providers.targets import Price, Target
from routing.snapshots import OrgSnapshot

_CREATED = 1_767_225_600
"""OpenAI's schema wants a time; models here have none that means anything, so it is one fixed day."""


def models_of(snapshot: OrgSnapshot, caller: Caller) -> list[dict[str, Any]]:
    """Every name the caller may ask for, in OpenAI's form with OpenRouter's `pricing` beside it."""
    found = (_described(snapshot, name) for name in snapshot.model_names() if _may_use(caller, name))
    return [entry for entry in found if entry is not None]


def model_of(snapshot: OrgSnapshot, caller: Caller, name: str) -> dict[str, Any] | None:
    return _described(snapshot, name) if _may_use(caller, name) else None


def near_of(snapshot: OrgSnapshot, caller: Caller, name: str) -> list[str]:
    return [near for near in snapshot.near(name) if _may_use(caller, near)]


def key_of(record: KeyRecord, snapshot: OrgSnapshot) -> dict[str, Any]:
    expires_at = record.expires_at_s and datetime.fromtimestamp(record.expires_at_s, UTC).isoformat()
    return {
        "object": "key",
        "id": record.public_id,
        "name": record.name,
        "organization": snapshot.slug,
        "scopes": sorted(record.scopes),
        "models": sorted(record.allowed_models) if record.allowed_models is not None else None,
        "expires_at": expires_at or None,
    }


def _may_use(caller: Caller, name: str) -> bool:
    return caller.allowed_models is None or name in caller.allowed_models


def _described(snapshot: OrgSnapshot, name: str) -> dict[str, Any] | None:
    targets = _targets(snapshot, name)
    if not targets:
        return None
    priced = [target.price for target in targets if target.price is not None]
    cheapest = min(priced, key=lambda price: price.input_nanos + price.output_nanos, default=None)
    contexts = [target.context_tokens for target in targets if target.context_tokens]
    return {
        "id": name,
        "object": "model",
        "created": _CREATED,
        "owned_by": targets[0].connection_slug if len(targets) == 1 else snapshot.slug,
        "type": targets[0].kind,
        "route": name in snapshot.routes,
        "served_by": [target.name for target in targets],
        "context_length": max(contexts, default=None),
        "capabilities": sorted(frozenset().union(*(target.capabilities for target in targets))),
        "pricing": cheapest and _pricing(cheapest),
    }


def _pricing(price: Price) -> dict[str, Any]:
    """OpenRouter's names, in US dollars for a token and for a request; `tiers` are ours."""
    plain, *tiers = tiers_within(price, sys.maxsize)
    said: dict[str, Any] = _rates_of(plain)
    if price.request_nanos:
        said["request"] = f"{usd_from_nanos(price.request_nanos):f}"
    if tiers:
        said["tiers"] = [{"above_prompt_tokens": tier.above_tokens} | _rates_of(tier) for tier in tiers]
    return said


def _rates_of(tier: Tier) -> dict[str, str]:
    """Without those that are as other input or output."""
    rates = {
        "prompt": tier.input_nanos,
        "completion": tier.output_nanos,
        "input_cache_read": tier.cached_input_nanos,
        "input_cache_write": tier.cache_write_nanos,
        "audio": tier.audio_input_nanos,
        "internal_reasoning": tier.reasoning_nanos,
        "audio_output": tier.audio_output_nanos,
    }
    return {name: usd_per_token(nanos) for name, nanos in rates.items() if nanos is not None}


def _targets(snapshot: OrgSnapshot, name: str) -> tuple[Target, ...]:
    route = snapshot.routes.get(name)
    if route is not None:
        legs = [snapshot.by_name.get(leg.target) for leg in route.legs]
        bare = [target for leg in route.legs for target in snapshot.by_model.get(leg.target, ())]
        return tuple([target for target in legs if target is not None] + bare)
    if name in snapshot.by_model:
        return snapshot.by_model[name]
    pinned = snapshot.by_name.get(name)
    return (pinned,) if pinned else ()
