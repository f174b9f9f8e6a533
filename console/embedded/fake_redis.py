"""The simulated Redis of last resort: `python -m console.embedded.fake_redis PORT`."""

from __future__ import annotations

import signal
import sys

from fakeredis import TcpFakeServer


def main(port: int) -> None:
    server = TcpFakeServer(("127.0.0.1", port), server_version=(7, 2))
    server.daemon_threads = True
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    server.serve_forever()


if __name__ == "__main__":
    main(int(sys.argv[1]))
