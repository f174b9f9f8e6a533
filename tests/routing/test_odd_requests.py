"""Requests as no SDK sends them, over the wire: each gets a refusal with its four keys, none an internal error."""

from __future__ import annotations

import contextlib
import socket
from urllib.parse import quote, unquote

import httpx
import orjson
import pytest

from routing.services import put_route
from tests.routing.hearing import let_all_hear

MODEL = "sim-chat"
BODY = {"model": MODEL, "messages": [{"role": "user", "content": "Hello"}]}
CHAT, COMPLETIONS, EMBEDDINGS = "/v1/chat/completions", "/v1/completions", "/v1/embeddings"


@pytest.fixture
def served(tenant, upstreams):
    return tenant.connect(upstreams.a.base_url, [MODEL, {"id": "sim-embed", "kind": "embedding"}])


def refused(response: httpx.Response) -> tuple[int, str, str | None]:
    error = response.json()["error"]
    assert {"message", "type", "param", "code"} <= error.keys()
    assert response.headers["x-request-id"].startswith("req_")
    return response.status_code, error["code"], error["param"]


@pytest.mark.parametrize(
    ("url", "body", "meant"),
    [
        (CHAT, BODY | {"provider": {"sort": ["price"]}}, (400, "invalid_request", "provider.sort")),
        (CHAT, BODY | {"provider": {"only": ["nobody"]}}, (403, "provider_not_allowed", "provider")),
        (CHAT, BODY | {"n": "3"}, (400, "invalid_request", "n")),
        (CHAT, BODY | {"max_tokens": 1, "n_predict": 900}, (400, "invalid_request", "n_predict")),
        (EMBEDDINGS, {"model": MODEL, "input": "x"}, (400, "invalid_request", "model")),
    ],
)
def test_what_the_request_itself_rules_out(http, served, upstreams, url, body, meant):
    response = http.post(url, json=body)
    assert refused(response) == meant
    assert response.headers.get("x-should-retry") != "true"
    assert not upstreams.a.log.posts


@pytest.mark.parametrize("messages", ["hello", 5, ["hello"]])
def test_messages_beside_a_prompt_are_none_of_our_business(http, served, messages):
    assert http.post(COMPLETIONS, json={"model": MODEL, "prompt": "x", "messages": messages}).status_code == 200


def test_a_count_that_is_no_number_counts_as_none(http, served):
    headers = [(b"x-stainless-retry-count", b"\xb2")]
    assert http.post(CHAT, json=BODY, headers=headers).status_code == 200


@pytest.mark.parametrize(
    ("method", "url", "allowed"),
    [
        ("OPTIONS", CHAT, "POST"),
        ("GET", CHAT, "POST"),
        ("HEAD", CHAT, "POST"),
        ("PUT", "/v1/models", "GET, HEAD"),
        ("TRACE", "/v1/key", "GET, HEAD"),
    ],
)
def test_another_method_is_told_which_there_are(http, method, url, allowed):
    response = http.request(method, url)
    assert (response.status_code, response.headers["allow"]) == (405, allowed)


def test_a_head_alone_is_that_of_the_answer(http, served):
    whole, head = http.get("/v1/models"), http.head("/v1/models")
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == whole.headers["content-length"]


def test_an_address_too_long_to_remember_is_refused(gateway, http):
    assert refused(http.get("/v1/models/" + "m" * 3000)) == (400, "invalid_request", None)
    assert httpx.get(f"{gateway.url}/v1/models/{'m' * 3000}").status_code == 400


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "application/vnd.api+json", ""])
def test_the_body_counts_and_not_what_it_is_called(http, served, kind):
    response = http.post(CHAT, content=orjson.dumps(BODY), headers={"Content-Type": kind})
    assert response.status_code == 200


def pieces():
    raw = orjson.dumps(BODY)
    yield from (raw[place : place + 7] for place in range(0, len(raw), 7))


def test_a_body_in_chunks(http, served):
    assert http.post(CHAT, content=pieces()).status_code == 200


def test_names_in_any_alphabet_are_told_apart_in_headers(http, gateway, tenant, upstreams):
    tenant.connect(upstreams.a.base_url, [{"id": "ถาม", "upstream_id": MODEL}, {"id": "50%", "upstream_id": MODEL}])
    put_route(tenant.org, tenant.actor, "เร็ว", {"targets": [{"target": "ถาม"}]})
    let_all_hear(gateway, tenant, "ถาม")
    headers = http.post(CHAT, json=BODY | {"model": "เร็ว"}).headers
    assert unquote(headers["x-shareai-route"]) == "เร็ว"
    assert unquote(headers["x-shareai-target"]) == "upstream-a/ถาม"
    headers = http.post(CHAT, json=BODY | {"model": "50%"}).headers
    assert unquote(headers["x-shareai-target"]) == "upstream-a/50%"
    assert http.get(f"/v1/models/{quote('เร็ว')}").json()["id"] == "เร็ว"


class Line:
    """A connection on which anything can be said."""

    def __init__(self, url: httpx.URL) -> None:
        self.socket = socket.create_connection((url.host, url.port), timeout=20)

    def say(self, *words: bytes) -> None:
        for word in words:
            self.socket.sendall(word)

    def heard(self, until: bytes, times: int = 1) -> bytes:
        got = b""
        while got.count(until) < times and (part := self.socket.recv(65536)):
            got += part
        return got


@pytest.fixture
def line(http):
    line = Line(http.base_url)
    with contextlib.closing(line.socket):
        yield line


def head(http, size: int, *more: bytes) -> bytes:
    key = http.headers["authorization"].encode()
    lines = (b"POST " + CHAT.encode() + b" HTTP/1.1", b"host: here", b"authorization: " + key, *more)
    return b"\r\n".join((*lines, b"content-length: %d" % size, b"", b""))


def test_two_requests_in_one_piece_get_two_answers(http, served, line):
    raw = orjson.dumps(BODY)
    line.say((head(http, len(raw)) + raw) * 2)
    answers = line.heard(b'"object":"chat.completion"', 2)
    assert answers.count(b"HTTP/1.1 200 OK") == 2


def test_leave_to_send_the_body_is_given(http, served, line):
    raw = orjson.dumps(BODY)
    line.say(head(http, len(raw), b"expect: 100-continue"))
    assert line.heard(b"\r\n\r\n").startswith(b"HTTP/1.1 100 ")
    line.say(raw)
    assert b"HTTP/1.1 200 OK" in line.heard(b'"object":"chat.completion"')


def test_leave_is_not_given_for_what_is_too_large_anyway(http, served, line):
    line.say(head(http, 11 << 20, b"expect: 100-continue"))
    answer = line.heard(b"\0")  # to its end: the connection is closed
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"100 Continue" not in answer


def test_half_a_body_and_gone_is_nobodys_error(http, gateway, served, line, upstreams):
    line.say(head(http, 500), b'{"model":')
    line.socket.close()
    assert http.post(CHAT, json=BODY).status_code == 200
    assert len(upstreams.a.log.posts) == 1
    assert "failed unforeseen" not in gateway.log_path.read_text()


class TestConsole:
    """Its pages and its API take their bodies whole as well."""

    @pytest.mark.parametrize(("url", "kind"), [("/accounts/login/", "text/plain"), ("/api/v1/keys", "json")])
    @pytest.mark.parametrize("told", [True, False])
    def test_too_large_a_body(self, gateway, url, kind, told):
        content = b"x" * (11 << 20)
        response = httpx.post(gateway.url + url, content=content if told else iter([content]), timeout=30)
        assert response.status_code == 413
        assert kind in response.headers["content-type"]

    def test_a_body_that_does_not_arrive(self, impatient):
        with socket.create_connection(("127.0.0.1", impatient.port), timeout=20) as line:
            line.sendall(b"POST /accounts/login/ HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: 1000\r\n\r\nlogin=")
            assert line.recv(65536).startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize(
    ("path", "way_out"),
    [
        ("/v1/v1/chat/completions", "ends in /v1, once"),
        ("/v1/chat/completions/", "Leave out the slash"),
        ("/v1/files", "/docs/api"),
    ],
)
def test_an_address_that_is_none_comes_with_a_way_out(http, path, way_out):
    refused = http.post(path, json={})
    assert (refused.status_code, refused.json()["error"]["code"]) == (404, "not_found")
    assert way_out in refused.json()["error"]["message"]
