"""EMAIL_URL, up to a mail server that got the message."""

from __future__ import annotations

import os
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator
from smtplib import SMTPNotSupportedError

import pytest
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.mail import send_mail
from django.test import override_settings

from console import env
from tests.fakes.smtp import MailServer

USER, PASSWORD = "robot@acme.test", "p@ss/word:%"
ESCAPED = "robot%40acme.test:p%40ss%2Fword%3A%25"

Start = Callable[[str], MailServer]


@pytest.fixture
def start(tmp_path, monkeypatch) -> Iterator[Start]:
    """A mail server of some kind, whose certificate is trusted."""
    running: list[MailServer] = []

    def start(kind: str) -> MailServer:
        running.append(MailServer(kind, tmp_path))
        monkeypatch.setenv("SSL_CERT_FILE", str(running[-1].certificate))
        return running[-1]

    yield start
    for server in running:
        server.close()


def send_by(monkeypatch, url: str) -> None:
    monkeypatch.setenv("EMAIL_URL", url)
    server = env.mail("EMAIL_URL")
    with override_settings(
        EMAIL_BACKEND=server.backend,
        EMAIL_HOST=server.host,
        EMAIL_PORT=server.port,
        EMAIL_HOST_USER=server.user,
        EMAIL_HOST_PASSWORD=server.password,
        EMAIL_USE_TLS=server.starts_tls,
        EMAIL_USE_SSL=server.is_tls,
    ):
        send_mail("สวัสดี", "Your code: 123456", None, ["dana@example.com"])


@pytest.mark.parametrize(("scheme", "kind"), [("smtp", "starttls"), ("smtps", "tls")])
def test_a_message_is_handed_in_over_tls_by_who_may(start, monkeypatch, scheme, kind):
    server = start(kind)
    send_by(monkeypatch, f"{scheme}://{ESCAPED}@127.0.0.1:{server.port}")
    [delivery] = server.deliveries
    assert (delivery.user, delivery.password, delivery.was_encrypted) == (USER, PASSWORD, True)
    assert (delivery.to, delivery.message["subject"]) == (("dana@example.com",), "สวัสดี")
    assert delivery.message.get_content().strip() == "Your code: 123456"


def test_to_a_relay_that_is_trusted_it_goes_in_the_clear(start, monkeypatch):
    server = start("plain")
    send_by(monkeypatch, f"smtp+plain://127.0.0.1:{server.port}")
    assert [(delivery.user, delivery.was_encrypted) for delivery in server.deliveries] == [("", False)]


def test_nothing_is_said_in_the_clear_to_a_server_without_tls(start, monkeypatch):
    server = start("plain")
    with pytest.raises(SMTPNotSupportedError):
        send_by(monkeypatch, f"smtp://{ESCAPED}@127.0.0.1:{server.port}")
    assert server.deliveries == []


@pytest.mark.parametrize(("scheme", "kind"), [("smtp", "starttls"), ("smtps", "tls")])
def test_a_certificate_that_nobody_vouches_for_is_refused(start, monkeypatch, scheme, kind):
    server = start(kind)
    monkeypatch.delenv("SSL_CERT_FILE")
    with pytest.raises(ssl.SSLCertVerificationError):
        send_by(monkeypatch, f"{scheme}://{ESCAPED}@127.0.0.1:{server.port}")
    assert server.deliveries == []


def test_the_settings_take_it_from_the_environment(start):
    server = start("starttls")
    url = f"smtp://{ESCAPED}@127.0.0.1:{server.port}"
    command = [sys.executable, "manage.py", "sendtestemail", "dana@example.com"]
    environment = {**os.environ, "EMAIL_URL": url, "DEFAULT_FROM_EMAIL": "ShareAI <hello@acme.test>"}
    subprocess.run(command, cwd=settings.BASE_DIR, env=environment, check=True, timeout=60)
    [delivery] = server.deliveries
    assert (delivery.user, delivery.message["from"]) == (USER, "ShareAI <hello@acme.test>")


@pytest.mark.parametrize(
    ("url", "host", "port"),
    [
        ("smtp://mail.test", "mail.test", 587),
        ("smtps://mail.test", "mail.test", 465),
        ("smtp+plain://[::1]", "::1", 25),
    ],
)
def test_each_way_has_its_port(monkeypatch, url, host, port):
    monkeypatch.setenv("EMAIL_URL", url)
    assert (env.mail("EMAIL_URL").host, env.mail("EMAIL_URL").port) == (host, port)


@pytest.mark.parametrize(
    "url",
    [
        "mail.test",
        "http://mail.test",
        "smtp://",
        "smtp://u:geheim@mail.test/x",
        "smtp://u:geheim@mail.test:x",
        "smtp://u:geheim@mail\u2100.test",
    ],
)
def test_a_wrong_one_is_refused_without_its_password(monkeypatch, url):
    monkeypatch.setenv("EMAIL_URL", url)
    with pytest.raises(ImproperlyConfigured, match="EMAIL_URL") as refused:
        env.mail("EMAIL_URL")
    assert "geheim" not in str(refused.value)


def test_without_one_it_is_printed(monkeypatch):
    monkeypatch.delenv("EMAIL_URL", raising=False)
    assert env.mail("EMAIL_URL").backend == "django.core.mail.backends.console.EmailBackend"


def test_the_password_is_in_no_repr():
    assert PASSWORD not in repr(env.MailServer("mail.test", 587, USER, PASSWORD))
