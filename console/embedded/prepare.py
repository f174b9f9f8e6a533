"""Brings the database up to date and writes the demo into it: `python -m console.embedded.prepare`.

One process for both, because loading Django costs more than either has to do at most starts; and none at all when
`is_prepared` finds that nothing has changed since the last time.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from console.embedded.wishes import PROJECT

SEED = "seed_demo"
MARK = "prepared"
DEPENDS_ON = ("DEMO_UPSTREAMS", "PORT", "PUBLIC_URL", "SHAREAI_KEYRING", "SHAREAI_DEMO")


def is_prepared(cluster: Path, demo_env: Path, environment: dict[str, str]) -> bool:
    """Whether this very code has prepared this embedded cluster for this very demo."""
    mark = cluster / MARK
    return demo_env.exists() and mark.exists() and mark.read_text() == fingerprint(environment)


def fingerprint(environment: dict[str, str]) -> str:
    digest = hashlib.sha256()
    for path in sorted(_sources()):
        state = path.stat()
        digest.update(f"{path} {state.st_size} {state.st_mtime_ns}\n".encode())
    for name in DEPENDS_ON:
        digest.update(f"{name}={environment.get(name, '')}\n".encode())
    return digest.hexdigest()


def _sources() -> Iterator[Path]:
    yield PROJECT / "requirements.txt"
    for room in PROJECT.glob("*/__init__.py"):
        if room.parent.name != "tests":
            yield from room.parent.rglob("*.py")


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "console.settings")
    import django
    from django.core.management import call_command, get_commands

    django.setup()
    call_command("migrate", interactive=False, verbosity=0)
    if SEED in get_commands():
        call_command(SEED)


if __name__ == "__main__":
    main()
