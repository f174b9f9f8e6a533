"""A migrated database that the workers of a test run copy, since migrating takes ten times as long.

`python -m tests.migrated` makes it, beside the collecting of tests; see `tests.engines`.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from tests.engines import MIGRATING

NAME = "shareai_tests_migrated"


def wait_until_made() -> str | None:
    """Returns: its name; None where nobody makes one, as in a run without workers."""
    if MIGRATING not in os.environ:
        return None
    said = Path(os.environ[MIGRATING])
    with said.open() as log:
        fcntl.flock(log, fcntl.LOCK_SH)
        assert log.read().endswith(NAME), said.read_text()
    return NAME


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "console.settings")
    import django

    django.setup()
    from django.db import connection

    connection.settings_dict["TEST"]["NAME"] = NAME
    connection.creation.create_test_db(verbosity=0, autoclobber=True, serialize=False)
    connection.close()
    print(NAME, end="")


if __name__ == "__main__":
    main()
