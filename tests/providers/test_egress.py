"""The egress matrix: what is saved, what a name resolves to, and where a socket really goes."""

import asyncio
import socket
import ssl
from collections.abc import Iterator

import aiohttp
import pytest

from providers import egress
from providers.addresses import NOTHING, OWN, AllowList, parse_address
from providers.egress import EgressRefused, Guard, GuardedResolver, check_url, guarded_connector, is_own_address
from tests.providers.listening import Listener, ScriptedResolver, SilentResolver, certificate_for, listening


@pytest.fixture
def upstream() -> Iterator[Listener]:
    with listening() as listener:
        yield listener


def allowing(*listeners: Listener) -> AllowList:
    return AllowList.parse(",".join(f"127.0.0.1:{listener.port}" for listener in listeners))


async def get(url: str, connector: aiohttp.TCPConnector, **options: object) -> int:
    async with aiohttp.ClientSession(connector=connector) as session:
        async with session.get(url, **options) as response:
            await response.read()
            return response.status


# URLs, when they are saved


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://api.example.com/v1", "https://api.example.com"),
        ("HTTPS://API.Example.COM:443/v1?version=1", "https://api.example.com"),
        ("http://api.example.com:80", "http://api.example.com"),
        ("http://api.example.com:443", "http://api.example.com:443"),
        ("https://api.example.com.:8443/", "https://api.example.com:8443"),
        ("https://exämple.de", "https://xn--exmple-cua.de"),
        ("http://1.1.1.1:8000/v1", "http://1.1.1.1:8000"),
        ("http://[2606:4700:4700:0::1111]/", "http://[2606:4700:4700::1111]"),
        ("http://[::ffff:1.1.1.1]/", "http://1.1.1.1"),
        ("https://api.example.com/a@b?c=d@e", "https://api.example.com"),
    ],
)
def test_the_origin_of_a_good_url(url: str, origin: str):
    assert check_url(url) == origin


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("ftp://example.com", "http:// or https://"),
        ("file:///etc/passwd", "http:// or https://"),
        ("gopher://example.com", "http:// or https://"),
        ("example.com/v1", "http:// or https://"),
        ("//example.com", "http:// or https://"),
        ("", "http:// or https://"),
        ("http://user@example.com", "user name"),
        ("http://user:secret@example.com", "user name"),
        ("http://@example.com", "user name"),
        ("http://:@example.com", "user name"),
        ("https://api.example.com#@10.0.0.1/", "fragment"),
        ("https://api.example.com/#", "fragment"),
        ("http://", "host"),
        ("http:///v1", "host"),
        ("http:example.com", "host"),
        ("http://example.com:0", "port other than 0"),
        ("http://example.com:99999", "not a valid URL"),
        ("http://example.com:80a", "not a valid URL"),
        ("http://[::1", "not a valid URL"),
        ("http://[v1.x]/", "not a valid name"),
        ("http://example.com\\@10.0.0.1/", "backslashes"),
        ("http://example.com\t/", "control characters"),
        ("http://exam\nple.com/", "control characters"),
        (" http://example.com", "spaces"),
        ("http://example.com/" + "x" * 2048, "too long"),
        ("http://a%2eb/", "not a valid name"),
        ("http://%31%32%37.0.0.1/", "not a valid name"),
        ("http://a,b/", "not a valid name"),
        ("http://2130706433/", "four decimal numbers"),
        ("http://0x7f000001/", "four decimal numbers"),
        ("http://0x7f.1/", "four decimal numbers"),
        ("http://0177.0.0.1/", "four decimal numbers"),
        ("http://127.1/", "four decimal numbers"),
        ("http://127.0.0.1./", "loopback"),
        ("http://127.0.0.1:8000", "EGRESS_ALLOW=127.0.0.1:8000"),
        ("https://10.0.0.1/", "EGRESS_ALLOW=10.0.0.1:443"),
        ("http://[::1]:8000/", r"EGRESS_ALLOW=\[::1\]:8000"),
        ("http://[::ffff:7f00:1]/", "loopback"),
        ("http://[64:ff9b::a00:1]/", "private"),
        ("http://１２７.0.0.1/", "loopback"),
        ("http://１２７。0。0。1/", "loopback"),
        ("http://169.254.169.254/latest", "never dialled"),
        ("http://[fe80::1%25eth0]/", "never dialled"),
    ],
)
def test_urls_that_are_not_saved(url: str, said: str):
    with pytest.raises(EgressRefused, match=said) as refusal:
        check_url(url)
    assert refusal.value.code == "egress_refused"
    assert "secret" not in refusal.value.message


def test_the_operator_opens_a_literal_address():
    allow = AllowList.parse("127.0.0.1:11434")
    assert check_url("http://127.0.0.1:11434/v1", allow) == "http://127.0.0.1:11434"
    with pytest.raises(EgressRefused):
        check_url("http://127.0.0.1:11435/v1", allow)


def test_metadata_is_never_opened_and_nobody_is_told_to_try():
    with pytest.raises(EgressRefused) as refusal:
        check_url("http://169.254.169.254:80/", AllowList.parse("0.0.0.0/0:80"))
    assert "EGRESS_ALLOW" not in refusal.value.message


# Literal addresses, at the dial


async def test_an_allowed_literal_is_dialled_and_the_resolver_is_not_asked(upstream: Listener):
    resolver = ScriptedResolver(["127.0.0.1"])
    assert await get(upstream.url, guarded_connector(allowing(upstream), resolver=resolver)) == 200
    assert resolver.asked == []


@pytest.mark.parametrize("host", ["127.0.0.1", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::127.0.0.1]", "0.0.0.0"])
async def test_a_denied_literal_gets_no_socket_although_the_resolver_is_not_asked(upstream: Listener, host: str):
    resolver = ScriptedResolver(["127.0.0.1"])
    with pytest.raises(EgressRefused):
        await get(f"http://{host}:{upstream.port}/", guarded_connector(NOTHING, resolver=resolver))
    assert resolver.asked == []
    assert upstream.accepted == 0


async def test_a_denied_ipv6_literal_gets_no_socket():
    with listening("::1") as upstream:
        with pytest.raises(EgressRefused, match="loopback"):
            await get(f"http://[::1]:{upstream.port}/", guarded_connector(NOTHING))
        assert upstream.accepted == 0
        allow = AllowList.parse(f"[::1]:{upstream.port}")
        assert await get(f"http://[::1]:{upstream.port}/", guarded_connector(allow)) == 200


@pytest.mark.parametrize("host", ["2130706433", "127.1", "0x7f.0.0.1", "0177.0.0.1", "localhost", "localhost."])
async def test_other_spellings_of_loopback_get_no_socket(upstream: Listener, host: str):
    with pytest.raises((EgressRefused, aiohttp.ClientError)):
        await get(f"http://{host}:{upstream.port}/", guarded_connector(NOTHING))
    assert upstream.accepted == 0


async def test_an_allowed_address_is_not_open_at_other_ports(upstream: Listener):
    with listening() as other:
        with pytest.raises(EgressRefused):
            await get(other.url, guarded_connector(allowing(upstream)))
        assert other.accepted == 0


# Names, at the dial


async def test_a_name_is_resolved_once_and_its_address_dialled(upstream: Listener):
    resolver = ScriptedResolver(["127.0.0.1"], ["10.0.0.1"])
    url = f"http://llm.example:{upstream.port}/v1"
    assert await get(url, guarded_connector(allowing(upstream), resolver=resolver)) == 200
    assert resolver.asked == ["llm.example"]
    assert upstream.requests[0][1]["host"] == f"llm.example:{upstream.port}"


@pytest.mark.parametrize(
    "denied", ["127.0.0.2", "10.0.0.1", "169.254.169.254", "::1", "::ffff:10.0.0.1", "fe80::1%eth0"]
)
@pytest.mark.parametrize("first", [True, False])
async def test_one_denied_address_refuses_the_whole_name(upstream: Listener, denied: str, first: bool):
    answers = [denied, "127.0.0.1"] if first else ["127.0.0.1", denied]
    connector = guarded_connector(allowing(upstream), resolver=ScriptedResolver(answers))
    with pytest.raises(EgressRefused) as refusal:
        await get(f"http://llm.example:{upstream.port}/", connector)
    assert upstream.accepted == 0
    assert refusal.value.address == denied
    assert denied not in refusal.value.message


async def test_a_public_and_a_private_address_refuse_the_name():
    resolver = GuardedResolver(Guard(NOTHING), ScriptedResolver(["1.1.1.1", "192.168.1.1"]))
    with pytest.raises(EgressRefused, match="leads to a private address"):
        await resolver.resolve("llm.example", 443)


async def test_public_addresses_of_both_families_pass_as_they_are():
    resolver = GuardedResolver(Guard(NOTHING), ScriptedResolver(["1.1.1.1", "2606:4700:4700::1111"]))
    found = await resolver.resolve("llm.example", 443)
    assert [result["host"] for result in found] == ["1.1.1.1", "2606:4700:4700::1111"]


async def test_a_name_that_turns_private_later_is_refused_then(upstream: Listener):
    """DNS rebinding: every new connection resolves and judges anew."""
    resolver = ScriptedResolver(["127.0.0.1"], ["127.0.0.2"])
    connector = guarded_connector(allowing(upstream), resolver=resolver, use_dns_cache=False, force_close=True)
    url = f"http://llm.example:{upstream.port}/"
    async with aiohttp.ClientSession(connector=connector) as session:
        assert (await session.get(url)).status == 200
        with pytest.raises(EgressRefused):
            await session.get(url)
    assert upstream.accepted == 1


async def test_the_cache_of_names_holds_judged_addresses_only(upstream: Listener):
    resolver = ScriptedResolver(["127.0.0.1"], ["127.0.0.2"])
    connector = guarded_connector(allowing(upstream), resolver=resolver, force_close=True)
    async with aiohttp.ClientSession(connector=connector) as session:
        for _ in range(3):
            assert (await session.get(f"http://llm.example:{upstream.port}/")).status == 200
    assert resolver.asked == ["llm.example"]


async def test_a_refusal_is_not_cached_as_an_answer(upstream: Listener):
    resolver = ScriptedResolver(["127.0.0.2"], ["127.0.0.1"])
    connector = guarded_connector(allowing(upstream), resolver=resolver)
    async with aiohttp.ClientSession(connector=connector) as session:
        with pytest.raises(EgressRefused):
            await session.get(f"http://llm.example:{upstream.port}/")
        assert (await session.get(f"http://llm.example:{upstream.port}/")).status == 200


@pytest.mark.parametrize("answer", ["", "localhost", "127.1", "127.0.0.1.example"])
async def test_what_is_no_address_is_refused(answer: str):
    with pytest.raises(EgressRefused, match="no IP address"):
        await GuardedResolver(Guard(NOTHING), ScriptedResolver([answer])).resolve("llm.example", 443)


async def test_a_name_without_an_address_is_not_dialled():
    with pytest.raises(aiohttp.ClientConnectorDNSError):
        await get("http://llm.example/", guarded_connector(NOTHING, resolver=ScriptedResolver([])))


async def test_a_name_that_does_not_exist_is_not_dialled():
    with pytest.raises(aiohttp.ClientConnectorDNSError):
        await get("http://nobody.invalid/", guarded_connector(NOTHING))


async def test_a_name_that_does_not_resolve_in_time_is_not_dialled(monkeypatch):
    monkeypatch.setattr(egress, "DNS_TIMEOUT_S", 0.01)
    async with asyncio.timeout(30):
        with pytest.raises(aiohttp.ClientConnectorDNSError, match="in time"):
            await get("http://llm.example/", guarded_connector(NOTHING, resolver=SilentResolver([])))


# What surrounds a connection


async def test_tls_asks_for_the_name_and_not_for_the_address(tmp_path):
    server, client = certificate_for("llm.example", tmp_path)
    asked: list[str | None] = []
    server.sni_callback = lambda _socket, name, _context: asked.append(name)
    with listening(tls=server) as upstream:
        connector = guarded_connector(allowing(upstream), resolver=ScriptedResolver(["127.0.0.1"]), ssl=client)
        assert await get(f"https://llm.example:{upstream.port}/", connector) == 200
    assert asked == ["llm.example"]


async def test_a_certificate_of_another_name_is_refused(tmp_path):
    server, client = certificate_for("other.example", tmp_path)
    with listening(tls=server) as upstream:
        connector = guarded_connector(allowing(upstream), resolver=ScriptedResolver(["127.0.0.1"]), ssl=client)
        with pytest.raises(aiohttp.ClientConnectorCertificateError) as failure:
            await get(f"https://llm.example:{upstream.port}/", connector)
    assert isinstance(failure.value.certificate_error, ssl.SSLCertVerificationError)


async def test_even_a_followed_redirect_does_not_reach_what_is_denied(upstream: Listener):
    with pytest.raises(EgressRefused, match="never dialled"):
        await get(upstream.url + "redirect", guarded_connector(allowing(upstream)), allow_redirects=True)


async def test_even_a_proxy_is_judged(upstream: Listener):
    with listening() as proxy:
        with pytest.raises(EgressRefused):
            await get(upstream.url, guarded_connector(allowing(upstream)), proxy=proxy.url)
        assert proxy.accepted == 0


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
