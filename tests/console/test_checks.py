"""What keeps ShareAI from starting insecure."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.checks import run_checks
from django.test import override_settings

from console.checks import TAG

PASSABLE = "q8ZrT2vLw0YpXn5BsKd7MhJf3GcAe9UiVo1R4tQxWzNy6"
PROJECT = Path(__file__).resolve().parent.parent.parent


def found() -> set[str]:
    return {message.id for message in run_checks(tags=[TAG], include_deployment_checks=True)}


def test_the_settings_of_the_tests_are_fine():
    assert found() == set()


@pytest.mark.parametrize(
    ("setting", "value", "name"),
    [
        ("DEBUG", True, "shareai.E001"),
        ("SECRET_KEY", "django-insecure", "shareai.E002"),
        ("SECRET_KEY", "django-insecure-" + PASSABLE, "shareai.E002"),
        ("SECRET_KEY", "Change-me-" + PASSABLE, "shareai.E002"),
        ("SECRET_KEY", "ab" * 40, "shareai.E002"),
        ("ALLOWED_HOSTS", ["example.org", "*"], "shareai.E003"),
        ("KEYRING", "", "shareai.E004"),
        ("KEYRING", "1:short", "shareai.E004"),
        ("REDIS_URL", "redis://10.1.2.3:6379/0", "shareai.E005"),
        ("REDIS_URL", "redis://cache.internal:6379/0", "shareai.E005"),
    ],
)
def test_each_insecure_setting_is_an_error(setting, value, name):
    with override_settings(**{setting: value}):
        assert name in found()


def test_a_random_secret_is_one():
    with override_settings(SECRET_KEY=PASSABLE):
        assert found() == set()


@pytest.mark.parametrize(
    "url", ["redis://127.0.0.1:6379/0", "redis://localhost/0", "unix:///run/redis.sock", "redis://:pw@10.1.2.3/0"]
)
def test_a_redis_that_is_near_or_has_a_password_is_fine(url):
    with override_settings(REDIS_URL=url):
        assert found() == set()


def test_the_server_refuses_to_start():
    command = [sys.executable, "-m", "uvicorn", "console.asgi:application", "--port", "0", "--lifespan", "on"]
    environment = {**os.environ, "SHAREAI_KEYRING": "", "ALLOWED_HOSTS": "*"}
    ended = subprocess.run(
        command, cwd=PROJECT, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.returncode != 0
    assert "shareai.E003" in ended.stderr
    assert "shareai.E004" in ended.stderr
