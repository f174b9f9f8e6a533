from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def folder() -> Iterator[Path]:
    """A short path that every user may pass through, which those of `tmp_path` are not."""
    path = Path(tempfile.mkdtemp(prefix="shareai-"))
    path.chmod(0o711)
    yield path
    shutil.rmtree(path, ignore_errors=True)
