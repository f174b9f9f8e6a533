"""The last hour of a machine: what is kept of it, and what is drawn."""

from __future__ import annotations

import asyncio

import pytest
import redis
from django.conf import settings

from nodes import herald as told_by
from nodes.announcements import VITALS_PREFIX
from nodes.fleet import Fleet
from nodes.herald import Herald
from nodes.history import ANYWAY_S, HISTORY_PREFIX, MOST_SAMPLES, POINT_S, Diary, Sample, append, drawn, sample_of
from nodes.reports import Gpu, Report, State, Vitals
from nodes.sightings import history_of
from tests.nodes.tunnelling import serving

BUSY = Vitals(gpu=[Gpu("a", 10, 4, 0.5), Gpu("b", 30, 6, 0.914)], cpu_load=0.1, queue=3)


@pytest.fixture
def store():
    with redis.Redis.from_url(settings.REDIS_URL) as client:
        yield client
        client.delete(HISTORY_PREFIX + "node_1", VITALS_PREFIX + "node_1")


def test_the_busiest_gpu_and_all_memory():
    assert sample_of(BUSY, 2, 3, 1.0) == Sample(1.0, 0.91, 0.25, 2, 3)


def test_without_a_gpu_the_processor_tells():
    assert sample_of(Vitals(cpu_load=3.5), 0, 0, 1.0) == Sample(1.0, 1.0, None, 0, 0)
    assert sample_of(None, 1, 0, 1.0) == Sample(1.0, in_flight=1)


def test_nothing_new_is_kept_at_times_only():
    diary = Diary()
    kept = [at for at in range(0, 901, 20) if diary.wants("n", Sample(float(at), 0.1))]
    assert kept == [0, 300, 600, 900]
    assert diary.wants("n", Sample(905.0, 0.2))
    assert diary.wants("other", Sample(905.0, 0.2))
    diary.forget("n")
    assert diary.wants("n", Sample(906.0, 0.2))


def test_each_minute_shows_what_was_told_last():
    now = 100_000.0
    line = drawn([Sample(now - 3 * POINT_S - 1, 0.5), Sample(now - 1, 0.9)], now)
    assert len(line) == 60
    assert [sample.load for sample in line[-5:]] == [None, 0.5, 0.5, 0.5, 0.9]
    assert drawn([], now) == []


def test_a_machine_that_fell_silent_is_not_drawn_on():
    now = 100_000.0
    line = drawn([Sample(now - 30 * POINT_S, 0.5)], now)
    told = [sample for sample in line if sample.load is not None]
    assert ANYWAY_S / POINT_S <= len(told) <= ANYWAY_S / POINT_S + 2


def test_no_more_is_kept_than_an_hour_has(store):
    with store.pipeline() as pipeline:
        for number in range(MOST_SAMPLES + 20):
            append(pipeline, "node_1", Sample(float(number)))
        pipeline.execute()
    kept = history_of("node_1")
    assert (len(kept), kept[0].at_s, kept[-1].at_s) == (MOST_SAMPLES, 20.0, MOST_SAMPLES + 19)
    assert store.ttl(HISTORY_PREFIX + "node_1") > 3600


async def test_who_holds_the_connection_keeps_its_history(store, monkeypatch):
    monkeypatch.setattr(told_by, "EVERY_S", 0.05)
    monkeypatch.setattr(told_by, "TELL_S", 0.01)
    async with serving() as console, console.node():
        link = await console.until_connected()
        herald = Herald(settings.REDIS_URL, Fleet(), console.links)
        telling = asyncio.create_task(herald.tell_for_ever())
        herald.note(link, Report(state=State("always", accepting=True), vitals=BUSY))
        await until(lambda: [sample.load for sample in history_of("node_1")][-1:] == [0.91])
        store.delete(VITALS_PREFIX + "node_1")
        herald.note(link, Report(vitals=Vitals(gpu=[Gpu("a", 10, 4, 0.1)])))
        await until(lambda: [sample.load for sample in history_of("node_1")][-1:] == [0.1])
        assert store.ttl(VITALS_PREFIX + "node_1") > ANYWAY_S
        telling.cancel()
        await asyncio.wait([telling])
    assert len(history_of("node_1")) <= 3


async def until(holds) -> None:
    async with asyncio.timeout(10):
        while not await asyncio.to_thread(holds):
            await asyncio.sleep(0.02)
