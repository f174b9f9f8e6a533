"""Enrolment, by the real command against a real HTTP console."""

from __future__ import annotations

import json
import os
import socket
import ssl
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from demo.llama import MODEL_ID
from shareai_node import config
from tests.agent.conftest import TOKEN, Home
from tests.agent.console import Console


def unused_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
    return port


async def test_a_token_by_standard_input(home: Home, console: Console):
    done = await home.do("enroll", console.origin, "--name", "Tower", given=TOKEN + "\n")
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith('Enrolled as "Tower" (node_1) for Acme.')
    saved = config.find(home.places)
    assert saved is not None
    assert (saved.console, saved.node, saved.name) == (console.origin, "node_1", "Tower")
    assert saved.connect_url == console.origin.replace("http", "ws") + "/nodes/v1/connect"


async def test_it_says_what_serves_here_or_why_nothing_does(home: Home, console: Console, llama: str):
    dead = f"http://127.0.0.1:{unused_port()}"
    words = ["enroll", console.origin, "--no-discover", "--server", llama, "--server", dead]
    lines = (await home.do(*words, given=TOKEN)).out.splitlines()
    assert lines[1] == f"llamacpp at {llama}: {MODEL_ID}"
    assert lines[2] == f"Nothing listens at {dead}. Start the server there, or correct its address."
    added = await home.do("server", "add", dead)
    assert added.out.splitlines() == [f"{dead} is looked at from now on.", lines[2]]
    assert (await home.do("server", "remove", llama)).code == (await home.do("server", "remove", dead)).code == 0
    assert "the usual ports are not looked at" in (await home.do("doctor")).out


async def test_a_token_by_file(home: Home, console: Console, tmp_path: Path):
    file = tmp_path / "token"
    file.write_text(f"  {TOKEN}\n")
    assert (await home.do("enroll", console.origin, "--token-file", str(file))).code == 0


async def test_what_the_console_learns(home: Home, console: Console):
    await home.enroll(console)
    told = console.enrollments[0]
    assert told["hostname"] == socket.gethostname()
    assert told["os"] == "linux"
    assert told["version"]
    assert abs(datetime.now(UTC) - datetime.fromisoformat(told["sent_at"])) < timedelta(minutes=5)


async def test_files_are_the_owners_alone(home: Home, console: Console):
    await home.enroll(console)
    files = {path.name: stat.S_IMODE(path.stat().st_mode) for path in home.folder.iterdir()}
    assert files == {"config.json": 0o600, "identity.key": 0o600}


async def test_a_token_in_the_arguments_is_refused_and_not_repeated(home: Home, console: Console):
    done = await home.do("enroll", console.origin, TOKEN)
    assert done.code == 2
    assert "--token-file" in done.line
    assert TOKEN not in done.err + done.out
    assert console.enrollments == []


@pytest.mark.parametrize(
    ("code", "status", "does"),
    [
        ("token_unknown", 401, "Copy it again"),
        ("token_used", 409, "Make a new one"),
        ("token_expired", 410, "Make a new one"),
        ("proof_invalid", 400, "Use the one its wizard shows"),
        ("clock_skew", 400, "Set the clock"),
        ("version_unsupported", 426, "Install the one it offers"),
        ("too_many", 429, "Wait a few minutes"),
        ("something_new", 418, "The console refused (418): Because."),
    ],
)
async def test_each_refusal_is_one_line_that_says_what_to_do(home: Home, console: Console, code, status, does):
    console.refuse_with = status, {"message": "Because.", "type": "x", "param": None, "code": code}
    done = await home.do("enroll", console.origin, given=TOKEN)
    assert done.code == 1
    assert does in done.line
    assert TOKEN not in done.err
    assert config.find(home.places) is None


async def test_a_token_used_by_another_machine(make_home, console: Console):
    await make_home("first").enroll(console)
    done = await make_home("second").do("enroll", console.origin, given=TOKEN)
    assert done.line.startswith("This token was used before.")


@pytest.mark.parametrize(("given", "does"), [("", "No token was given"), ("sk-not-one", "begins with sai-node-")])
async def test_what_is_no_token_never_leaves_the_machine(home: Home, console: Console, given, does):
    done = await home.do("enroll", console.origin, given=given)
    assert does in done.line
    assert console.enrollments == []


async def test_a_lost_answer_costs_nothing(home: Home, console: Console):
    console.lose_answers = 1
    lost = await home.do("enroll", console.origin, given=TOKEN)
    assert lost.code == 5
    again = await home.do("enroll", console.origin, given=TOKEN)
    assert again.code == 0, again.err
    assert len(console.keys) == 1
    assert sorted(path.name for path in home.folder.iterdir()) == ["config.json", "identity.key"]


async def test_enrolled_already(home: Home, console: Console):
    await home.enroll(console)
    console.tokens.add("sai-node-good-token-2")
    again = await home.do("enroll", console.origin, given="sai-node-good-token-2")
    assert again.code == 1
    assert "--replace" in again.line
    key = (home.folder / "identity.key").read_bytes()
    replaced = await home.do("enroll", console.origin, "--replace", given="sai-node-good-token-2")
    assert replaced.code == 0
    assert (home.folder / "identity.key").read_bytes() != key
    assert json.loads((home.folder / "config.json").read_text())["node"] == "node_2"


async def test_nothing_listens(home: Home):
    done = await home.do("enroll", f"http://127.0.0.1:{unused_port()}", given=TOKEN)
    assert done.code == 5
    assert done.line.startswith("Nothing listens at 127.0.0.1:")


async def test_a_name_that_does_not_resolve(home: Home):
    done = await home.do("enroll", "https://console.invalid", given=TOKEN)
    assert done.code == 5
    assert "does not resolve" in done.line


async def test_something_else_answers(home: Home, console: Console):
    console.refuse_with = 404, {}
    assert "is no ShareAI console" in (await home.do("enroll", console.origin, given=TOKEN)).line
    console.refuse_with = 404, {"error": {"code": "not_found", "message": "Not Found (POST /nodes/v1/enroll)"}}
    assert "is no ShareAI console" in (await home.do("enroll", console.origin, given=TOKEN)).line
    console.refuse_with = 502, {}
    assert "Try again in a minute" in (await home.do("enroll", console.origin, given=TOKEN)).line


@pytest.mark.parametrize("url", ["https://a.example/path", "ftp://a.example", "https://a b", "https://u:p@a.example"])
async def test_what_is_no_address(home: Home, url):
    done = await home.do("enroll", url, given=TOKEN)
    assert done.code == 1
    assert "Write it as https://" in done.line


async def test_plain_http_only_where_nobody_listens_in(home: Home):
    done = await home.do("enroll", "http://console.invalid", given=TOKEN)
    assert "is not encrypted" in done.line
    insisted = await home.do("enroll", "http://console.invalid", "--allow-http", given=TOKEN)
    assert "does not resolve" in insisted.line


async def test_the_proxy_of_the_environment_is_asked(home: Home):
    proxy = f"http://127.0.0.1:{unused_port()}"
    done = await home.do("enroll", "https://console.invalid", given=TOKEN, HTTPS_PROXY=proxy)
    assert "does not resolve" not in done.line  # the proxy would have resolved it


@pytest.fixture
def certificate(tmp_path: Path):
    def make(begins: timedelta, ends: timedelta, host: str = "localhost") -> Path:
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
        now = datetime.now(UTC)
        made = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + begins)
            .not_valid_after(now + ends)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(key, hashes.SHA256())
        )
        file = tmp_path / "console.pem"
        secret = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        file.write_bytes(made.public_bytes(serialization.Encoding.PEM) + secret)
        return file

    return make


DAY = timedelta(days=1)


@pytest.mark.parametrize(
    ("begins", "ends", "host", "trusted", "does"),
    [
        (-DAY, DAY, "localhost", False, "does not trust the certificate"),
        (DAY, 2 * DAY, "localhost", True, "clock is probably wrong"),
        (-2 * DAY, -DAY, "localhost", True, "has expired"),
        (-DAY, DAY, "elsewhere.example", True, "is for another name"),
        (-DAY, DAY, "localhost", True, "is no ShareAI console"),
    ],
    ids=["untrusted", "not yet valid", "expired", "another name", "trusted"],
)
async def test_only_a_console_with_a_good_certificate_is_spoken_to(
    home: Home, certificate, begins, ends, host, trusted, does
):
    file = certificate(begins, ends, host)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    runner = web.AppRunner(web.Application())
    await runner.setup()
    try:
        await web.TCPSite(runner, "localhost", 0, ssl_context=context).start()
        url = f"https://localhost:{runner.addresses[0][1]}"
        environment = {"SSL_CERT_FILE": str(file)} if trusted else {"SSL_CERT_FILE": os.devnull}
        done = await home.do("enroll", url, given=TOKEN, **environment)
    finally:
        await runner.cleanup()
    assert does in done.line


async def test_plain_http_behind_https(home: Home, console: Console):
    done = await home.do("enroll", f"https://127.0.0.1:{console.port}", given=TOKEN)
    assert done.code == 5
    assert "TLS" in done.line


async def test_a_console_on_tls_may_not_name_a_plain_connection():
    from shareai_node.console import refuse_weaker_connection
    from shareai_node.errors import AgentError

    refuse_weaker_connection("https://a.example", "wss://a.example/nodes/v1/connect")
    refuse_weaker_connection("http://a.example", "ws://a.example/nodes/v1/connect")
    for url in ("ws://a.example/x", "https://a.example", "file:///etc/passwd"):
        with pytest.raises(AgentError):
            refuse_weaker_connection("https://a.example", url)
