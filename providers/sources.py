"""Rows become targets: everything the data plane needs to know about an organisation's upstreams, in three queries.

Nothing here is called per request; a snapshot is built from it when the organisation's version grows.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable

from django.db.models import Q

from common.money import nanos_from_usd
from common.secrets import SecretsError
from providers.keypool import NEEDS_KEY
from providers.models import Connection, ConnectionKey, ServedModel
from providers.prefill import GOING_ON_WHEN_TOLD
from providers.presets import CUSTOM, PRESETS, KeyNeed, key_headers
from providers.sealing import open_key
from providers.targets import DATA_COLLECTION, DROPPED_PARAMS, LIMIT_NAME, QUANTIZATION, Credential, Price, Target
from providers.tiers import finer_of

logger = logging.getLogger(__name__)

DIRECT = "direct"


def load_targets(org_id: int) -> tuple[Target, ...]:
    """All targets an organisation may use: the platform's and its own, of enabled connections and models.

    A target whose keys are missing or parked is listed with `credentials=()` and `options["needs_key"]`, so that a
    refusal can say why; `options["parked_keys"]` and `options["unreadable_keys"]` count what is out of use. Without
    `needs_key`, no credentials mean that none is needed.

    Returns:
        Ordered by priority, the organisation's own first among equals.
    """
    mine = Q(org=None) | Q(org=org_id)
    connections = {row.pk: row for row in Connection.objects.filter(mine, enabled=True)}
    keys: defaultdict[int, list[ConnectionKey]] = defaultdict(list)
    for key in ConnectionKey.objects.filter(connection__in=connections).order_by("pk"):
        keys[key.connection_id].append(key)
    opened = {pk: _opened(row, keys[pk]) for pk, row in connections.items()}
    served = ServedModel.objects.filter(connection__in=connections, enabled=True)
    targets = [_target(connections[row.connection_id], row, *opened[row.connection_id]) for row in served]
    return tuple(sorted(targets, key=lambda target: (target.priority, target.org_id is None, target.id)))


def price_of(row: ServedModel) -> Price | None:
    """Exact: the columns hold six decimals of a dollar per million tokens, nine per request."""
    if row.input_price is None or row.output_price is None:
        return None
    return Price(
        input_nanos=nanos_from_usd(row.input_price),
        output_nanos=nanos_from_usd(row.output_price),
        cached_input_nanos=None if row.cached_input_price is None else nanos_from_usd(row.cached_input_price),
        request_nanos=nanos_from_usd(row.request_price),
        version=row.price_version,
        finer=finer_of(row),
    )


def _opened(connection: Connection, keys: Iterable[ConnectionKey]) -> tuple[tuple[Credential, ...], dict[str, str]]:
    """The connection's credentials, and the options that all its targets share."""
    preset = PRESETS.get(connection.preset, PRESETS[CUSTOM])
    auth_header = connection.options.get("auth_header") or preset.auth_header
    credentials, parked, unreadable = [], 0, 0
    for key in keys:
        if key.state != ConnectionKey.ACTIVE:
            parked += 1
            continue
        try:
            headers = key_headers(auth_header, open_key(key, connection))
        except SecretsError:
            logger.exception("key %s of connection %s cannot be opened", key.public_id, connection.public_id)
            unreadable += 1
            continue
        credentials.append(Credential(key.pk, key.public_id, headers, key.weight))
    wants_key = preset.key is KeyNeed.REQUIRED or connection.options.get(NEEDS_KEY, False) or parked or unreadable
    options = {
        NEEDS_KEY: "yes" if wants_key and not credentials else "",
        "api_version": connection.options.get("api_version") or preset.api_version,
        LIMIT_NAME: preset.limit_name,
        "runtime": preset.id if preset.id in GOING_ON_WHEN_TOLD else "",
        DATA_COLLECTION: connection.options.get(DATA_COLLECTION, ""),
        QUANTIZATION: connection.options.get(QUANTIZATION, ""),
        "parked_keys": str(parked or ""),
        "unreadable_keys": str(unreadable or ""),
    }
    return tuple(credentials), {name: value for name, value in options.items() if value}


def _target(
    connection: Connection, row: ServedModel, credentials: tuple[Credential, ...], options: dict[str, str]
) -> Target:
    return Target(
        id=row.pk,
        name=f"{connection.slug}/{row.model_id}",
        org_id=connection.org_id,
        connection_id=connection.pk,
        connection_slug=connection.slug,
        connection_name=connection.name,
        model_id=row.model_id,
        upstream_id=row.upstream_id,
        adapter=connection.adapter,
        transport=DIRECT,
        base_url=connection.base_url,
        credentials=credentials,
        kind=row.kind,
        price=price_of(row),
        priority=connection.priority,
        weight=row.weight,
        context_tokens=row.context_tokens,
        max_output_tokens=row.max_output_tokens,
        capabilities=frozenset(row.capabilities),
        simulated=connection.simulated,
        options=options,
        dropped_params=_dropped_params(connection),
    )


def _dropped_params(connection: Connection) -> frozenset[str]:
    preset = PRESETS.get(connection.preset, PRESETS[CUSTOM])
    return preset.dropped_params.union(connection.options.get(DROPPED_PARAMS, "").split())
