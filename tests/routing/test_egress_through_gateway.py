"""Addresses inside the network that reached the database past every form: refused at the dial, served by another."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator

import pytest

from providers.models import Connection
from tests.providers.listening import Listener, listening

MODEL = "sim-chat"
BODY = {"model": MODEL, "messages": [{"role": "user", "content": "Hello"}]}
URL = "/v1/chat/completions"
TRACE = {"X-ShareAI-Metadata": "enabled"}

SPELLINGS_OF_LOOPBACK = [
    "127.0.0.1",
    "127.1",
    "2130706433",
    "0x7f000001",
    "0177.0.0.1",
    "0.0.0.0",
    "localhost",
    "LOCALHOST",
    "[::1]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[64:ff9b::7f00:1]",
]
METADATA = ["169.254.169.254", "[fd00:ec2::254]", "168.63.129.16", "100.100.100.200", "[::ffff:169.254.169.254]"]
PRIVATE = ["10.0.0.1", "192.168.1.1", "[fe80::1]", "[fc00::1]", "224.0.0.1"]


@pytest.fixture
def inside() -> Iterator[Listener]:
    """A server of this host that no operator opened."""
    with listening() as listener:
        yield listener


@pytest.fixture
def moved(tenant, upstreams) -> Callable[[str], Connection]:
    """A connection, tried first, whose address somebody changed in PostgreSQL; B is well."""

    def moved(base_url: str, *, api_keys: tuple[str, ...] = ()) -> Connection:
        connection = tenant.connect(upstreams.a.base_url, [MODEL], name="Moved", api_keys=api_keys)
        tenant.connect(upstreams.b.base_url, [MODEL], name="Well")
        Connection.objects.filter(pk=connection.pk).update(base_url=base_url)
        return connection

    return moved


def attempts_of(answer: dict) -> list[tuple[str, str]]:
    return [(attempt["target"], attempt["outcome"]) for attempt in answer["shareai"]["attempts"]]


@pytest.mark.parametrize("host", SPELLINGS_OF_LOOPBACK)
def test_no_spelling_of_this_host_is_dialled(http, moved, inside, upstreams, host):
    moved(f"http://{host}:{inside.port}/v1")
    response = http.post(URL, json=BODY, headers=TRACE)
    assert response.status_code == 200
    [first, second] = attempts_of(response.json())
    assert (first, second) == ((f"moved/{MODEL}", "egress_refused"), (f"well/{MODEL}", "ok"))
    assert inside.accepted == 0
    assert not upstreams.a.log.posts


@pytest.mark.parametrize("stream", [False, True], ids=["unary", "stream"])
@pytest.mark.parametrize("host", METADATA + PRIVATE)
def test_metadata_and_private_networks_are_not_dialled(http, moved, host, stream):
    moved(f"http://{host}/v1")
    response = http.post(URL, json=BODY | {"stream": stream}, headers=TRACE)
    assert response.headers["x-shareai-target"] == f"well/{MODEL}"
    assert b"egress_refused" in response.content


def test_this_server_s_own_other_address_is_not_dialled(http, moved):
    """Bound to every address of this host, and reached by the one that others would use."""
    with socket.create_server(("0.0.0.0", 0)) as everywhere:
        everywhere.settimeout(0)
        own = socket.gethostbyname(socket.gethostname())
        moved(f"http://{own}:{everywhere.getsockname()[1]}/v1")
        [first, second] = attempts_of(http.post(URL, json=BODY, headers=TRACE).json())
        assert (first[1], second[1]) == ("egress_refused", "ok")
        with pytest.raises(BlockingIOError):
            everywhere.accept()


def test_a_caller_learns_nothing_of_the_network(http, tenant, moved, inside):
    moved(f"http://127.0.0.1:{inside.port}/v1")
    response = http.post(URL, json=BODY | {"provider": {"only": ["moved"]}})
    assert response.status_code == 502
    assert "127.0.0.1" not in response.text
    assert str(inside.port) not in response.text
    assert inside.accepted == 0


@pytest.mark.parametrize("stream", [False, True], ids=["unary", "stream"])
def test_a_redirect_is_not_followed_even_to_where_dialling_is_allowed(http, tenant, upstreams, stream):
    tenant.connect(upstreams.a.base_url, [MODEL])
    tenant.connect(upstreams.b.base_url, [MODEL])
    upstreams.a.fail("redirect-metadata")
    metadata, upstreams.a.manners.redirect_to = upstreams.a.manners.redirect_to, upstreams.c.base_url
    try:
        response = http.post(URL, json=BODY | {"stream": stream}, headers=TRACE)
    finally:
        upstreams.a.manners.redirect_to = metadata
    assert response.headers["x-shareai-target"] == f"upstream-b/{MODEL}"
    assert b"redirect_refused" in response.content
    assert len(upstreams.c.log) == 0


def test_a_key_does_not_follow_to_another_origin(http, moved, upstreams):
    """C may be dialled, but the key was saved for A: it does not open, and nothing is sent."""
    moved(upstreams.c.base_url, api_keys=("upstream-key",))
    response = http.post(URL, json=BODY, headers=TRACE)
    assert response.status_code == 200
    assert attempts_of(response.json()) == [(f"well/{MODEL}", "ok")]
    assert response.json()["shareai"]["rejected"] == [{"target": f"moved/{MODEL}", "reason": "no_key"}]
    assert len(upstreams.c.log) == 0
