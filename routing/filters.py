"""Who may serve a call. Each filter is one question and gives one reason; `REASONS` says them in words."""

from __future__ import annotations

from collections.abc import Callable

from common.rates import tiers_within
from providers.endpoints import prompts_in
from providers.prefill import PREFILL
from providers.schema import BYTES_PER_TOKEN, NO_PREFERENCES, Call, Preferences, dropped_of
from providers.targets import DATA_COLLECTION, OWN, QUANTIZATION, UNKNOWN, Target
from routing.health import Health

Filter = Callable[[Call, Target], str | None]

LOCAL, PRIVATE = "local", "private"

REASONS = {
    "wrong_kind": "serves another kind of request",
    "no_key": "has no usable API key",
    "not_wanted": "excluded by the request's provider preferences",
    "may_collect": "may keep what it is asked, which the request denies",
    "other_quantization": "is not known to be of a quantization that the request takes",
    "too_expensive": "costs more than the request's max_price",
    "price_unknown": "has no known price, and the request set max_price or is paid from a budget",
    "lacks_capability": "lacks a capability that the request needs",
    "lacks_parameter": "cannot take a parameter that the request requires",
    "context_too_short": "has a shorter context than the prompt needs",
    "not_local": "is not one of the organisation's own machines",
    "not_private": "is outside the organisation's own infrastructure",
    "cooling_down": "asked to be left alone for a while (429)",
    "breaker_open": "failed too often lately",
    "probe_failed": "does not answer when it is probed",
    "held_open": "was taken out of use by hand",
    "weight_zero": "has weight 0",
    "other_cause": "is fallen back to after other failures only",
    "drill": "counts as down for an outage drill",
    "limit_reached": "has reached the limit that is set for it",
    "balance_short": "costs more than what is left of the balance",
    "budget_reached": "is not covered by what is left of a budget",
    "node_offline": "is not connected",
    "node_paused": "is paused",
    "node_draining": "is being drained",
    "node_not_accepting": "takes no work at the moment",
    "node_user_active": "is being used by somebody who sits at it",
    "node_gpu_busy": "has a busy GPU",
    "node_on_battery": "runs on battery",
    "node_calendar": "does not serve at this hour",
    "node_no_local_server": "has no model server running",
    "node_full": "has as many requests as it can hold",
    "owner_first": "is busy with its owner's requests",
    "model_gone": "does not have the model any more",
    "trial_failed": "did not answer its test prompt",
}


EJECTED = frozenset({"breaker_open", "probe_failed"})
"""Reasons that rest on evidence, which may be old: the last target of a call is tried in spite of them."""


def reject_kind(call: Call, target: Target) -> str | None:
    """A model that chats may embed as well: machines find out whether theirs does."""
    if target.kind == call.kind or (call.kind == "embedding" and "embeddings" in target.capabilities):
        return None
    return "wrong_kind"


def reject_place(place: str | None, target: Target) -> str | None:
    """`place` is the call's or its route's wish. A machine of others is somebody else's, however it is reached."""
    if place is None or target.place == OWN:
        return None
    return "not_local" if place == LOCAL else "not_private"


def reject_capability(call: Call, target: Target) -> str | None:
    """An empty set means that nobody has found out; then only `require_parameters` refuses."""
    if not call.requires or call.requires <= target.capabilities:
        return None
    # `prefill` alone says nothing of the others: nobody asks for it in a body.
    told = target.capabilities - {PREFILL}
    return "lacks_capability" if told or call.preferences.require_parameters else None


def reject_parameters(call: Call, target: Target) -> str | None:
    """Elsewhere what a target cannot take is left out, and its name told."""
    if not call.preferences.require_parameters or not dropped_of(call, target.dropped_params):
        return None
    return "lacks_parameter"


def reject_context(call: Call, target: Target) -> str | None:
    if target.context_tokens is None or call.prompt_bytes < target.context_tokens * BYTES_PER_TOKEN * 2:
        return None
    most_bytes = target.context_tokens * BYTES_PER_TOKEN * 2 * prompts_in(call.endpoint, call.body)
    return None if call.prompt_bytes < most_bytes else "context_too_short"


def reject_preferences(call: Call, target: Target) -> str | None:
    preferences = call.preferences
    if preferences is NO_PREFERENCES:
        return None
    if not _is_wanted(preferences, target):
        return "not_wanted"
    return _reject_nature(preferences, target) or _reject_price(call, preferences, target)


def _reject_nature(preferences: Preferences, target: Target) -> str | None:
    """By what is known of a provider; what nobody has stated is not assumed. Own machines keep what is one's own."""
    if preferences.denies_collection and target.place != OWN and target.options.get(DATA_COLLECTION) != "deny":
        return "may_collect"
    if preferences.quantizations and target.options.get(QUANTIZATION, UNKNOWN) not in preferences.quantizations:
        return "other_quantization"
    return None


def _is_wanted(preferences: Preferences, target: Target) -> bool:
    names = {target.connection_slug, target.name}
    if preferences.only and not names & preferences.only:
        return False
    if preferences.order and not preferences.allow_fallbacks and not names & set(preferences.order):
        return False
    return not names & preferences.ignore


def _reject_price(call: Call, preferences: Preferences, target: Target) -> str | None:
    """By the dearest tier that the prompt can reach: nobody pays more than they said."""
    limits = (preferences.max_input_nanos, preferences.max_output_nanos)
    if limits == (None, None):
        return None
    if target.price is None:
        return "price_unknown"
    if target.price.finer is None:
        prices = (target.price.input_nanos, target.price.output_nanos)
    else:
        met = tiers_within(target.price, call.prompt_bytes)
        prices = (max(tier.input_nanos for tier in met), max(tier.output_nanos for tier in met))
    dear = any(limit is not None and price > limit for limit, price in zip(limits, prices, strict=True))
    return "too_expensive" if dear else None


FILTERS: tuple[Filter, ...] = (
    reject_kind,
    reject_preferences,
    reject_capability,
    reject_parameters,
    reject_context,
)


_PLAIN: tuple[Filter, ...] = (reject_kind, reject_context)
_ABLE: tuple[Filter, ...] = (reject_kind, reject_capability, reject_context)


def filters_for(call: Call) -> tuple[Filter, ...]:
    """Those of FILTERS that may refuse this call anything: most calls ask for nothing in particular."""
    if call.preferences is not NO_PREFERENCES:
        return FILTERS
    return _ABLE if call.requires else _PLAIN


def unusable_keys(target: Target, health: Health, now: float) -> tuple[str, float | None]:
    """Why no key of a target can be used now, and the earliest time at which one could."""
    pairs = [(target.id, credential.id) for credential in target.credentials] or [(target.id, 0)]
    waits = [until for pair in pairs if (until := health.skipped_until(*pair, now)) is not None]
    if (reason := health.reason_out_of_use(target.id, now)) is not None:
        return reason, (waits[0] - now if waits[0] < float("inf") else None)
    cooling = any(health.is_cooling(*pair, now) for pair in pairs)
    return ("cooling_down" if cooling else "breaker_open"), (max(0.0, min(waits) - now) if waits else None)
