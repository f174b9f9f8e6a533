"""Tests a connection as a person would: list the models, then ask one of them for a single token.

The request leaves through the egress guard, never follows a redirect, and reads a bounded answer for a bounded time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import httpx
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.database import give_back_connection
from common.refusal import ShareAIError
from common.secrets import SecretsError
from providers import diagnosis
from providers.conversation import Conversation, Found, Line
from providers.diagnosis import Failure
from providers.drafts import clean_base_url, clean_keys, clean_options, preset_named
from providers.guard import guarded_client
from providers.models import Connection, ConnectionKey
from providers.presets import Preset
from providers.sealing import open_key


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a test waits: for a connection, for the next bytes, for everything together."""

    connect_s: float = 5.0
    read_s: float = 20.0
    whole_s: float = 45.0


@dataclass(frozen=True, slots=True)
class ConnectionDraft:
    """A connection that is not saved yet. `model` is what to ask; empty for the first that can chat."""

    preset: str
    base_url: str | None = None
    api_key: str = ""
    options: dict[str, Any] = field(default_factory=dict)
    model: str = ""


@dataclass(frozen=True, slots=True)
class TestReport:
    """What a test found. `models` are the vendor's own names; times are None for what was not reached.

    `capabilities` are what was seen to work: `list`, the kind of the model that answered, `stream`, `usage`.
    """

    ok: bool
    models: tuple[str, ...] = ()
    model: str = ""
    latency_ms: int | None = None
    first_token_ms: int | None = None
    capabilities: tuple[str, ...] = ()
    error: str = ""
    error_code: str = ""

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def test_connection(
    subject: Connection | ConnectionDraft,
    *,
    key: ConnectionKey | None = None,  # noqa: PT028
    patience: Patience = Patience(),  # noqa: PT028
) -> TestReport:
    """Never raises for what is wrong at the other end: the report says it.

    Args:
        key: which of a saved connection's keys to try; the first active one when None.

    Raises:
        InvalidConnection: a draft's own fields are wrong.
    """
    found = Found()
    try:
        line, wanted = _line_of_draft(subject) if isinstance(subject, ConnectionDraft) else _line_of_row(subject, key)
    except SecretsError:
        return _report(found, Failure("key_unreadable", _("The stored key cannot be opened. Enter it again.")))
    try:
        with guarded_client(connect_s=patience.connect_s, read_s=patience.read_s) as client:
            Conversation(client, line, found, patience.whole_s).run(wanted)
    except Failure as failure:
        return _report(found, failure)
    except httpx.HTTPError as error:
        return _report(found, diagnosis.of_exception(error, line.host))
    except ShareAIError as refused:
        return _report(found, Failure(refused.code, refused.message))
    return _report(found)


def _line_of_draft(draft: ConnectionDraft) -> tuple[Line, Sequence[str]]:
    preset, options = preset_named(draft.preset), clean_options(draft.options)
    keys = clean_keys([draft.api_key])
    line = _line(preset, clean_base_url(preset, draft.base_url), keys[0] if keys else "", options)
    return line, [draft.model] if draft.model else []


def _line_of_row(connection: Connection, key: ConnectionKey | None) -> tuple[Line, Sequence[str]]:
    chosen = key or connection.keys.order_by("state", "pk").first()  # "active" sorts before "parked"
    opened = open_key(chosen, connection) if chosen else ""
    served = connection.served_models.filter(enabled=True).order_by("kind", "pk")
    wanted = list(served.values_list("upstream_id", flat=True))
    give_back_connection()  # a vendor may take its time
    return line_to(connection, opened), wanted


def line_to(connection: Connection, opened_key: str) -> Line:
    """Where and with what a saved connection is asked."""
    return _line(preset_named(connection.preset), connection.base_url, opened_key, connection.options)


def _line(preset: Preset, base_url: str, key: str, options: dict[str, Any]) -> Line:
    auth_header = options.get("auth_header") or preset.auth_header
    return Line(preset, base_url, key, auth_header, options.get("api_version") or preset.api_version)


def _report(found: Found, failure: Failure | None = None) -> TestReport:
    return TestReport(
        ok=failure is None,
        models=found.models,
        model=found.model,
        latency_ms=found.latency_ms,
        first_token_ms=found.first_token_ms,
        capabilities=tuple(found.capabilities),
        error=failure.message if failure else "",
        error_code=failure.code if failure else "",
    )


def test_and_remember(connection: Connection) -> TestReport:
    """Keeps the report with the connection, which says how it is doing until traffic tells better.

    Its long list of models is shortened to their number.
    """
    report = test_connection(connection)
    stored = report.as_dict() | {"models": len(report.models), "at": timezone.now().isoformat()}
    Connection.objects.filter(pk=connection.pk).update(last_test=stored)
    return report
