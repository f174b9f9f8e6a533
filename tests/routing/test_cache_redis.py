"""What is kept is kept for all processes; and Redis away means a miss, never an error and never a wait."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator

import httpx
import pytest

from providers.adapters.base import TokenUsage
from routing.cache_entries import Entry, packed, unpacked
from routing.cache_services import put_policy
from routing.cache_store import Memory, Shelf, key_of
from routing.services import put_route
from tests.fakes.embeddings import EmbeddingServer
from tests.ownredis import BACK_WITHIN_S, OwnRedis, eventually
from tests.routing.test_cache import PRICED, ask, found
from tests.stack import GatewayProcess, Tenant, allow_of

TWO = 2


@pytest.fixture(scope="module")
def own_redis() -> Iterator[OwnRedis]:
    with OwnRedis() as own:
        yield own


@pytest.fixture(scope="module")
def embeddings() -> Iterator[EmbeddingServer]:
    with EmbeddingServer() as server:
        yield server


@pytest.fixture(scope="module")
def gateways(django_db_setup, django_db_blocker, upstream_servers, embeddings, own_redis, tmp_path_factory):
    """Two of one process each, sharing nothing but PostgreSQL and Redis."""
    with django_db_blocker.unblock():
        allow = f"{allow_of(upstream_servers)}, 127.0.0.1:{embeddings.port}"
        folders = [tmp_path_factory.mktemp("shared") for _ in range(TWO)]
        processes = [GatewayProcess(folder, egress_allow=allow, REDIS_URL=own_redis.url) for folder in folders]
        for process in processes:
            process.start()
        yield processes
        for process in processes:
            process.stop()


@pytest.fixture
def https(gateways, tenant: Tenant, upstreams) -> Iterator[list[httpx.Client]]:
    tenant.connect(upstreams.a.base_url, [PRICED])
    put_policy(tenant.org, tenant.actor, scope="organization", ttl_s=600)
    headers = {"Authorization": f"Bearer {tenant.api_key}"}
    clients = [httpx.Client(base_url=process.url, headers=headers, timeout=30) for process in gateways]
    yield clients
    for client in clients:
        client.close()


@pytest.fixture
def gateway(gateways) -> GatewayProcess:
    return gateways[0]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_the_second_process_gives_what_the_first_kept(https, upstreams, stream):
    one, other = https
    assert [found(ask(http, stream=stream)) for http in (one, other, other)] == ["MISS", "HIT", "HIT"]
    assert len(upstreams.a.log.posts) == 1


def test_the_second_process_compares_with_what_the_first_was_asked(https, tenant, upstreams, embeddings, settings):
    settings.EGRESS_ALLOW = f"{allow_of(upstreams)}, 127.0.0.1:{embeddings.port}"
    tenant.connect(embeddings.base_url, [{"id": "embed", "kind": "embedding"}])
    put_route(tenant.org, tenant.actor, "faq", {"targets": [{"target": "sim-chat"}]})
    semantic = {"model": "embed", "threshold": 0.8}
    put_policy(tenant.org, tenant.actor, scope="route", subject="faq", ttl_s=600, semantic=semantic)
    asked = ["What is the capital of France?", "Please tell: what is the capital of France?"]
    bodies = [{"model": "faq", "messages": [{"role": "user", "content": text}]} for text in asked]
    answers = [http.post("/v1/chat/completions", json=body) for http, body in zip(https, bodies, strict=True)]
    assert [answer.headers["x-shareai-cache"] for answer in answers] == ["MISS", "semantic"]
    assert answers[0].json()["choices"] == answers[1].json()["choices"]


@pytest.mark.parametrize("how", ["killed", "hanging"])
def test_redis_away_is_a_miss_until_it_is_back(https, upstreams, own_redis, how):
    one, other = https
    assert found(ask(one)) == "MISS"
    if how == "killed":
        own_redis.kill()
    else:
        own_redis.signal(signal.SIGSTOP)
    try:
        assert [found(ask(other)), found(ask(one)), found(ask(other))] == ["MISS", "HIT", "HIT"]
        assert [found(ask(http, seed=1)) for http in (one, other, one)] == ["MISS", "MISS", "HIT"]
        assert len(upstreams.a.log.posts) == 4
    finally:
        if how == "killed":
            own_redis.start()
        else:
            own_redis.signal(signal.SIGCONT)
    seeds = iter(range(100, 1000))

    def shared_again() -> bool:
        seed = next(seeds)
        return [found(ask(http, seed=seed)) for http in https] == ["MISS", "HIT"]

    eventually(shared_again, BACK_WITHIN_S)


ENTRY = Entry(True, b"data: {}\n\n" * 500, 1.0, "a/m", "stop", TokenUsage(1, 2, 0, "reported"), 3)


def test_an_entry_comes_back_as_it_was_and_smaller():
    assert unpacked(packed(ENTRY)) == ENTRY
    assert len(packed(ENTRY)) < len(ENTRY.body) / 10


@pytest.mark.parametrize("data", [b"", b"nothing", packed(ENTRY)[:-20], packed(ENTRY)[:10]])
def test_what_is_no_entry_is_a_miss(data):
    assert unpacked(data) is None


async def test_what_hangs_is_asked_once_and_then_left_alone():
    asked = []

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(reader)
        await reader.read()
        writer.close()

    server = await asyncio.start_server(hang, "127.0.0.1", 0)
    shelf = Shelf(f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}/0")
    assert shelf.is_up
    assert await shelf.find(1, b"digest") is None
    assert not shelf.is_up
    for _ in range(100):
        assert await shelf.find(1, b"digest") is None
        await shelf.keep(1, b"digest", ENTRY, 60)
    assert len(asked) == 1
    await shelf.aclose()
    server.close()


def test_memory_is_bounded_and_keeps_what_was_used_last():
    memory = Memory(most_bytes=3 * (len(ENTRY.body) + 512))
    for name in (b"a", b"b", b"c"):
        memory.keep(name, ENTRY)
    memory.find(b"a")
    memory.keep(b"d", ENTRY)
    assert [name for name in (b"a", b"b", b"c", b"d") if memory.find(name)] == [b"a", b"c", b"d"]
    memory.keep(b"d", ENTRY)
    assert memory.find(b"c")


def test_keys_of_organisations_differ():
    assert key_of(1, b"x") != key_of(2, b"x")
