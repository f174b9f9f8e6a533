"""The smoke test from a shell: `manage.py smoke acme [--check outage ...]`. Ends with 1 unless all passed."""

from __future__ import annotations

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts.audit import Actor
from accounts.models import Organization
from common.errors import CodedError
from console.smoke import runs
from console.smoke.report import CHECKS, PASSED, Step
from console.smoke.shown import shown_run
from console.smoke.words import VERDICTS, markdown, say, title_of


class Command(BaseCommand):
    help = "Runs the five checks of a first rollout against the running gateway, and takes back what they made."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("slug", help="of the organisation")
        parser.add_argument("--check", action="append", choices=CHECKS, dest="checks", default=[])
        parser.add_argument("--route", default="", help="that every check keeps to")
        parser.add_argument("--prompt", default="", help="whose cost is compared")
        parser.add_argument("--format", choices=("text", "markdown", "json"), default="text")

    def handle(self, *args: Any, slug: str, **options: Any) -> None:
        organization = Organization.objects.filter(slug=slug, deleted_at=None).first()
        if organization is None:
            raise CommandError(f"no organisation has the slug {slug}")
        actor, form = Actor.system("smoke test"), options["format"]
        try:
            run = runs.begin(organization, actor, options["checks"], options["route"], options["prompt"])
        except CodedError as refusal:
            raise CommandError(refusal.message) from refusal
        runs.carry_out(run, actor, self._told if form == "text" else lambda check, step: None)
        if form == "json":
            self.stdout.write(json.dumps(shown_run(run), ensure_ascii=False, indent=2))
        elif form == "markdown":
            self.stdout.write("\n".join(markdown(run)))
        if run.verdict != PASSED:
            raise CommandError(f"{VERDICTS[run.verdict]}", returncode=1)
        self.stderr.write(str(VERDICTS[run.verdict]))

    def _told(self, check: str, step: Step) -> None:
        mark = self.style.SUCCESS("ok") if step.ok else self.style.ERROR("no")
        self.stdout.write(f"{mark} {title_of(check)}: {say(step)} ({step.ms} ms)")
