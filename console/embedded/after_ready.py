"""Becomes a command as soon as the gateway is ready: `python -m console.embedded.after_ready PORT COMMAND...`.

Loading Django takes a processor for seconds, and three processes load it. The one that answers goes first.
"""

from __future__ import annotations

import os
import sys
import time
from typing import NoReturn

from console.embedded.probe import not_ready

ASK_EVERY_S = 0.2


def main(port: int, command: list[str]) -> NoReturn:
    while not_ready(port) is not None:
        time.sleep(ASK_EVERY_S)
    os.execvp(command[0], command)  # noqa: S606 # this project's own command, word by word


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
