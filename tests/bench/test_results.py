import json
from dataclasses import replace

import pytest

from bench import results
from bench.results import Results, Row

_ROW = Row("shareai", "unary", 200.0, 4000.0, 3.5, 9.0, 120.0, 10_000, 0)
_RESULTS = Results(
    "2026-01-31T12:00:00Z",
    "2 cores",
    [_ROW, replace(_ROW, gateway="litellm", cpu_us=15_000.0), replace(_ROW, gateway="sglang-router", cpu_us=80.0)],
    {"portkey": "npm is not\ninstalled"},
)


def test_json_holds_the_schema_and_nothing_else() -> None:
    value = json.loads(_RESULTS.as_json())
    assert list(value) == ["date", "machine", "rows"]
    assert value["rows"][0] == {
        "gateway": "shareai",
        "case": "unary",
        "cpu_us": 200.0,
        "rps": 4000.0,
        "p50_ms": 3.5,
        "p99_ms": 9.0,
        "rss_mb": 120.0,
        "requests": 10_000,
        "failed": 0,
    }


def test_json_is_read_back() -> None:
    assert results.parse(_RESULTS.as_json()) == replace(_RESULTS, missing={})


@pytest.mark.parametrize(
    "change",
    [
        lambda value: value.pop("machine"),
        lambda value: value.update(missing={}),
        lambda value: value["rows"][0].pop("rss_mb"),
        lambda value: value["rows"][0].update(note="fast"),
        lambda value: value["rows"][0].update(cpu_us="200"),
        lambda value: value["rows"][0].update(requests=1.5),
        lambda value: value["rows"][0].update(failed=False),
        lambda value: value["rows"][0].update(gateway="apache"),
        lambda value: value["rows"][0].update(case="batch"),
    ],
)
def test_json_of_another_shape_is_refused(change) -> None:
    value = json.loads(_RESULTS.as_json())
    change(value)
    with pytest.raises(ValueError):
        results.parse(json.dumps(value))


def test_the_median_is_taken_of_figures_and_the_sum_of_counts() -> None:
    rounds = [_ROW, replace(_ROW, cpu_us=900.0, rps=100.0, failed=2), replace(_ROW, cpu_us=210.0, rps=3900.0)]
    row = results.median_row(rounds)
    assert (row.cpu_us, row.rps, row.p50_ms) == (210.0, 3900.0, 3.5)
    assert (row.requests, row.failed) == (30_000, 2)


def test_ratios_are_of_cpu_and_of_what_was_measured() -> None:
    assert results.ratios(_RESULTS) == [
        ("litellm ÷ shareai", "unary", 75.0, "≥ 70"),
        ("shareai ÷ sglang-router", "unary", 2.5, "≤ 3.6"),
    ]


def test_markdown_shows_rows_ratios_and_who_is_missing() -> None:
    text = results.markdown(_RESULTS)
    assert "| shareai | 200 | 4,000 | 3.5 | 9.0 | 120 | 10,000 | 0 |" in text
    assert "| litellm ÷ shareai | unary | 75.00 | ≥ 70 |" in text
    assert "- portkey: npm is not installed" in text
    assert "paced" not in text


def test_the_committed_results_have_the_schema() -> None:
    committed = results.Path(results.__file__).with_name("results.json")
    if not committed.exists():
        pytest.skip("not measured yet")
    assert results.parse(committed.read_text()).rows
