"""What is doubted of a machine's word, what is kept of it, and the questions that are put to machines of others."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from datetime import timedelta

import msgspec
import pytest
from django.utils import timezone

from common.rates import TokenDetails
from nodes import canaries, recount
from nodes.canaries import CANARIES, Canaries
from nodes.doubts import doubts_about, keep, store_doubts
from nodes.models import Node, NodeDoubt
from nodes.recount import Recount, Recounts, doubts_of, text_of
from nodes.sources import target_of
from nodes.threads import in_thread
from providers.adapters.base import COUNTED, REPORTED, TokenUsage
from providers.dialer import Dialer
from providers.egress import AllowList
from providers.schema import CHAT, parse
from providers.targets import Target
from providers.upstream import DirectTransport
from tests.fakes.upstream import FaultUpstream
from tests.nodes.test_trials import ToThatServer

CALL = parse(CHAT, {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}, request_id="req_1", body_bytes=60)
ELEPHANT = next(index for index, canary in enumerate(CANARIES) if canary.answer == "elephant")


def said(input_tokens: int = 10, output_tokens: int = 20) -> TokenUsage:
    return TokenUsage(input_tokens, output_tokens, 0, REPORTED)


def recounted(usage: TokenUsage, *, target_id: int = -1, images: int = 0) -> Recount:
    """Of an answer of 100 bytes that counts as 20 tokens here."""
    return Recount("req_1", target_id, usage, TokenUsage(10, 20, 0, COUNTED), 100, 60, images=images)


@pytest.mark.parametrize(
    ("usage", "took_s", "doubts"),
    [
        (said(), 1.0, []),
        (said(output_tokens=60), 1.0, []),  # another vocabulary
        (said(input_tokens=500), 1.0, []),  # a talkative template
        (said(output_tokens=77), 1.0, [recount.INFLATED]),
        (said(output_tokens=117), 1.0, [recount.MORE_THAN_BYTES]),
        (said(input_tokens=573), 1.0, [recount.PROMPT_INFLATED]),
        (said(output_tokens=200), 0.03, [recount.MORE_THAN_BYTES, recount.TOO_FAST]),
        (said(output_tokens=0), 0.0, []),
    ],
)
def test_what_no_vocabulary_explains_is_doubted(usage, took_s, doubts):
    assert doubts_of(recounted(usage), took_s) == doubts


def test_a_long_answer_that_came_in_no_time():
    quick = Recount("req_1", -1, said(output_tokens=6000), TokenUsage(10, 6000), 30_000, 60)
    assert doubts_of(quick, 1.0) == [recount.TOO_FAST]
    assert doubts_of(quick, 2.0) == []


@pytest.mark.parametrize(
    ("usage", "images", "charged"),
    [
        ((10, 20), 0, (10, 20)),
        ((1, 2), 0, (1, 2)),  # less than is counted here is its own affair
        ((84, 33), 0, (84, 33)),  # a template, and a vocabulary that splits a quarter finer
        ((85, 33), 0, (10, 33)),
        ((84, 34), 0, (84, 20)),
        ((9000, 5000), 0, (10, 20)),
        ((84 + 4096, 20), 1, (84 + 4096, 20)),
        ((85 + 4096, 20), 1, (10 + 4096, 20)),
    ],
)
def test_a_claim_is_believed_near_the_gateway_s_own_count(usage, images, charged):
    believed = recounted(said(*usage), images=images).believed
    assert (believed.input_tokens, believed.output_tokens) == charged
    assert believed.source == (REPORTED if charged == usage else COUNTED)


def test_what_is_not_believed_takes_its_kinds_of_tokens_along():
    usage = TokenUsage(9000, 5000, 8000, REPORTED, TokenDetails(audio_input=900, reasoning=4000))
    believed = recounted(usage).believed
    assert believed == TokenUsage(10, 20, 10, COUNTED, TokenDetails(reasoning=20))


@pytest.mark.parametrize(
    ("body", "word"),
    [
        (b'{"choices":[{"message":{"content":"Hello","reasoning":"Hm"}}]}', "Hm"),
        (b'{"choices":[{"message":{"tool_calls":[{"function":{"arguments":"{\\"a\\":1}"}}]}}]}', '{"a":1}'),
        (b'{"choices":[{"message":{"content":[{"type":"text","text":"A part"}]}}]}', "A part"),
        (b'{"choices":[1]}', "choices"),
        (b'{"choices":2}', "choices"),
        (b'{"choices":[{"text":"Once"}]}', "Once"),
        (b"no JSON", "no JSON"),
    ],
)
def test_all_that_a_model_may_have_written_counts(body, word):
    assert word in text_of(body)


@pytest.mark.django_db
def test_what_repeats_within_a_day_is_one_row(acme, rival, enrolled):
    node = enrolled("Box", "llama3.1:8b")
    target_id = target_of(node, node.served_models.get()).id
    for _ in range(3):
        store_doubts(recounted(said(output_tokens=117), target_id=target_id), [recount.MORE_THAN_BYTES])
    (row,) = doubts_about(node, timezone.now() - timedelta(days=1))
    assert (row.kind, row.times, row.upstream_id) == (recount.MORE_THAN_BYTES, 3, "llama3.1:8b")
    assert (row.said_tokens, row.counted_tokens, row.request_id) == (3 * 127, 3 * 30, "req_1")
    assert not doubts_about(node, timezone.now() + timedelta(days=1))
    assert not NodeDoubt.objects.of(rival)


@pytest.mark.django_db
def test_of_a_model_that_is_gone_nothing_is_kept():
    store_doubts(recounted(said()), [recount.INFLATED])
    assert not NodeDoubt.objects.exists()


@pytest.fixture(scope="module")
def server() -> Iterator[FaultUpstream]:
    with FaultUpstream(models=["sim-chat"]) as server:
        yield server


@pytest.fixture
async def transport(server) -> AsyncIterator[ToThatServer]:
    server.heal()
    server.log.clear()
    direct = DirectTransport(Dialer(AllowList.parse(f"127.0.0.1:{server.port}")))
    yield ToThatServer(direct, server.base_url)
    direct.close()


@pytest.fixture
def committed(transactional_db, enrolled) -> Node:
    return enrolled("Box", "sim-chat")


@pytest.fixture
def served(committed) -> Target:
    return target_of(committed, committed.served_models.get())


class Draws:
    def __init__(self, *numbers: float) -> None:
        self.left = list(numbers)

    def __call__(self) -> float:
        return self.left.pop(0)


async def asked(transport: ToThatServer, target: Target, canary: int = ELEPHANT) -> None:
    """One canary, to its end."""
    draws = Draws(0.0, canary / len(CANARIES))
    made = Canaries(transport, Recounts(lambda call, text: TokenUsage(10, 20), keep), 0.01, draws)
    made.note(target)
    (task,) = made._asking.values()
    await task


def kinds(node: Node) -> list[str]:
    return sorted(NodeDoubt.objects.of(node.org).values_list("kind", flat=True))


@pytest.mark.django_db(transaction=True)
async def test_a_right_answer_leaves_no_doubt(transport, server, committed, served):
    await asked(transport, served)
    assert "elephant" in server.log.posts[-1].prompt
    assert await in_thread(kinds, committed) == []


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("fault", "canary", "found"),
    [
        ("ok", 0, [recount.WRONG_ANSWER]),
        ("500", ELEPHANT, [recount.NO_ANSWER]),
        ("429", ELEPHANT, []),  # busy is no lie
    ],
)
async def test_a_canary_that_does_not_sing(transport, server, committed, served, fault, canary, found):
    server.fail(fault)
    await asked(transport, served, canary)
    assert await in_thread(kinds, committed) == found


@pytest.mark.django_db(transaction=True)
async def test_silence_is_no_answer(transport, server, committed, served, monkeypatch):
    monkeypatch.setattr(canaries, "LONGEST_S", 0.3)
    server.fail("hang")
    await asked(transport, served)
    assert await in_thread(kinds, committed) == [recount.NO_ANSWER]


async def test_so_many_as_are_wished_and_one_at_a_time_for_each_machine(transport):
    target = Target(-1, "node/a/m", 1, -1, "node/a", "A", "m", "m", "openai", "tunnel", "", (), node="node_a")
    made = Canaries(transport, Recounts(lambda call, text: TokenUsage(), keep), 0.25, Draws(0.25, 0.9, 0.2, 0.0, 0.2))
    made.note(target)
    made.note(target)
    assert not made._asking
    made.note(msgspec.structs.replace(target, kind="embedding"))
    made.note(target)
    made.note(target)
    assert list(made._asking) == ["node_a"]
    await made.aclose()
    assert not made._asking


def test_only_what_a_model_writes_counts():
    hidden = b'{"choices":[{"message":{"role":"assistant","content":"Hi","padding":"so many words"}}],"id":"words"}'
    assert text_of(hidden) == "Hi"
    assert text_of(b'{"choices":[{"message":' + b'{"content":' * 300 + b'"deep"' + b"}" * 300 + b"}]}") == "deep"


async def test_doubts_are_kept_one_after_the_other_and_no_more_wait_than_there_is_room_for(monkeypatch, caplog):
    monkeypatch.setattr(recount, "MOST_WAITING", 5)
    kept: list[list[str]] = []

    async def take(recount: Recount, doubts: list[str]) -> None:
        kept.append(doubts)

    recounts = Recounts(lambda call, text: TokenUsage(), take)
    target = Target(-1, "node/a/m", 1, -1, "node/a", "A", "m", "m", "openai", "tunnel", "", (), node="node_a")
    for _ in range(7):
        recounts.note(target, recounted(said(output_tokens=117)), 1.0)
    recounts.note(target, recounted(said()), 1.0)
    recounts.note(target, None, 1.0)
    await recounts.aclose()
    assert kept == [[recount.MORE_THAN_BYTES]] * 5
    assert sum("not kept" in line.message for line in caplog.records) == 2
    recounts.note(target, recounted(said(output_tokens=117)), 1.0)
    await recounts.aclose()
    assert len(kept) == 6
