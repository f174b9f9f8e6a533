"""A web server with a copy of what a console serves, which a test can spoil."""

from __future__ import annotations

import functools
import hashlib
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

from nodes.downloads import PLACEHOLDER
from tests.installers.conftest import SCRIPTS


class Shelf:
    def __init__(self, folder: Path, built: Path) -> None:
        self.folder = folder
        self.files = folder / "nodes/v1/agent"
        shutil.copytree(built, self.files)
        self.asked: list[str] = []
        handler = functools.partial(_Handler, self.asked, directory=str(folder))
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.name(self.url)

    def name(self, console: str) -> None:
        """What the script takes for its console."""
        text = (SCRIPTS / "install.sh").read_text().replace(PLACEHOLDER, console)
        (self.folder / "install.sh").write_text(text)

    @property
    def wheel(self) -> Path:
        (wheel,) = self.files.glob("*.whl")
        return wheel

    def replace(self, file: Path, data: bytes) -> None:
        """Another content, listed as it should be."""
        former = hashlib.sha256(file.read_bytes()).hexdigest()
        file.write_bytes(data)
        sums = self.files / "SHA256SUMS"
        sums.write_text(sums.read_text().replace(former, hashlib.sha256(data).hexdigest()))

    @contextmanager
    def open(self) -> Iterator[Shelf]:
        thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            self._server.server_close()
            thread.join()


class _Handler(SimpleHTTPRequestHandler):
    def __init__(self, asked: list[str], *words: object, directory: str) -> None:
        self._asked = asked
        super().__init__(*words, directory=directory)

    def do_GET(self) -> None:
        """Asked as a proxy is, by a whole URL, it is one: it answers for that host."""
        self._asked.append(self.path)
        parts = urlsplit(self.path)
        self.path = parts.path
        super().do_GET()

    def log_message(self, *_: object) -> None:
        """Not into the output of the tests."""
