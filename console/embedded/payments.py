"""The demo's double of Stripe, unless the environment names the real one."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Mapping
from pathlib import Path

from console.embedded.wishes import HOST

NAME = "payments"
STATE = "payments.json"


def is_wanted(environment: Mapping[str, str]) -> bool:
    return not environment.get("STRIPE_SECRET_KEY")


def command(port: int, secret: str, data_dir: Path, address: str) -> list[str]:
    words = ["--port", str(port), "--key", _derived("sk_test_", secret), "--secret", _derived("whsec_", secret)]
    words += ["--webhook", f"{address}/billing/stripe", "--state", str(data_dir / STATE)]
    return [sys.executable, "-m", "demo.payments.server", *words]


def environment(port: int, secret: str) -> dict[str, str]:
    return {
        "STRIPE_SECRET_KEY": _derived("sk_test_", secret),
        "STRIPE_WEBHOOK_SECRET": _derived("whsec_", secret),
        "STRIPE_BASE_URL": f"http://{HOST}:{port}",
    }


def _derived(prefix: str, secret: str) -> str:
    """The same at each start, another on each machine."""
    return prefix + hashlib.sha256(f"{prefix}:{secret}".encode()).hexdigest()[:32]
