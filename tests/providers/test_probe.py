"""The connection test, against a real server that fails in every way there is, and against none at all."""

from __future__ import annotations

import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from providers import probe, services
from providers.errors import InvalidConnection
from providers.models import Connection, ConnectionKey
from providers.probe import ConnectionDraft, Patience
from tests.fakes.upstream import FaultUpstream, refusing_url
from tests.providers.conftest import KEY

SHORT = Patience(connect_s=1, read_s=0.3, whole_s=1)


@pytest.fixture
def draft(upstream: FaultUpstream) -> Callable[..., ConnectionDraft]:
    def draft(model: str = "good", **wishes) -> ConnectionDraft:
        given = {"preset": "custom", "base_url": upstream.base_url, "api_key": KEY, "model": model}
        return ConnectionDraft(**given | wishes)

    return draft


@pytest.fixture
def allow(settings) -> Callable[[str], str]:
    """Opens the guard for a base URL on this machine."""

    def allow(base_url: str) -> str:
        settings.EGRESS_ALLOW = base_url.partition("://")[2].partition("/")[0]
        return base_url

    return allow


@pytest.fixture
def server_saying() -> Iterator[Callable[[bytes], str]]:
    """A server that says these bytes to whoever comes, whatever they ask."""
    listeners: list[socket.socket] = []

    def server_saying(answer: bytes, scheme: str = "http", context: ssl.SSLContext | None = None) -> str:
        listener = socket.create_server(("127.0.0.1", 0))
        listeners.append(listener)
        threading.Thread(target=_say, args=(listener, answer, context), daemon=True).start()
        return f"{scheme}://127.0.0.1:{listener.getsockname()[1]}/v1"

    yield server_saying
    for listener in listeners:
        listener.close()


def _say(listener: socket.socket, answer: bytes, context: ssl.SSLContext | None) -> None:
    while True:
        try:
            connection, _address = listener.accept()
        except OSError:
            return
        try:
            with context.wrap_socket(connection, server_side=True) if context else connection as spoken:
                spoken.recv(65536)
                spoken.sendall(answer)
        except OSError:
            continue


@pytest.fixture(scope="session")
def self_signed(tmp_path_factory) -> ssl.SSLContext:
    folder: Path = tmp_path_factory.mktemp("tls")
    words = "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -keyout key.pem -out cert.pem"
    subprocess.run(["openssl", *words.split()], cwd=folder, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return context


def http(status: str, body: bytes, *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


def test_a_good_connection_lists_its_models_and_gives_a_token(draft, upstream):
    report = probe.test_connection(draft())
    assert report.ok, report.error
    assert "good" in report.models
    assert report.model == "good"
    assert report.capabilities == ("list", "chat", "stream", "usage")
    assert report.latency_ms is not None
    assert report.first_token_ms is not None
    asked = upstream.log.last
    assert (asked.body["max_tokens"], asked.body["stream"], asked.key) == (1, True, KEY)


def test_without_a_wish_the_first_model_that_can_chat_is_asked(draft, upstream):
    upstream.models[:] = ["text-embedding-x", "whisper-1", "good"]
    assert probe.test_connection(draft(model="")).model == "good"
    upstream.models[:] = ["good"]


def test_an_embedding_model_is_asked_for_an_embedding(draft, upstream):
    upstream.models[:] = ["good", "text-embedding-x"]
    report = probe.test_connection(draft(model="text-embedding-x"))
    upstream.models[:] = ["good"]
    assert (report.ok, report.capabilities) == (True, ("list", "embedding"))
    assert upstream.log.last.path == "/v1/embeddings"


@pytest.mark.parametrize(("model", "kind"), [("x-moderation", "moderation"), ("bge-reranker-x", "rerank")])
def test_models_of_other_kinds_are_asked_what_they_answer(draft, upstream, model, kind):
    upstream.models[:] = ["good", model]
    report = probe.test_connection(draft(model=model))
    upstream.models[:] = ["good"]
    assert (report.ok, report.model, report.capabilities) == (True, model, ("list", kind))


def test_no_picture_is_made_for_a_test(draft, upstream):
    """A list is proof enough; without one there is nothing that may be asked."""
    report = probe.test_connection(draft(model="dall-e-3"))
    assert (report.ok, report.model, report.capabilities) == (True, "", ("list",))
    upstream.models_status = 404
    assert probe.test_connection(draft(model="dall-e-3")).error_code == "no_models"
    assert not upstream.log.posts


def test_a_server_without_a_list_still_proves_itself_by_a_token(draft, upstream):
    upstream.models_status = 404
    report = probe.test_connection(draft())
    assert (report.ok, report.models, report.capabilities) == (True, (), ("chat", "stream", "usage"))


def test_without_list_and_wish_there_is_nothing_to_ask(draft, upstream):
    upstream.models_status = 404
    assert probe.test_connection(draft(model="")).error_code == "no_models"


def test_a_failing_list_is_told(draft, upstream):
    upstream.models_status = 500
    assert probe.test_connection(draft()).error_code == "server_error"


@pytest.mark.parametrize("key", ["", "sk-wrong-0123456789abcdef"])
def test_a_key_that_is_missing_or_wrong(draft, key):
    report = probe.test_connection(draft(api_key=key))
    assert (report.ok, report.error_code) == (False, "key_refused" if key else "key_missing")
    assert not key or key not in report.error


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        ("401", "key_refused"),
        ("403", "key_refused"),
        ("404", "not_found"),
        ("400", "rejected"),
        ("429", "limited"),
        ("500", "server_error"),
        ("503", "server_error"),
        ("529", "server_error"),
        ("redirect-metadata", "redirect"),
        ("200-html", "html"),
        ("200-error-json", "rejected"),
        ("empty", "empty"),
        ("empty-done", "empty"),
        ("truncated-json", "not_the_api"),
        ("reset", "broken"),
        ("hang", "timeout"),
        ("hang-after-headers", "timeout"),
        ("endless-comments", "timeout"),
        ("gzip-bomb", "broken"),
        ("stall", "timeout"),
        ("cut-midstream", "empty"),
        ("reset-midstream", "broken"),
    ],
)
def test_each_way_of_failing_has_its_sentence(draft, upstream, fault, code):
    upstream.fail(fault)
    report = probe.test_connection(draft(), patience=SHORT)
    assert (report.ok, report.error_code) == (False, code), report.error
    assert "good" in report.models  # what was learnt before is kept
    assert report.error.endswith((".", "?"))


@pytest.mark.parametrize("fault", ["no-done", "endless-tokens", "crlf-mix"])
def test_one_token_is_proof_enough(draft, upstream, fault):
    upstream.fail(fault)
    assert probe.test_connection(draft(), patience=SHORT).ok


def test_no_redirect_is_followed(draft, upstream):
    upstream.fail("redirect-metadata")
    report = probe.test_connection(draft())
    assert "169.254.169.254" in report.error
    assert len(upstream.log) == 2


def test_nobody_listens(allow):
    with refusing_url() as url:
        report = probe.test_connection(ConnectionDraft("custom", allow(url), KEY))
    assert report.error_code == "refused"


def test_a_name_that_nobody_has():
    report = probe.test_connection(ConnectionDraft("custom", "https://nobody.invalid/v1", KEY))
    assert report.error_code == "dns"
    assert "nobody.invalid" in report.error


def test_a_certificate_that_nobody_trusts(allow, server_saying, self_signed):
    url = allow(server_saying(b"", "https", self_signed))
    report = probe.test_connection(ConnectionDraft("custom", url, KEY))
    assert (report.error_code, "trusted" in report.error) == ("tls", True)


def test_tls_spoken_to_a_plain_server(allow, server_saying):
    url = allow(server_saying(http("400 Bad Request", b""), "https"))
    report = probe.test_connection(ConnectionDraft("custom", url, KEY))
    assert (report.error_code, "http://" in report.error) == ("tls", True)


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (b"SSH-2.0-OpenSSH_9.2\r\n", "broken"),
        (http("200 OK", b"<!doctype html><title>Home</title>"), "html"),
        (http("200 OK", b"hello"), "not_the_api"),
        (http("200 OK", b'{"models": []}'), "not_the_api"),
        (http("200 OK", b"{}", "Content-Encoding: gzip"), "broken"),
        (http("200 OK", b"[1" + b" " * (9 << 20)), "too_large"),
    ],
)
def test_servers_that_are_something_else(allow, server_saying, answer, code):
    report = probe.test_connection(ConnectionDraft("custom", allow(server_saying(answer)), KEY), patience=SHORT)
    assert (report.ok, report.error_code) == (False, code), report.error


def test_a_bare_list_of_models_will_do(allow, server_saying):
    url = allow(server_saying(http("200 OK", b'[{"id": "one"}, {"id": 2}, "three"]')))
    assert probe.test_connection(ConnectionDraft("custom", url, KEY)).models == ("one",)


def test_an_answer_never_repeats_the_key(allow, server_saying):
    body = b'{"error": {"message": "key %s is   over\\n quota"}}' % KEY.encode()
    url = allow(server_saying(http("429 Too Many Requests", body)))
    report = probe.test_connection(ConnectionDraft("custom", url, KEY))
    assert report.error_code == "limited"
    assert KEY not in report.error
    assert "key … is over quota" in report.error


def test_an_address_inside_is_not_dialled(upstream, settings):
    settings.EGRESS_ALLOW = ""
    report = probe.test_connection(ConnectionDraft("custom", upstream.base_url, KEY))
    assert (report.ok, report.error_code) == (False, "egress_refused")
    assert "EGRESS_ALLOW" in report.error
    assert len(upstream.log) == 0


def test_a_draft_that_is_wrong_in_itself():
    with pytest.raises(InvalidConnection):
        probe.test_connection(ConnectionDraft("custom", "not a url"))


@pytest.mark.django_db
def test_a_saved_connection_is_tested_with_its_active_key_and_own_model(connect, as_alice, upstream):
    connection = connect(
        base_url=upstream.base_url,
        api_keys=["sk-wrong-0123456789abcdef", KEY],
        models=[{"id": "e-embed", "kind": "embedding"}, {"id": "mine", "upstream_id": "good"}],
    )
    wrong = ConnectionKey.objects.order_by("pk")[0]
    assert probe.test_connection(connection).error_code == "key_refused"
    services.park_key(wrong, as_alice, "refused")
    report = probe.test_connection(connection)
    assert (report.ok, report.model) == (True, "good")
    assert probe.test_connection(connection, key=wrong).error_code == "key_refused"


@pytest.mark.django_db
def test_the_last_test_is_remembered_without_a_new_version(acme, connect, upstream):
    connection = connect(base_url=upstream.base_url, models=[{"id": "good"}])
    version = type(acme).objects.get(pk=acme.pk).version
    report = probe.test_and_remember(connection)
    stored = Connection.objects.get(pk=connection.pk).last_test
    assert (stored["ok"], stored["model"], stored["first_token_ms"]) == (True, "good", report.first_token_ms)
    assert stored["at"]
    assert type(acme).objects.get(pk=acme.pk).version == version
