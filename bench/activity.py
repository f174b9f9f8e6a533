"""How long the pages of usage take with many usage rows: `python -m bench.activity`, with `--rows 10000000` whole.

Fills one organisation of the database of DATABASE_URL, else of an embedded PostgreSQL, with usage made by
`generate_series`, half of it charged; sums it as the console does; then asks each page as a browser would, and says
the median time and the number of queries, and whether one of them reads the ledger from end to end. The ledger gets a
long life too, of `--entries` over 60 days. `--filled` leaves out the filling; `--prove` times the ledger's proof.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench import movements
from bench.progress import say

if TYPE_CHECKING:
    from django.test import Client

    from accounts.models import Organization

EMAIL = "activity@shareai.local"
TIMES = 7
PAGES = (
    "/", "/activity?range=24h", "/activity", "/activity?range=30d", "/activity?range=90d", "/activity?range=month",
    "/activity?range=30d&group=key", "/activity?range=30d&group=member&figure=requests",
    "/activity?range=30d&group=node", "/activity?range=30d&group=target&model=model-3",
    "/activity?range=30d&group=route&figure=saved", "/activity/same?range=30d", "/logs",
    "/logs?error=none-such", "/logs?prompt=0000000000000007", "/activity/exports?range=30d", "/activity/statements",
    "/activity/insight?window=24h", "/activity/insight?window=30d", *movements.PAGES,
)  # fmt: skip

FILL = """
INSERT INTO metering_usage (
    started_at, request_id, org_id, key_id, user_id, endpoint, model, route, target, target_id, status, error_code,
    stream, usage_source, billing_reason, input_tokens, cached_tokens, output_tokens, cost_nanos, price_version,
    attempts, attempt_count, duration_ms, ttft_ms, cache, saved_nanos, prompt_hash
)
SELECT %(from)s::timestamptz + (%(to)s::timestamptz - %(from)s::timestamptz) * (n::float8 / %(rows)s),
    'req_' || lpad(to_hex(n), 32, '0'), %(org)s, (%(keys)s::bigint[])[(1 + k)::int],
    (%(users)s::bigint[])[(1 + k %% %(people)s)::int],
    'chat/completions', 'model-' || m, CASE WHEN k %% 3 = 0 THEN '' ELSE 'route-' || k %% 4 END,
    CASE WHEN hit THEN '' WHEN t = 0 THEN 'vendor/model-' || m WHEN t = 1 THEN 'own/model-' || m
         ELSE 'node/desk-' || m %% 3 || '/model-' || m END,
    CASE WHEN hit THEN NULL WHEN t = 0 THEN 1000 + m ELSE 2000 + m END,
    CASE WHEN n %% 97 = 0 THEN 502 ELSE 200 END, CASE WHEN n %% 97 = 0 THEN 'provider_unavailable' ELSE '' END,
    true, 'reported', CASE WHEN hit THEN 'cached' ELSE 'completed' END,
    200 + h %% 3000, h %% 200, 20 + h %% 900, CASE WHEN hit THEN 0 ELSE 10000 + h %% 4000000 END, 1,
    CASE WHEN hit THEN '[]' ELSE '[{"target": "vendor/model", "outcome": "ok"}]' END::jsonb, (NOT hit)::int,
    CASE WHEN hit THEN 4 ELSE 150 + h %% 9000 END, CASE WHEN hit THEN 2 ELSE 60 + h %% 1200 END,
    CASE WHEN hit THEN 'HIT' WHEN k %% 2 = 0 THEN 'MISS' ELSE '' END,
    CASE WHEN hit THEN 10000 + h %% 4000000 ELSE 0 END,
    1 + h %% 100000
FROM (
    SELECT n, k, t, h, (k * 5 + h / 7 %% 3) %% 12 AS m, k %% 2 = 0 AND h %% 11 = 0 AS hit
    FROM (SELECT n, h, h %% %(count)s AS k, h / 60 %% 4 / 2 * (1 + h %% 2) AS t
          FROM (SELECT n, (n * 2654435761) %% 4294967291 AS h
                FROM generate_series(%(first)s, %(last)s) AS n) AS a) AS b
) AS c
"""
CHARGE = """
INSERT INTO billing_charge (request_id, revision, started_at, org_id, target_id, price_version, input_tokens,
    cached_tokens, output_tokens, charge_nanos, written_off_nanos, provider_nanos, owner_nanos, transfer_id)
SELECT request_id, 0, started_at, org_id, target_id, 1, input_tokens, cached_tokens, output_tokens, cost_nanos, 0,
    cost_nanos, 0, 0
FROM metering_usage
WHERE org_id = %(org)s AND started_at >= %(from)s AND started_at < %(to)s AND target_id < 2000
"""
MARK = """
INSERT INTO metering_dirtybucket (org_id, hour)
SELECT %(org)s, hour FROM generate_series(date_trunc('hour', %(from)s::timestamptz, 'UTC'), %(to)s, '1 hour') AS hour
"""
AT_ONCE = 500_000


def fill(organization: Organization, rows: int, days: int, keys: int, now: datetime) -> None:
    """Usage of so many days up to now, by so many keys of a third as many members; then its charges and marks."""
    from django.db import connection

    from accounts.models import Membership

    key_ids = _keys(organization, keys)
    users = [*Membership.objects.of(organization).values_list("user_id", flat=True)]
    span: dict[str, Any] = {"org": organization.pk, "from": now - timedelta(days=days), "to": now}
    given: dict[str, Any] = {
        **span,
        "keys": key_ids,
        "count": keys,
        "users": users,
        "people": len(users),
        "rows": rows,
    }
    with connection.cursor() as cursor:
        _months(span["from"], now)
        for first in range(0, rows, AT_ONCE):
            cursor.execute(FILL, {**given, "first": first, "last": min(rows, first + AT_ONCE) - 1})
        cursor.execute(CHARGE, span)
        cursor.execute(MARK, span)
        cursor.execute("ANALYZE metering_usage, billing_charge")


def _months(start: datetime, now: datetime) -> None:
    from metering.partitions import ensure_partitions

    at = start.replace(day=1)
    while at <= now:
        ensure_partitions(0, at)
        at = (at + timedelta(days=32)).replace(day=1)


def _keys(organization: Organization, count: int) -> list[int]:
    from accounts import roles
    from accounts.audit import Actor
    from accounts.keys import create_key
    from accounts.models import Membership, User

    actor = Actor.system("bench")
    for number in range(count // 3):
        user = User.objects.create_user(f"person-{organization.pk}-{number}@shareai.local", name=f"Person {number}")
        Membership.objects.create(org=organization, user=user, role=roles.DEVELOPER)
    made = (
        create_key(organization, actor, name=f"App {n}", scopes=["inference"], created_by=None) for n in range(count)
    )
    return [one.key.pk for one in made]


def sum_up() -> None:
    from django.db import connection

    from metering import rollups

    rollups.roll_up()
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE metering_rollup")


def look_through(organization: Organization) -> None:
    """What a worker does for Insight, of the largest window and the smallest."""
    from django.utils import timezone

    from metering import findings

    for window in ("24h", "30d"):
        began_s = time.monotonic()
        findings.begin(organization, window, timezone.now())
        findings.keep(organization, window)
        say(f"insight of {window} found in {time.monotonic() - began_s:.1f} s")


def measure(client: Client, pages: Sequence[str] = PAGES) -> None:
    for address in pages:
        status, queries = statements_of(client, address)
        took_ms = []
        for _ in range(TIMES):
            began_s = time.perf_counter()
            client.get(address)
            took_ms.append(1000 * (time.perf_counter() - began_s))
        whole = ", ".join(sorted(movements.read_whole(queries)))
        told = f"reads all of {whole}" if whole else ""
        say(f"{address:<55} {status}  {len(queries):>3} queries  {statistics.median(took_ms):>6.0f} ms  {told}")


def asked_of(client: Client, address: str) -> tuple[int, int]:
    """The status, and how many statements it took."""
    status, statements = statements_of(client, address)
    return status, len(statements)


def statements_of(client: Client, address: str) -> tuple[int, list[tuple[str, Any]]]:
    """The status, and what was asked; marks inside of a transaction are none."""
    from django.db import connection

    statements: list[tuple[str, Any]] = []

    def counted(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if "SAVEPOINT" not in sql:
            statements.append((sql, params))
        return execute(sql, params, many, context)

    with connection.execute_wrapper(counted):
        return client.get(address).status_code, statements


def run(rows: int, days: int, keys: int, entries: int, *, filled: bool, prove: bool) -> None:
    from django.core.management import call_command
    from django.test import Client
    from django.utils import timezone

    from accounts.models import Membership, Organization, User
    from accounts.organizations import create_organization

    if not filled:
        call_command("migrate", verbosity=0)
        organization = create_organization(User.objects.create_user(EMAIL), "Activity")
        Organization.objects.filter(pk=organization.pk).update(time_zone="Asia/Bangkok", retention_days=400)
        organization.refresh_from_db()
        began_s = time.monotonic()
        fill(organization, rows, days, keys, timezone.now())
        say(f"{rows:,} rows filled in {time.monotonic() - began_s:.0f} s")
        began_s = time.monotonic()
        sum_up()
        say(f"{rows:,} rows summed in {time.monotonic() - began_s:.0f} s")
        began_s = time.monotonic()
        movements.fill(organization, entries, 60, timezone.now())
        say(f"{entries:,} entries of the ledger filled in {time.monotonic() - began_s:.0f} s")
    if prove:
        say("proven: " + ", ".join(f"{name} in {took_s:.1f} s" for name, took_s in movements.proven_s().items()))
    member = Membership.objects.select_related("org", "user").get(user__email=EMAIL)
    look_through(member.org)
    client = Client()
    client.force_login(member.user)
    measure(client)


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--rows", type=int, default=200_000)
    options.add_argument("--days", type=int, default=90)
    options.add_argument("--keys", type=int, default=60)
    options.add_argument("--entries", type=int, default=200_000)
    options.add_argument("--filled", action="store_true")
    options.add_argument("--prove", action="store_true")
    given = options.parse_args()
    with ExitStack() as stack:
        os.environ |= {"SECRET_KEY": "bench", "DJANGO_SETTINGS_MODULE": "console.settings", "ALLOWED_HOSTS": "*"}
        _embed_what_is_missing(stack)
        import django

        django.setup()
        run(given.rows, given.days, given.keys, given.entries, filled=given.filled, prove=given.prove)


def _embed_what_is_missing(stack: ExitStack) -> None:
    from console.embedded.postgres import postgres
    from console.embedded.redis import redis

    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="shareai-bench-")))
    folder.chmod(0o711)
    for name, engine in (("DATABASE_URL", postgres), ("REDIS_URL", redis)):
        if name not in os.environ:
            os.environ[name] = stack.enter_context(engine(folder / engine.__name__)).url


if __name__ == "__main__":
    main()
