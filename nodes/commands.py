"""What a person types on a machine to enrol it.

The token goes by the environment or standard input, never as a word of a command, where every user of the machine
could read it.
"""

from __future__ import annotations

import re

_LOOPBACK = re.compile(r"http://(localhost|127\.[0-9.]+|\[::1\])(:\d+)?", re.ASCII)


def commands(console: str, token: str) -> dict[str, str]:
    """By platform: `ubuntu`, `macos`, `windows`, `docker`.

    Args:
        console: its address, without a slash at the end.
    """
    is_open = console.startswith("http://") and not _LOOPBACK.fullmatch(console)
    shell = f"curl -fsSL {console}/install.sh | SHAREAI_NODE_TOKEN={token} sh" + (
        " -s -- --allow-http" if is_open else ""
    )
    return {
        "ubuntu": shell,
        "macos": shell,
        "windows": _windows(console, token, is_open),
        "docker": _docker(console, token, is_open),
    }


def _windows(console: str, token: str, is_open: bool) -> str:
    fetch = f"irm {console}/install.ps1"
    start = f"& ([scriptblock]::Create(({fetch}))) -AllowHttp" if is_open else f"{fetch} | iex"
    return f"$env:SHAREAI_NODE_TOKEN='{token}'; {start}"


def _docker(console: str, token: str, is_open: bool) -> str:
    """`printf` is a word of the shell, no process of its own."""
    volume, word = "-v shareai-node:/var/lib/shareai-node", " --allow-http" if is_open else ""
    return (
        f"printf %s {token} | docker run --rm -i {volume} shareai-node enroll {console}{word} && "
        f"docker run -d --restart unless-stopped {volume} --add-host host.docker.internal:host-gateway "
        "-e SHAREAI_NODE_SERVERS=http://host.docker.internal:11434 shareai-node"
    )
