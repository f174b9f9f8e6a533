"""The slow client obeys the same law as the data plane's connector."""

import pickle

import httpx
import pytest

from providers import guarded_http
from providers.addresses import NOTHING, AllowList
from providers.egress import EgressRefused
from providers.guarded_http import guarded_httpx_client
from tests.providers.listening import Listener, listening


@pytest.fixture
def upstream():
    with listening() as listener:
        yield listener


@pytest.fixture
def client(upstream: Listener):
    with guarded_httpx_client(AllowList.parse(f"127.0.0.1:{upstream.port}, [::1]:{upstream.port}")) as client:
        yield client


def test_an_allowed_address_is_dialled_and_asked_for_plain_bytes(upstream: Listener, client: httpx.Client):
    answer = client.get(upstream.url, headers={"Authorization": "Bearer x"})
    assert (answer.status_code, answer.text) == (200, "hello")
    path, headers = upstream.requests[0]
    assert (path, headers["accept-encoding"], headers["authorization"]) == ("/", "identity", "Bearer x")


@pytest.mark.parametrize("host", ["127.0.0.1", "[::ffff:7f00:1]", "localhost", "2130706433", "127.1", "0.0.0.0"])
def test_a_denied_address_gets_no_connection(upstream: Listener, host: str):
    with guarded_httpx_client(NOTHING) as client, pytest.raises((EgressRefused, httpx.InvalidURL)):
        client.get(f"http://{host}:{upstream.port}/")
    assert upstream.accepted == 0


def test_metadata_gets_no_connection_whatever_is_allowed():
    with guarded_httpx_client(AllowList.parse("0.0.0.0/0:80")) as client:
        with pytest.raises(EgressRefused, match="never dialled"):
            client.get("http://169.254.169.254/latest/meta-data/")


def test_a_name_is_judged_by_its_addresses(upstream: Listener, client: httpx.Client):
    assert client.get(f"http://localhost:{upstream.port}/").status_code == 200
    assert upstream.requests[0][1]["host"] == f"localhost:{upstream.port}"


def test_one_denied_address_refuses_the_whole_name(upstream: Listener):
    """localhost has 127.0.0.1 and ::1 on most hosts, 127.0.0.1 alone on others: deny what it has first."""
    with guarded_httpx_client(AllowList.parse(f"[::1]:{upstream.port}")) as client:
        with pytest.raises(EgressRefused, match="localhost leads to a loopback address"):
            client.get(f"http://localhost:{upstream.port}/")
    assert upstream.accepted == 0


def test_redirects_are_not_followed(upstream: Listener, client: httpx.Client):
    assert client.get(upstream.url + "redirect").status_code == 302
    with pytest.raises(EgressRefused):
        client.get(upstream.url + "redirect", follow_redirects=True)


def test_proxies_of_the_environment_are_not_used(upstream: Listener, client: httpx.Client, monkeypatch):
    with listening() as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        monkeypatch.setenv("ALL_PROXY", proxy.url)
        with guarded_httpx_client(AllowList.parse(f"127.0.0.1:{upstream.port}")) as fresh:
            assert fresh.get(upstream.url).status_code == 200
        assert proxy.accepted == 0


def test_cookies_are_not_kept(upstream: Listener, client: httpx.Client):
    client.get(upstream.url + "cookie")
    client.get(upstream.url)
    assert "cookie" not in upstream.requests[1][1]


def test_answers_are_bounded_and_not_inflated(upstream: Listener, client: httpx.Client, monkeypatch):
    monkeypatch.setattr(guarded_http, "MAX_ANSWER_BYTES", 100_000)
    assert len(client.get(upstream.url + "large/100000").content) == 100_000
    with pytest.raises(httpx.RemoteProtocolError, match="larger"):
        client.get(upstream.url + "large/100001")
    with pytest.raises(httpx.RemoteProtocolError, match="compressed"):
        client.get(upstream.url + "compressed")


@pytest.mark.parametrize("url", ["http://user:secret@127.0.0.1/", "ftp://127.0.0.1/"])
def test_only_plain_http_urls_are_dialled(client: httpx.Client, url: str):
    with pytest.raises(EgressRefused, match="without user names"):
        client.get(url)


def test_failures_are_httpxs_own(client: httpx.Client):
    with pytest.raises(httpx.ConnectError, match="does not resolve"):
        client.get("http://nobody.invalid/")
    with listening() as gone:
        pass
    with guarded_httpx_client(AllowList.parse(f"127.0.0.1:{gone.port}")) as other:
        with pytest.raises(httpx.ConnectError):
            other.get(gone.url)


@pytest.mark.parametrize(
    "option", ["transport", "mounts", "proxy", "trust_env", "verify", "follow_redirects", "cookies"]
)
def test_options_that_would_open_a_way_around_are_refused(option: str):
    with pytest.raises(TypeError, match=option):
        guarded_httpx_client(NOTHING, **{option: None})


def test_a_refusal_crosses_processes():
    refusal = EgressRefused("No.", address="10.0.0.1")
    twin = pickle.loads(pickle.dumps(refusal))
    assert (twin.address, twin.body()) == (refusal.address, refusal.body())
