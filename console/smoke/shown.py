"""A run as the management API and the download show it."""

from __future__ import annotations

from typing import Any

import msgspec

from console.models import SmokeRun
from console.smoke.report import CheckReport, reports_of
from console.smoke.words import say


def shown_run(run: SmokeRun) -> dict[str, Any]:
    return {
        "object": "smoke_run",
        "id": run.public_id,
        "status": "ended" if run.is_over else "running",
        "verdict": run.verdict,
        "asked": run.checks,
        "route": run.route,
        "prompt": run.prompt,
        "begun_by": run.actor_label,
        "created_at": run.created_at.isoformat(),
        "ended_at": run.ended_at.isoformat() if run.ended_at else None,
        "checks": [_shown_check(check) for check in reports_of(run.report)],
    }


def _shown_check(check: CheckReport) -> dict[str, Any]:
    told = msgspec.to_builtins(check)
    steps = [{"said": say(step), **msgspec.to_builtins(step)} for step in check.steps]
    return {**told, "steps": steps}
