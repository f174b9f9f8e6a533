from __future__ import annotations

from math import ceil
from statistics import quantiles

import pytest
from django.db import connection
from hypothesis import given
from hypothesis import strategies as st

from metering.spread import EDGES_MS, Spread, digit_of, digit_sql

times = st.lists(st.integers(0, EDGES_MS[-1]), min_size=1, max_size=200)


@given(times)
def test_a_quantile_is_within_the_step_of_the_time_it_stands_for(milliseconds):
    spread = Spread(sum(map(digit_of, milliseconds)))
    assert sum(spread.counts()) == len(milliseconds)
    for share in (0.01, 0.5, 0.99):
        exact = sorted(milliseconds)[ceil(len(milliseconds) * share) - 1]
        found = spread.quantile(share)
        assert found is not None
        assert exact / 1.26 - 10 <= found <= exact * 1.26 + 10


def test_nothing_measured_has_no_quantile():
    assert Spread(0).quantile(0.5) is None


def test_an_even_spread_has_its_median_in_the_middle():
    milliseconds = [*range(100, 1100)]
    found = Spread(sum(map(digit_of, milliseconds))).quantile(0.5)
    assert found == pytest.approx(quantiles(milliseconds, n=2)[0], rel=0.05)


@pytest.mark.django_db
def test_the_database_packs_as_we_do():
    wanted = [None, 0, 9, 10, 12, 13, 999, 358_731, 358_732, 2**31 - 1]
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT {digit_sql('at')} FROM unnest(%s::int[]) WITH ORDINALITY AS t (at, n) ORDER BY n", [wanted]
        )
        assert [int(row[0]) for row in cursor.fetchall()] == [*map(digit_of, wanted)]
