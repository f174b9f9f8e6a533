"""Availability day by day: of attempts as they are summed, of probes, and of outages; drawn and told in words."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from django.urls import reverse
from django.utils import timezone

from console.availability import DAYS, Availability, DayOfConnection, availability_of, availability_of_node
from console.templatetags.availability import availability_bars, told, uptime
from metering.models import AttemptSum
from metering.rollups import roll_up
from nodes.models import Node
from providers.models import HealthChange, ProbeDay
from tests.console.pages import machines
from tests.console.pages.conftest import answered, failed, record

pytestmark = pytest.mark.django_db

NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)


def of(acme, connection, now=NOON) -> Availability:
    return availability_of(acme, [connection], now)[connection.pk]


def changed(connection, at: datetime, before: str, after: str) -> None:
    HealthChange.objects.create(
        org=connection.org, connection_id=connection.pk, name=connection.slug, at=at, before=before, after=after
    )


def test_attempts_that_others_made_good_count_against_the_target(acme, connection, key):
    record(acme, key, 1, attempts=[failed("aurora/demo-chat"), answered("borealis/demo-chat")])
    record(acme, key, 2, attempts=[answered("aurora/demo-chat")])
    record(acme, key, 3, attempts=[answered("aurora/demo-embed")])
    roll_up()
    today = of(acme, connection, timezone.now()).days[-1]
    assert (today.attempts, today.failed) == (3, 1)
    assert today.share == pytest.approx(2 / 3)


def test_sums_stay_right_when_an_hour_is_summed_again_and_late_rows_come(acme, connection, key):
    for seconds_ago in (1, 2):
        record(acme, key, seconds_ago, attempts=[failed("aurora/demo-chat"), answered("borealis/demo-chat")])
        roll_up()
    sums = {row.target: (row.attempts, row.failed) for row in AttemptSum.objects.of(acme)}
    assert sums == {"aurora/demo-chat": (2, 2), "borealis/demo-chat": (2, 0)}


@pytest.mark.parametrize("outcome", ["cancelled", "rejected_request", "rate_limited", "unauthorized"])
def test_what_is_not_the_targets_fault_is_none_of_its_failures(acme, connection, key, outcome):
    record(acme, key, 1, attempts=[msgspec.structs.replace(failed("aurora/demo-chat"), outcome=outcome)])
    roll_up()
    assert [*AttemptSum.objects.values_list("attempts", "failed")] == [(1, 0)]


def test_an_outage_counts_by_its_time_over_midnight(acme, connection):
    changed(connection, NOON - timedelta(hours=15), "up", "down")
    changed(connection, NOON - timedelta(hours=9), "down", "up")
    yesterday, today = of(acme, connection).days[-2:]
    assert (yesterday.down_s, today.down_s) == (3 * 3600, 3 * 3600)
    assert yesterday.share == pytest.approx(21 / 24)
    assert today.share == pytest.approx(9 / 12), "of the day so far"


def test_an_outage_that_lasts_counts_until_now(acme, connection):
    changed(connection, NOON - timedelta(hours=6), "up", "down")
    assert of(acme, connection).days[-1].down_s == 6 * 3600


def test_a_day_of_good_probes_is_a_good_day_and_one_without_any_is_unknown(acme, connection):
    ProbeDay.objects.create(org=acme, connection=connection, day=NOON.date(), succeeded=99, failed=1)
    found = of(acme, connection)
    assert (len(found.days), len(found.known)) == (DAYS, 1)
    assert (found.days[-1].grade, found.days[-2].grade) == ("good", "none")


def test_another_organisations_attempts_are_not_counted(acme, rival, connection, key):
    record(acme, key, 1, attempts=[answered("aurora/demo-chat")])
    roll_up()
    assert of(rival, connection, timezone.now()).days[-1].attempts == 0


def test_the_drawing_has_a_bar_per_day_and_says_it_in_words(acme, connection):
    changed(connection, NOON - timedelta(hours=6), "up", "down")
    found = of(acme, connection)
    drawn = availability_bars(found)
    assert drawn.count("<title>") == DAYS
    assert 'role="img"' in drawn
    assert "1 day with trouble: 10 Mar: 50.00 %" in told(found)
    assert "down for 6 h 0 min" in told(found)
    assert drawn.count("day-poor") == 1


@pytest.mark.parametrize(
    ("share", "said"), [(None, "–"), (1.0, "100 %"), (0.99999, "99.99 %"), (0.5, "50.00 %"), (0.0, "0.00 %")]
)
def test_uptime_is_never_rounded_up(share, said):
    assert uptime(share) == said


def test_the_lower_share_is_the_days():
    day = DayOfConnection(NOON.date(), attempts=1000, failed=1, down_s=8640.0)
    assert day.share == pytest.approx(0.9)


@pytest.mark.parametrize("language", ["en", "th"])
def test_the_pages_show_it(as_browser, alice, acme, connection, language):
    ProbeDay.objects.create(org=acme, connection=connection, day=timezone.now().date(), succeeded=9)
    browser = as_browser(alice, language)
    assert "100 %" in browser.get(reverse("providers-detail", args=[connection.public_id])).content.decode()
    assert "100 %" in browser.get(reverse("models")).content.decode()


def test_days_are_listed_by_the_api(client_of, alice, acme, connection):
    shown = client_of(alice).get(f"/api/v1/providers/{connection.public_id}/availability").json()
    assert (len(shown["days"]), shown["share"]) == (DAYS, None)


def test_days_of_a_machine_are_listed_by_the_api(client_of, alice, acme, as_alice):
    node = machines.new_node(acme, as_alice)
    shown = client_of(alice).get(f"/api/v1/nodes/{node.public_id}/availability").json()
    assert (len(shown["days"]), shown["share"]) == (DAYS, None)


def test_a_machine_s_days_are_its_own_attempts_since_it_was_enrolled(as_browser, alice, acme, as_alice, key):
    node = machines.new_node(acme, as_alice)
    stem = f"node/{node.slug}"
    record(acme, key, 1, attempts=[failed(f"{stem}/org/llama"), answered("borealis/demo-chat")])
    record(acme, key, 2, attempts=[answered(f"{stem}/org/llama")])
    record(acme, key, 3, attempts=[answered("node/another/org/llama")])
    roll_up()
    today = availability_of_node(acme, node).days[-1]
    assert (today.attempts, today.failed, today.grade) == (2, 1, "poor")
    page = as_browser(alice).get(reverse("nodes-detail", args=[node.public_id])).content.decode()
    assert "Availability: 50.00 %" in page
    Node.objects.filter(pk=node.pk).update(created_at=timezone.now() + timedelta(days=1))
    node.refresh_from_db()
    assert availability_of_node(acme, node).known == [], "of another machine that had its name"
