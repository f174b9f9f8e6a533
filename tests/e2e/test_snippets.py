"""The three snippets that the console shows are run as they are shown."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from console.snippets import env_file, first_call

PROJECT = Path(__file__).resolve().parents[2]


@pytest.fixture
def snippets(gateway, tenant) -> dict[str, str]:
    return {each.name: each.text for each in first_call(gateway.base_url, tenant.api_key, "sim-chat")}


def run(*command: str, **options) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, **options)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_snippet_of_curl_is_answered(snippets):
    assert '"choices"' in run("bash", "-c", snippets["curl"])


def test_the_snippet_of_python_is_answered(snippets, tmp_path):
    script = tmp_path / "call.py"
    script.write_text(snippets["python"])
    assert "simulated" in run(sys.executable, str(script))


@pytest.mark.skipif(shutil.which("node") is None, reason="no Node.js on PATH")
def test_javascript(snippets, tmp_path):
    wanted = json.loads((PROJECT / "package.json").read_text())["devDependencies"]["openai"]
    run("npm", "install", "--no-audit", "--no-fund", f"openai@{wanted}", cwd=tmp_path)
    assert "simulated" in run("node", "--input-type=module", "-e", snippets["javascript"], cwd=tmp_path)


def test_the_env_file_is_all_that_a_client_needs(gateway, tenant, tmp_path):
    (tmp_path / ".env").write_text(env_file(gateway.base_url, tenant.api_key))
    script = "from openai import OpenAI; print([model.id for model in OpenAI().models.list()])"
    out = run("bash", "-c", f"set -a; . {tmp_path}/.env; {sys.executable} -c '{script}'", env=os.environ.copy())
    assert "sim-chat" in out
