"""The egress matrix at the dial: what a name resolves to, and where a socket really goes."""

import asyncio
import socket
import ssl
from collections.abc import Iterator

import pytest
from yarl import URL

from providers import dialer as dialer_module
from providers import egress
from providers.addresses import NOTHING, OWN, AllowList, parse_address
from providers.dialer import Dialer, Names
from providers.egress import EgressRefused, Guard, is_own_address
from providers.failures import UpstreamFailure
from providers.http1 import Connection, Origin
from providers.transport import Deadlines, UpstreamRequest
from providers.upstream import DirectTransport
from tests.providers.listening import Listener, ScriptedResolver, SilentResolver, certificate_for, listening
from tests.providers.targets import target_at


@pytest.fixture
def upstream() -> Iterator[Listener]:
    with listening() as listener:
        yield listener


def allowing(*listeners: Listener) -> AllowList:
    return AllowList.parse(",".join(f"127.0.0.1:{listener.port}" for listener in listeners))


async def get(url: str, dialer: Dialer) -> int:
    """The status of an answer over a connection of its own."""
    parsed = URL(url)
    assert parsed.raw_host
    assert parsed.port
    origin = Origin(parsed.scheme == "https", parsed.raw_host, parsed.port)
    connection = await dialer.dial(origin, lambda: Connection(origin, lambda _: None), 5.0)
    exchange = connection.begin(f"GET {parsed.raw_path} HTTP/1.1\r\nHost: {parsed.authority}\r\n\r\n".encode(), b"")
    await exchange.wait_for_head()
    exchange.close()
    return exchange.status


# Literal addresses, at the dial


async def test_an_allowed_literal_is_dialled_and_the_resolver_is_not_asked(upstream: Listener):
    resolver = ScriptedResolver(["127.0.0.1"])
    assert await get(upstream.url, Dialer(allowing(upstream), resolver=resolver)) == 200
    assert resolver.asked == []


@pytest.mark.parametrize("host", ["127.0.0.1", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::127.0.0.1]", "0.0.0.0"])
async def test_a_denied_literal_gets_no_socket_although_the_resolver_is_not_asked(upstream: Listener, host: str):
    resolver = ScriptedResolver(["127.0.0.1"])
    with pytest.raises(EgressRefused):
        await get(f"http://{host}:{upstream.port}/", Dialer(NOTHING, resolver=resolver))
    assert resolver.asked == []
    assert upstream.accepted == 0


async def test_a_denied_ipv6_literal_gets_no_socket():
    with listening("::1") as upstream:
        with pytest.raises(EgressRefused, match="loopback"):
            await get(f"http://[::1]:{upstream.port}/", Dialer(NOTHING))
        assert upstream.accepted == 0
        allow = AllowList.parse(f"[::1]:{upstream.port}")
        assert await get(f"http://[::1]:{upstream.port}/", Dialer(allow)) == 200


@pytest.mark.parametrize("host", ["2130706433", "127.1", "0x7f.0.0.1", "0177.0.0.1", "localhost", "localhost."])
async def test_other_spellings_of_loopback_get_no_socket(upstream: Listener, host: str):
    with pytest.raises((EgressRefused, UpstreamFailure)):
        await get(f"http://{host}:{upstream.port}/", Dialer(NOTHING))
    assert upstream.accepted == 0


async def test_an_allowed_address_is_not_open_at_other_ports(upstream: Listener):
    with listening() as other:
        with pytest.raises(EgressRefused):
            await get(other.url, Dialer(allowing(upstream)))
        assert other.accepted == 0


# Names, at the dial


async def test_a_name_is_resolved_once_and_its_address_dialled(upstream: Listener):
    resolver = ScriptedResolver(["127.0.0.1"], ["10.0.0.1"])
    url = f"http://llm.example:{upstream.port}/v1"
    assert await get(url, Dialer(allowing(upstream), resolver=resolver)) == 200
    assert resolver.asked == ["llm.example"]
    assert upstream.requests[0][1]["host"] == f"llm.example:{upstream.port}"


@pytest.mark.parametrize(
    "denied", ["127.0.0.2", "10.0.0.1", "169.254.169.254", "::1", "::ffff:10.0.0.1", "fe80::1%eth0"]
)
@pytest.mark.parametrize("first", [True, False])
async def test_one_denied_address_refuses_the_whole_name(upstream: Listener, denied: str, first: bool):
    answers = [denied, "127.0.0.1"] if first else ["127.0.0.1", denied]
    dialer = Dialer(allowing(upstream), resolver=ScriptedResolver(answers))
    with pytest.raises(EgressRefused) as refusal:
        await get(f"http://llm.example:{upstream.port}/", dialer)
    assert upstream.accepted == 0
    assert refusal.value.address == denied
    assert denied not in refusal.value.message


async def test_a_public_and_a_private_address_refuse_the_name():
    names = Names(Guard(NOTHING), ScriptedResolver(["1.1.1.1", "192.168.1.1"]))
    with pytest.raises(EgressRefused, match="leads to a private address"):
        await names.addresses("llm.example", 443)


async def test_public_addresses_of_both_families_pass_as_they_are():
    names = Names(Guard(NOTHING), ScriptedResolver(["1.1.1.1", "2606:4700:4700::1111"]))
    found = await names.addresses("llm.example", 443)
    assert found == ["1.1.1.1", "2606:4700:4700::1111"]


async def test_a_name_that_turns_private_later_is_refused_then(upstream: Listener):
    """DNS rebinding: a new connection resolves and judges anew once the seconds of the last answer are over."""
    resolver = ScriptedResolver(["127.0.0.1"], ["127.0.0.2"])
    dialer = Dialer(allowing(upstream), resolver=resolver, names_live_s=0)
    url = f"http://llm.example:{upstream.port}/"
    assert await get(url, dialer) == 200
    with pytest.raises(EgressRefused):
        await get(url, dialer)
    assert upstream.accepted == 1


async def test_judged_addresses_are_remembered(upstream: Listener):
    resolver = ScriptedResolver(["127.0.0.1"], ["127.0.0.2"])
    dialer = Dialer(allowing(upstream), resolver=resolver)
    for _ in range(3):
        assert await get(f"http://llm.example:{upstream.port}/", dialer) == 200
    assert resolver.asked == ["llm.example"]


async def test_a_crowd_that_asks_for_one_name_asks_once(upstream: Listener):
    resolver = ScriptedResolver(["127.0.0.1"], ["127.0.0.2"])
    dialer = Dialer(allowing(upstream), resolver=resolver)
    url = f"http://llm.example:{upstream.port}/"
    assert await asyncio.gather(*(get(url, dialer) for _ in range(8))) == [200] * 8
    assert resolver.asked == ["llm.example"]


async def test_a_refusal_is_not_cached_as_an_answer(upstream: Listener):
    resolver = ScriptedResolver(["127.0.0.2"], ["127.0.0.1"])
    dialer = Dialer(allowing(upstream), resolver=resolver)
    with pytest.raises(EgressRefused):
        await get(f"http://llm.example:{upstream.port}/", dialer)
    assert await get(f"http://llm.example:{upstream.port}/", dialer) == 200


@pytest.mark.parametrize("answer", ["", "localhost", "127.1", "127.0.0.1.example"])
async def test_what_is_no_address_is_refused(answer: str):
    with pytest.raises(EgressRefused, match="no IP address"):
        await Names(Guard(NOTHING), ScriptedResolver([answer])).addresses("llm.example", 443)


async def test_a_name_without_an_address_is_not_dialled():
    with pytest.raises(UpstreamFailure, match="dns_failure"):
        await get("http://llm.example/", Dialer(NOTHING, resolver=ScriptedResolver([])))


async def test_a_name_that_does_not_exist_is_not_dialled():
    with pytest.raises(UpstreamFailure, match="dns_failure"):
        await get("http://nobody.invalid/", Dialer(NOTHING))


async def test_a_name_that_does_not_resolve_in_time_is_not_dialled(monkeypatch):
    monkeypatch.setattr(dialer_module, "DNS_TIMEOUT_S", 0.01)
    async with asyncio.timeout(30):
        with pytest.raises(UpstreamFailure, match="in time"):
            await get("http://llm.example/", Dialer(NOTHING, resolver=SilentResolver([])))


# What surrounds a connection


async def test_tls_asks_for_the_name_and_not_for_the_address(tmp_path):
    server, client = certificate_for("llm.example", tmp_path)
    asked: list[str | None] = []
    server.sni_callback = lambda _socket, name, _context: asked.append(name)
    with listening(tls=server) as upstream:
        dialer = Dialer(allowing(upstream), resolver=ScriptedResolver(["127.0.0.1"]), tls=client)
        assert await get(f"https://llm.example:{upstream.port}/", dialer) == 200
    assert asked == ["llm.example"]


async def test_a_certificate_of_another_name_is_refused(tmp_path):
    server, client = certificate_for("other.example", tmp_path)
    with listening(tls=server) as upstream:
        dialer = Dialer(allowing(upstream), resolver=ScriptedResolver(["127.0.0.1"]), tls=client)
        with pytest.raises(UpstreamFailure, match="tls_failure") as failure:
            await get(f"https://llm.example:{upstream.port}/", dialer)
    assert isinstance(failure.value.__cause__, ssl.SSLCertVerificationError)


async def test_the_transport_follows_no_redirect_keeps_no_cookie_and_uses_no_proxy(upstream: Listener, monkeypatch):
    with listening() as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        transport = DirectTransport(Dialer(allowing(upstream)))
        statuses = []
        for path in ("redirect", "cookie", "last"):
            response = await transport.send(
                target_at(upstream.url), UpstreamRequest("/" + path, (), b"{}"), Deadlines()
            )
            statuses.append(response.status)
            await response.read(1000)
            response.close()
        transport.close()
        assert proxy.accepted == 0
    assert statuses == [302, 200, 200]
    assert not [headers for _, headers in upstream.requests if "cookie" in headers]


async def test_the_transport_names_a_refusal_as_such():
    transport = DirectTransport(Dialer(NOTHING))
    with pytest.raises(UpstreamFailure, match=r"egress_refused: 10\.0\.0\.1 is a private address"):
        await transport.send(target_at("http://10.0.0.1:8000"), UpstreamRequest("/v1", (), b"{}"), Deadlines())
    transport.close()


# The addresses of this server


def address_of_an_interface() -> str | None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return None
        return str(probe.getsockname()[0])


def test_this_host_knows_its_own_addresses():
    for address in ["127.0.0.1", "::1", address_of_an_interface() or "127.0.0.1"]:
        assert is_own_address(parse_address(address)), address
    for address in ["1.1.1.1", "192.0.2.77", "2606:4700:4700::1111", "2001:db8::77"]:
        assert not is_own_address(parse_address(address)), address


def test_an_address_that_cannot_be_tried_counts_as_own():
    assert egress._can_bind("no address at all", 4)


def test_where_anything_can_be_bound_the_routes_tell(monkeypatch):
    monkeypatch.setattr(egress, "_can_bind", lambda address, version: True)
    egress._binds_anything.cache_clear()
    try:
        assert is_own_address(parse_address("127.0.0.1"))
        assert not is_own_address(parse_address("1.1.1.1"))
    finally:
        egress._binds_anything.cache_clear()


def test_a_public_address_of_this_server_is_denied_unless_allowed():
    def own(address: object) -> bool:
        return str(address) == "1.1.1.1"

    assert Guard(NOTHING, own).reason_against("1.1.1.1", 443) == OWN
    assert Guard(NOTHING, own).reason_against("::ffff:1.1.1.1", 443) == OWN
    assert Guard(NOTHING, own).reason_against("1.0.0.1", 443) is None
    assert Guard(AllowList.parse("1.1.1.1:443"), own).reason_against("1.1.1.1", 443) is None
    assert Guard(AllowList.parse("1.1.1.1:443"), own).reason_against("1.1.1.1", 80) == OWN
