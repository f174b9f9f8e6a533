"""Why a call gets no plan, as the refusal that its caller reads. Pure.

Nobody being able to serve it *now* is a 503, which says when to come back. What the request itself rules out stays
ruled out however often it is sent: that is a 4xx, which no SDK tries again.
"""

from __future__ import annotations

from typing import Any

from common.errors import (
    CodedError,
    ContextLengthExceeded,
    InvalidRequest,
    ModelNotFound,
    NoProviderAvailable,
    ProviderNotAllowed,
    UnsupportedParameter,
)
from providers.schema import Call
from routing.filters import REASONS
from routing.plans import Rejected
from routing.snapshots import OrgSnapshot

NOBODY_SERVES = (
    NoProviderAvailable,
    ContextLengthExceeded,
    InvalidRequest,
    ProviderNotAllowed,
    UnsupportedParameter,
)
_NEEDED = {"vision": "to see pictures", "tools": "to call tools", "json_schema": "to follow a JSON schema"}
_ASKED_BY = {"tools": "tools", "json_schema": "response_format", "vision": "messages"}
_NOT_WANTED = frozenset({"not_wanted", "may_collect", "other_quantization", "too_expensive", "price_unknown"})
"""By the request's preferences; the others are what its caller would take."""
_CANNOT = {"lacks_capability", "lacks_parameter"}
_MOST_TOLD = 5


def not_found(call: Call, snapshot: OrgSnapshot) -> ModelNotFound:
    return unknown_model(call.model, snapshot.near(call.models[0]))


def unknown_model(name: str, near: list[str]) -> ModelNotFound:
    hint = f" Did you mean {', '.join(repr(one) for one in near)}?" if near else ""
    return ModelNotFound(
        f"The model '{name}' does not exist or is not served to this organisation.{hint}",
        param="model",
        metadata={"near": near} if near else None,
    )


def nobody_serves(call: Call, rejected: list[Rejected]) -> CodedError:
    """One of `NOBODY_SERVES`."""
    reasons = [_told(item) for item in rejected]
    said = "; ".join(str(reason["message"]) for reason in reasons[:_MOST_TOLD]) or "no target serves it"
    metadata = {"rejected": reasons}
    if (ruled_out := _ruled_out(call, {item.reason for item in rejected})) is not None:
        kind, param = ruled_out
        needs = f", which needs {_needs(call)}" if kind is UnsupportedParameter and call.requires else ""
        message = f"No target can serve this request for '{call.model}'{needs}: {said}."
        return kind(message, param=param, metadata=metadata)
    waits = [item.until_s for item in rejected if item.until_s is not None]
    return NoProviderAvailable(
        f"No target can serve '{call.model}' now: {said}.",
        retry_after_s=max(min(waits), 0.001) if waits else None,
        metadata=metadata,
    )


def _needs(call: Call) -> str:
    return ", ".join(_NEEDED.get(name, name) for name in sorted(call.requires))


def _told(item: Rejected) -> dict[str, Any]:
    return {
        "target": item.target,
        "reason": item.reason,
        "message": f"{item.target} {REASONS[item.reason]}",
        **({"retry_after_s": round(item.until_s, 3)} if item.until_s is not None else {}),
    }


def _ruled_out(call: Call, reasons: set[str]) -> tuple[type[CodedError], str | None] | None:
    """By what in the request, with the name of the field; None when it is not the request's doing alone."""
    left = reasons - _NOT_WANTED
    if reasons and not left:
        return ProviderNotAllowed, "provider"
    if left == {"wrong_kind"}:
        return InvalidRequest, "model"
    if left == {"context_too_short"}:
        return ContextLengthExceeded, "messages" if "messages" in call.body else None
    if left & _CANNOT and left <= {*_CANNOT, "context_too_short", "wrong_kind"}:
        asked = {_ASKED_BY.get(name) for name in call.requires}
        if "lacks_parameter" in left:
            asked.add("provider.require_parameters")
        return UnsupportedParameter, asked.pop() if len(asked) == 1 else None
    return None
