"""Brings the database up to date, writes the demo into it, gathers the static files: `-m console.embedded.prepare`.

One process for all, because loading Django costs more than any of them has to do at most starts; and none when
`is_prepared` finds that nothing has changed since the last time.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from console.embedded.wishes import PROJECT

SEED = "seed_demo"
DEPENDS_ON = ("DEMO_UPSTREAMS", "PORT", "PUBLIC_URL", "SHAREAI_KEYRING", "SHAREAI_DEMO")


def is_prepared(data_dir: Path, environment: dict[str, str]) -> bool:
    """Whether this very code has prepared this folder's cluster for this very demo."""
    mark = mark_of(data_dir)
    made = mark.exists() and (data_dir / "demo.env").exists() and (data_dir / "staticfiles").exists()
    return made and mark.read_text() == fingerprint(environment)


def mark_of(data_dir: Path) -> Path:
    """Beside the cluster that it speaks of, so that they go together."""
    return data_dir / "postgres" / "prepared"


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
    yield from (path for path in (PROJECT / "static").rglob("*") if path.is_file())


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "console.settings")
    import django
    from django.core.management import call_command, get_commands

    django.setup()
    call_command("migrate", interactive=False, verbosity=0)
    call_command("collectstatic", interactive=False, verbosity=0)
    if SEED in get_commands():
        call_command(SEED)


if __name__ == "__main__":
    main()
