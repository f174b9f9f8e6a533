"""The log of requests, and its cells for CSV. Every query bounds `started_at`, the partition key."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Q, QuerySet
from django.utils import timezone

from accounts.models import Organization
from common import ids
from common.errors import InvalidRequest
from common.money import usd_from_nanos
from common.rates import TokenDetails
from metering.models import Usage, UsageQuerySet
from metering.reports import DAY

PAGE_LARGEST = 500
CLOCKS_DIFFER = timedelta(minutes=1)


def request_csv_rows(requests: Sequence[Usage]) -> Iterator[list[Any]]:
    """Cells of the log, the header first."""
    names = (
        "started_at", "request_id", "endpoint", "model", "route", "target", "key_id", "status", "error_code",
        "stream", "finish_reason", "input_tokens", "cached_tokens", "output_tokens", "usage_source",
        "billing_reason", "price_version", "attempt_count", "duration_ms", "ttft_ms",
    )  # fmt: skip
    yield [*names, "cost_usd", *(f"{kind}_tokens" for kind in TokenDetails.__struct_fields__)]
    for request in requests:
        details = request.token_details or {}
        kinds = (details.get(kind, 0) for kind in TokenDetails.__struct_fields__)
        yield [*(getattr(request, name) for name in names), _usd(request.cost_nanos), *kinds]


def _usd(nanos: int) -> str:
    return f"{usd_from_nanos(nanos):f}"


# -- the log -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestFilters:
    """What the log is narrowed to; None stands for everything. `status_class` is 2, 4 or 5; `is_error` is what the
    sums count as errors."""

    model: str | None = None
    route: str | None = None
    target: str | None = None
    node: str | None = None
    key_id: int | None = None
    user_id: int | None = None
    status_class: int | None = None
    is_error: bool | None = None
    error_code: str | None = None
    stream: bool | None = None
    from_: datetime | None = None
    to: datetime | None = None
    request_id: str | None = None
    min_duration_ms: int | None = None
    prompt_hash: int | None = None


@dataclass(frozen=True, slots=True)
class RequestPage:
    """`next_cursor` leads on to older ones, `newer_cursor` back; None where there are none.

    `looked_back_to` is set where the look ended before the page was full: nobody knows what is further back. So is
    `looked_ahead_to`, of a look at newer ones.
    """

    requests: list[Usage]
    next_cursor: str | None
    newer_cursor: str | None = None
    looked_back_to: datetime | None = None
    looked_ahead_to: datetime | None = None


def list_requests(
    org: Organization,
    filters: RequestFilters | None = None,
    cursor: str | None = None,
    limit: int = 50,
    *,
    newer: bool = False,
    most_looked_at: int | None = None,
) -> RequestPage:
    """The organisation's requests, newest first, from the end of the page that `cursor` came with.

    Args:
        newer: `cursor` is a `newer_cursor`: the page before that one, whole, hence the first when less is before it.
        most_looked_at: after so many requests the look for those that the filters leave ends, full page or not.

    Raises:
        InvalidRequest: this is no cursor of the log.
    """
    filters = filters or RequestFilters()
    limit = max(1, min(limit, PAGE_LARGEST))
    rows = Usage.objects.of(org).filter(*_conditions(filters), **_lookups(org, filters))
    if cursor is not None and newer:
        page = _page_before(org, filters, rows, cursor, limit, most_looked_at)
        return page or list_requests(org, filters, None, limit, most_looked_at=most_looked_at)
    if cursor is not None:
        rows = _older(rows, cursor)
    end = _end_of_look(org, filters, cursor, most_looked_at)
    rows = rows.filter(pk__gte=end.pk, started_at__gte=end.started_at) if end else rows
    found = [*rows.order_by("-started_at", "-request_id")[: limit + 1]]
    shown, is_more = found[:limit], len(found) > limit
    last = shown[-1] if is_more else end
    return RequestPage(
        shown,
        _encoded(last) if last else None,
        _encoded(shown[0]) if shown and cursor is not None else None,
        None if is_more or end is None else end.started_at,
    )


def _older(rows: UsageQuerySet, cursor: str) -> UsageQuerySet:
    started_at, request_id = _decoded(cursor)
    return rows.filter(pk__lt=(started_at, request_id), started_at__lte=started_at)


def _page_before(
    org: Organization, filters: RequestFilters, rows: QuerySet[Usage], cursor: str, limit: int, most: int | None
) -> RequestPage | None:
    """None when less than a page is before the cursor."""
    started_at, request_id = _decoded(cursor)
    rows = rows.filter(pk__gt=(started_at, request_id), started_at__gte=started_at)
    end = _end_of_look(org, filters, cursor, most, newer=True)
    rows = rows.filter(pk__lte=end.pk, started_at__lte=end.started_at) if end else rows
    found = [*rows.order_by("started_at", "request_id")[: limit + 1]]
    if len(found) > limit:
        page = found[limit - 1 :: -1]
        return RequestPage(page, _encoded(page[-1]), _encoded(page[0]))
    if end is None:
        return None
    older = _encoded(found[0]) if found else _just_after(cursor)
    return RequestPage(found[::-1], older, _encoded(end), looked_ahead_to=end.started_at)


def _end_of_look(
    org: Organization, filters: RequestFilters, cursor: str | None, most: int | None, *, newer: bool = False
) -> Usage | None:
    """The last request to look at; None for all, as where an index finds what is wanted."""
    wanted = {name for name, value in asdict(filters).items() if value is not None}
    if most is None or not wanted - {"from_", "to", "key_id", "request_id"}:
        return None
    between = RequestFilters(from_=filters.from_, to=filters.to)
    rows = Usage.objects.of(org).filter(**_lookups(org, between))
    order = ("started_at", "request_id") if newer else ("-started_at", "-request_id")
    if cursor is not None:
        place = _decoded(cursor)
        by = "gt" if newer else "lt"
        rows = rows.filter(**{f"pk__{by}": place, f"started_at__{by}e": place[0]})
    return next(iter(rows.order_by(*order).only("started_at", "request_id")[most : most + 1]), None)


def get_request(org: Organization, request_id: str) -> Usage:
    """Raises: Usage.DoesNotExist: nobody's, another organisation's, or older than its organisation keeps."""
    around = _around(request_id)
    if around is None:
        raise Usage.DoesNotExist
    return Usage.objects.of(org).get(request_id=request_id, started_at__range=around)


def _around(request_id: str) -> tuple[datetime, datetime] | None:
    """A request's id tells when it was made; None for what is no such id."""
    made = ids.find_uuid(request_id, "req")
    if made is None:
        return None
    at = ids.made_at(made)
    return (at - CLOCKS_DIFFER, at + CLOCKS_DIFFER)


def _conditions(filters: RequestFilters) -> list[Q]:
    """As in `metering.sums`: who left before the end made no error."""
    if filters.is_error is None:
        return []
    is_error = ~Q(status=499) & (Q(status__gte=400) | ~Q(error_code=""))
    return [is_error if filters.is_error else ~is_error]


def _lookups(org: Organization, filters: RequestFilters) -> dict[str, object]:
    class_ = filters.status_class
    lookups = {
        "started_at__gte": filters.from_ or timezone.now() - (org.retention_days + 1) * DAY,
        "started_at__lt": filters.to,
        "model": filters.model,
        "route": filters.route,
        "target": filters.target,
        "target__startswith": filters.node and f"node/{filters.node}/",
        "key_id": filters.key_id,
        "user_id": filters.user_id,
        "status__range": None if class_ is None else (class_ * 100, class_ * 100 + 99),
        "error_code": filters.error_code,
        "stream": filters.stream,
        "request_id": filters.request_id,
        "started_at__range": filters.request_id and _around(filters.request_id),
        "duration_ms__gte": filters.min_duration_ms,
        "prompt_hash": filters.prompt_hash,
    }
    return {name: value for name, value in lookups.items() if value is not None}


def _encoded(usage: Usage) -> str:
    return base64.urlsafe_b64encode(f"{usage.started_at.isoformat()} {usage.request_id}".encode()).decode()


def _just_after(cursor: str) -> str:
    """A place from which what was at the cursor is an older one."""
    started_at, request_id = _decoded(cursor)
    return base64.urlsafe_b64encode(f"{started_at.isoformat()} {request_id}z".encode()).decode()


def _decoded(cursor: str) -> tuple[datetime, str]:
    try:
        moment, _, request_id = base64.urlsafe_b64decode(cursor.encode()).decode().partition(" ")
        started_at = datetime.fromisoformat(moment)
    except (binascii.Error, ValueError) as error:
        raise _not_ours() from error
    if started_at.tzinfo is None or "\0" in request_id:
        raise _not_ours()
    return started_at, request_id


def _not_ours() -> InvalidRequest:
    return InvalidRequest("This cursor did not come from the log.", param="cursor")
