"""A mail server: a real one on a port of its own, with or without TLS, that keeps what it is given."""

from __future__ import annotations

import base64
import datetime
import socket
import ssl
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

HOST = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Delivery:
    message: EmailMessage
    to: tuple[str, ...]
    user: str
    password: str
    was_encrypted: bool


@dataclass(slots=True)
class _Talk:
    stream: socket.socket
    encrypted: bool
    user: str = ""
    password: str = ""
    to: list[str] = field(default_factory=list)
    buffer: bytes = b""

    def say(self, *lines: str) -> None:
        self.stream.sendall("".join(f"{line}\r\n" for line in lines).encode())

    def read_until(self, end: bytes) -> bytes:
        while end not in self.buffer:
            data = self.stream.recv(65_536)
            if not data:
                raise ConnectionResetError
            self.buffer += data
        found, _, self.buffer = self.buffer.partition(end)
        return found


class MailServer:
    """`kind`: "starttls", "tls" from the start, or "plain". `deliveries` is what came."""

    def __init__(self, kind: str, folder: Path) -> None:
        self.kind = kind
        self.deliveries: list[Delivery] = []
        self.certificate = folder / "mail.pem"
        self._tls = _context(self.certificate)
        self._listener = socket.create_server((HOST, 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):  # closed
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with suppress(OSError), client:  # the client left, or did not like the certificate
            stream = self._tls.wrap_socket(client, server_side=True) if self.kind == "tls" else client
            talk = _Talk(stream, self.kind == "tls")
            talk.say("220 mail.test ESMTP")
            while self._answer(talk, talk.read_until(b"\r\n").decode()):
                pass
            talk.stream.close()

    def _answer(self, talk: _Talk, line: str) -> bool:
        word = line.split(" ")[0].upper()
        if word == "EHLO":
            offers = ["AUTH PLAIN"] + (["STARTTLS"] if self.kind == "starttls" and not talk.encrypted else [])
            talk.say(*[f"250-{offer}" for offer in ["mail.test", *offers]], "250 8BITMIME")
        elif word == "STARTTLS":
            talk.say("220 go ahead")
            talk.stream, talk.encrypted = self._tls.wrap_socket(talk.stream, server_side=True), True
        elif word == "AUTH":
            _, talk.user, talk.password = base64.b64decode(line.split(" ")[2]).decode().split("\0")
            talk.say("235 welcome")
        elif word == "RCPT":
            talk.to.append(line[line.index("<") + 1 : line.index(">")])
            talk.say("250 ok")
        elif word == "DATA":
            talk.say("354 go on")
            self._keep(talk, talk.read_until(b"\r\n.\r\n"))
            talk.say("250 ok")
        else:
            talk.say("221 bye" if word == "QUIT" else "250 ok")
        return word != "QUIT"

    def _keep(self, talk: _Talk, data: bytes) -> None:
        message = message_from_bytes(data, policy=policy.default)
        assert isinstance(message, EmailMessage)
        self.deliveries.append(Delivery(message, tuple(talk.to), talk.user, talk.password, talk.encrypted))


def _context(path: Path) -> ssl.SSLContext:
    """With a certificate for 127.0.0.1 that nobody but `path` vouches for."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "mail.test")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address(HOST))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(private + certificate.public_bytes(serialization.Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return context
