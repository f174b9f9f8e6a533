"""The test prompt, over a real wire to servers that answer, fail and fall silent."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import msgspec
import pytest

from nodes import trials
from nodes.findings import Trial, store_trial
from nodes.models import NodeModel
from nodes.sources import target_of
from nodes.trials import Trials, next_to_try, try_model
from providers.dialer import Dialer
from providers.egress import AllowList
from providers.targets import Target
from providers.transport import Deadlines, Transport, UpstreamRequest, UpstreamResponse
from providers.upstream import DirectTransport
from tests.fakes.upstream import KEY, FaultUpstream


@pytest.fixture(scope="module")
def server() -> Iterator[FaultUpstream]:
    with FaultUpstream(models=["sim-chat", "sim-embed"]) as server:
        yield server


class ToThatServer(Transport):
    """Brings what is meant for a node to one server, as a tunnel would, with the key that only the machine knows."""

    def __init__(self, direct: DirectTransport, base_url: str) -> None:
        self._direct = direct
        self._base_url = base_url

    async def send(self, target: Target, request: UpstreamRequest, deadlines: Deadlines) -> UpstreamResponse:
        there = msgspec.structs.replace(target, base_url=self._base_url)
        keyed = (*request.headers, ("Authorization", f"Bearer {KEY}"))
        return await self._direct.send(there, msgspec.structs.replace(request, headers=keyed), deadlines)


@pytest.fixture
async def transport(server) -> AsyncIterator[ToThatServer]:
    direct = DirectTransport(Dialer(AllowList.parse(f"127.0.0.1:{server.port}")))
    yield ToThatServer(direct, server.base_url)
    direct.close()


def target(upstream_id: str, kind: str = "chat") -> Target:
    return Target(
        id=-1,
        name=f"node/box/{upstream_id}",
        org_id=1,
        connection_id=-1,
        connection_slug="node/box",
        connection_name="Box",
        model_id=upstream_id,
        upstream_id=upstream_id,
        adapter="openai",
        transport="tunnel",
        base_url="node://node_1",
        credentials=(),
        kind=kind,
    )


async def test_a_model_that_answers_is_measured(transport):
    trial = await try_model(transport, target("sim-chat"))
    assert (trial.ok, trial.error) == (True, "")
    assert trial.first_token_ms > 0


async def test_an_embedding_model_is_asked_for_a_vector(transport):
    assert (await try_model(transport, target("sim-embed", "embedding"))).ok


@pytest.mark.parametrize("fault", ["500", "200-html", "empty", "reset-midstream", "error-event-midway"])
async def test_a_model_that_does_not_is_told_by_what_it_did(transport, server, fault):
    trial = await try_model(transport, target(fault))
    assert not trial.ok
    assert trial.error
    assert "127.0.0.1" not in trial.error


async def test_silence_ends(transport, monkeypatch):
    monkeypatch.setattr(trials, "LONGEST_S", 0.3)
    assert "no answer within" in (await try_model(transport, target("hang"))).error


@pytest.mark.django_db
def test_one_model_after_the_other_until_one_answers(enrolled):
    node = enrolled("Box", "a", "b")
    rows = {row.upstream_id: row for row in NodeModel.objects.all()}
    assert next_to_try(node.public_id) == target_of(node, rows["a"])
    store_trial(node.public_id, Trial("a", ok=False, error="no"))
    assert next_to_try(node.public_id).upstream_id == "b"
    store_trial(node.public_id, Trial("b", ok=False, error="no"))
    assert next_to_try(node.public_id).upstream_id == "a"
    store_trial(node.public_id, Trial("a", ok=True))
    assert next_to_try(node.public_id) is None
    NodeModel.objects.update(trial_ok=None, advertised=False)
    assert next_to_try(node.public_id) is None


@pytest.fixture
def committed_node(enrolled) -> str:
    return str(enrolled("Box", "500", "sim-chat").public_id)


@pytest.mark.django_db(transaction=True)
async def test_a_node_is_tried_when_its_models_are_known(committed_node, transport):
    runner = Trials(transport, retry_s=0.01)
    runner.begin(committed_node)
    runner.begin(committed_node)
    async with asyncio.timeout(20):
        while not await NodeModel.objects.filter(trial_ok=True).aexists():
            await asyncio.sleep(0.02)
    await runner.aclose()
    verdicts = {row.upstream_id: row.trial_ok async for row in NodeModel.objects.all()}
    assert verdicts == {"500": False, "sim-chat": True}
