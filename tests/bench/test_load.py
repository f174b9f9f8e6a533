"""The load generator counts whole answers, and no others."""

from collections import Counter

import pytest

from bench import answers, load
from bench.processes import free_port


def _streamed(events: list[bytes]) -> bytes:
    return answers.http("200 OK", b"".join(events), "text/event-stream")


@pytest.mark.parametrize(
    ("word", "streamed"), [("", False), ("", True), ("bench-paced", True)], ids=["unary", "stream", "paced"]
)
async def test_counts_whole_answers(upstream_port: int, aim_at, word: str, streamed: bool) -> None:
    seen = await load.send(aim_at(upstream_port, word, streamed), requests=50, connections=8)
    assert (seen.requests, seen.failed, len(seen.latencies_s)) == (50, 0, 50)
    assert 0 < seen.percentile_ms(0.5) <= seen.percentile_ms(0.99)
    assert seen.rps > 0


@pytest.mark.parametrize("streamed", [False, True], ids=["unary", "stream"])
async def test_a_wrong_status_is_a_failure(upstream_port: int, aim_at, streamed: bool) -> None:
    seen = await load.send(aim_at(upstream_port, "bench-broken", streamed), requests=20, connections=4)
    assert (seen.failed, seen.latencies_s) == (20, [])
    assert seen.faults == Counter({"status 500": 20})


@pytest.mark.parametrize("streamed", [False, True], ids=["unary", "stream"])
async def test_a_truncated_answer_is_a_failure(upstream_port: int, aim_at, streamed: bool) -> None:
    seen = await load.send(aim_at(upstream_port, "bench-truncated", streamed), requests=20, connections=4)
    assert seen.faults == Counter({"closed before the answer was whole": 20})


async def test_a_gateway_that_closes_each_time_is_no_failure(serve, aim_at) -> None:
    port = await serve(answers.http("200 OK", answers.completion()))
    seen = await load.send(aim_at(port), requests=20, connections=4)
    assert (seen.failed, len(seen.latencies_s)) == (0, 20)


@pytest.mark.parametrize(
    ("events", "fault"),
    [
        (answers.events(False)[:-1], "no [DONE] at the end"),
        (answers.events(False)[1:], "99 chunks instead of 100"),
        ([answers.events(False)[0], *answers.events(False)], "101 chunks instead of 100"),
        ([*reversed(answers.events(False)[:-1]), answers.DONE], "chunks out of order"),
        ([], "no [DONE] at the end"),
    ],
    ids=["no done", "one missing", "one twice", "order", "empty"],
)
async def test_a_stream_that_ends_well_in_http_alone_is_a_failure(serve, aim_at, events, fault: str) -> None:
    port = await serve(_streamed(events))
    seen = await load.send(aim_at(port, streamed=True), requests=5, connections=1)
    assert seen.faults == Counter({fault: 5})


@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        (answers.http("200 OK", answers.completion()[:-1]), "not a completion"),
        (answers.http("200 OK", b"{}"), "not a completion"),
        (answers.http("200 OK", answers.completion().replace(b"w42", b"w43")), "wrong content"),
        (b"who is there?\r\n\r\n", "not HTTP"),
        (b"", "closed before the answer was whole"),
    ],
    ids=["cut JSON", "other JSON", "other text", "not HTTP", "silence"],
)
async def test_a_wrong_completion_is_a_failure(serve, aim_at, answer: bytes, fault: str) -> None:
    seen = await load.send(aim_at(await serve(answer)), requests=5, connections=1)
    assert seen.faults == Counter({fault: 5})


async def test_nobody_there_ends_the_run(aim_at) -> None:
    seen = await load.send(aim_at(free_port()), requests=6, connections=2)
    assert seen.failed == 6
    assert next(iter(seen.faults)).startswith("no connection")
    assert seen.percentile_ms(0.5) == 0.0


async def test_an_answer_that_never_comes_ends_the_run(upstream_port: int, aim_at) -> None:
    aim = aim_at(upstream_port)
    without_end = load.Aim(aim.host, aim.port, aim.request[:-5], aim.check)
    seen = await load.send(without_end, requests=4, connections=2, timeout_s=0.2)
    assert seen.faults == Counter({"no whole answer in 0.2 s": 4})


async def test_more_connections_than_requests(upstream_port: int, aim_at) -> None:
    seen = await load.send(aim_at(upstream_port), requests=3, connections=64)
    assert (seen.failed, len(seen.latencies_s)) == (0, 3)
