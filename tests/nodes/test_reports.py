"""What nodes say of themselves: bounded, and believed in nothing that costs somebody else anything."""

from __future__ import annotations

import asyncio

import pytest

from nodes.findings import AT_ONCE, Keeper
from nodes.reports import MOST_MODELS, Report, ReportInvalid, parse, public_name

GOOD = {
    "models": [
        {
            "id": "llama3.1:8b",
            "runtime": "ollama",
            "context": 131072,
            "capabilities": {"tools": True, "chat": True, "vision": False, "embeddings": None},
            "measured": {"tokens_per_s": 41.5, "first_token_ms": 180},
        }
    ],
    "state": {"mode": "idle", "accepting": False, "reason": "user_active", "detail": "input 3 s ago"},
    "vitals": {
        "gpu": [{"name": "RTX 4090", "vram_total_bytes": 25_769_803_776, "vram_used_bytes": 0, "load": 0.5}],
        "cpu_load": 3.2,
        "ram_total_bytes": 68_719_476_736,
        "ram_used_bytes": 1,
        "queue": 2,
        "in_flight": 1,
        "on_battery": False,
    },
    "local_server": {"ok": True, "base_url": "http://127.0.0.1:11434", "runtime": "ollama", "error": None},
}


def test_a_whole_report():
    report = parse(GOOD)
    [model] = report.models
    assert (model.id, model.kind, model.able, model.context) == ("llama3.1:8b", "chat", ["chat", "tools"], 131072)
    assert (report.state.accepting, report.state.reason) == (False, "user_active")
    assert (report.vitals.queue, report.vitals.gpu[0].load) == (2, 0.5)
    assert report.local_server.ok


def test_what_is_not_said_is_not_known():
    assert parse({}) == Report()
    assert parse({"something": "newer"}) == Report()
    assert parse({"models": []}).models == []


@pytest.mark.parametrize(
    "said",
    [
        {"models": "all"},
        {"models": [{"id": "a"}]},
        {"models": [{"id": "a", "runtime": "mine"}]},
        {"models": [{"id": "", "runtime": "ollama"}]},
        {"models": [{"id": "a" * 201, "runtime": "ollama"}]},
        {"models": [{"id": "a", "runtime": "ollama", "context": 0}]},
        {"models": [{"id": "a", "runtime": "ollama", "context": 10**12}]},
        {"models": [{"id": "a", "runtime": "ollama", "capabilities": {"tools": "yes"}}]},
        {"models": [{"id": "a", "runtime": "ollama", "measured": {"tokens_per_s": -1}}]},
        {"models": [{"id": str(n), "runtime": "ollama"} for n in range(MOST_MODELS + 1)]},
        {"state": {"mode": "always"}},
        {"state": {"mode": "always", "accepting": 1}},
        {"state": {"mode": "always", "accepting": True, "reason": "<script>"}},
        {"state": {"mode": "always", "accepting": True, "detail": "x" * 301}},
        {"vitals": {"in_flight": -1}},
        {"vitals": {"queue": 10**9}},
        {"vitals": {"gpu": [{"name": "x", "load": 2}]}},
        {"vitals": {"gpu": [{"name": "x"}] * 33}},
        {"vitals": {"cpu_load": float("nan")}},
        {"vitals": {"ram_total_bytes": 1 << 60}},
        {"local_server": {"ok": "yes"}},
        {"local_server": {"ok": True, "base_url": "x" * 301}},
    ],
)
def test_what_no_agent_of_ours_would_say(said):
    with pytest.raises(ReportInvalid):
        parse(said)


def test_names_that_no_caller_could_write_are_passed_over():
    said = ["good", "two words", "/slash", "good", "tab\t"]
    report = parse({"models": [{"id": name, "runtime": "vllm"} for name in said]})
    assert [model.id for model in report.models] == ["good"]


@pytest.mark.parametrize(
    ("upstream", "public"),
    [
        ("llama3.1:8b", "llama3.1:8b"),
        ("org/model", "org/model"),
        ("mine:local", "mine-local"),
        ("node/x", "node-x"),
    ],
)
def test_public_names_can_be_asked_for(upstream, public):
    assert public_name(upstream) == public


class Desk:
    """Takes what is to be written, when it is let."""

    def __init__(self) -> None:
        self.written: list[Report] = []

    def save(self, node: str, report: Report) -> None:
        self.written.append(report)


async def until(condition) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.005)


def models(*ids: str) -> Report:
    return parse({"models": [{"id": name, "runtime": "ollama"} for name in ids]})


async def test_the_latest_word_is_written_and_nothing_twice():
    desk, told = Desk(), []
    keeper = Keeper("node_1", told.append, save=desk.save, every_s=0.05)
    for ids in (["a"], ["a", "b"], ["c"]):
        keeper.note(models(*ids))
    keeper.note(parse({"state": GOOD["state"], "vitals": GOOD["vitals"]}))
    await until(lambda: desk.written)
    keeper.note(models("c"))
    keeper.note(models("d"))
    await until(lambda: len(desk.written) == 2)
    await keeper.aclose()
    assert [[model.id for model in report.models] for report in desk.written] == [["c"], ["d"]]
    assert told == ["node_1", "node_1"]


async def test_how_it_starts_is_written_at_once_and_what_it_says_without_end_at_intervals():
    desk = Desk()
    keeper = Keeper("node_1", save=desk.save, every_s=3600)
    for number in range(AT_ONCE):
        keeper.note(models(str(number)))
        await until(lambda number=number: len(desk.written) == number + 1)
    for number in range(100):
        keeper.note(models(f"more {number}"))
        await asyncio.sleep(0)
    await asyncio.sleep(0.05)
    await keeper.aclose()
    assert len(desk.written) == AT_ONCE
