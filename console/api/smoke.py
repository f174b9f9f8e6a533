"""`/smoke`: the five checks of a first rollout, run against the real gateway."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.roles import Permission
from console.api.fields import Body, Shown, Text
from console.api.frame import ResourceView
from console.api.idempotency import idempotent
from console.api.openapi import described, list_of
from console.models import SmokeRun
from console.smoke import report, runs
from console.smoke.shown import shown_run

_VERDICTS = (report.RUNNING, report.PASSED, report.FAILED, report.SKIPPED)


class SmokeStepShown(Shown):
    name = serializers.CharField()
    ok = serializers.BooleanField()
    ms = serializers.IntegerField()
    said = serializers.CharField(help_text="For people.")
    facts = serializers.DictField(help_text="What the step saw; amounts of money in nano-USD.")


class SmokeCheckShown(Shown):
    check = serializers.ChoiceField(list(report.CHECKS))
    verdict = serializers.ChoiceField(_VERDICTS)
    ms = serializers.IntegerField()
    steps = SmokeStepShown(many=True)


class SmokeRunShown(Shown):
    object = serializers.CharField()
    id = serializers.CharField()
    status = serializers.ChoiceField(["running", "ended"])
    verdict = serializers.ChoiceField(_VERDICTS)
    asked = serializers.ListField(child=serializers.ChoiceField(list(report.CHECKS)))
    route = serializers.CharField(allow_blank=True)
    prompt = serializers.CharField(allow_blank=True)
    begun_by = serializers.CharField()
    created_at = serializers.DateTimeField()
    ended_at = serializers.DateTimeField(allow_null=True)
    checks = SmokeCheckShown(many=True)

    def to_representation(self, instance: SmokeRun) -> dict[str, Any]:
        return shown_run(instance)


class SmokeWishes(Body):
    checks = serializers.ListField(
        child=serializers.ChoiceField(list(report.CHECKS)),
        required=False,
        default=list,
        help_text="Which of the five; all, if left out.",
    )
    route = Text(required=False, max_length=260, allow_blank=True, default="", help_text="Every check keeps to it.")
    prompt = Text(
        required=False,
        max_length=runs.LONGEST_PROMPT,
        allow_blank=True,
        default="",
        help_text="Whose cost is compared over the routes.",
    )


class SmokeRunsView(ResourceView):
    tag = "Smoke test"
    needs = {"GET": (Permission.VIEW_USAGE,), "POST": (Permission.MANAGE_ROUTES,)}

    @described("listSmokeRuns", "List runs of the smoke test", **list_of(SmokeRunShown))
    def get(self, request: Request) -> Response:
        """Newest first; the last fifty are kept."""
        return self.listed(SmokeRun.objects.of(self.organization), SmokeRunShown)

    @described(
        "runSmokeTest",
        "Run the smoke test",
        body=SmokeWishes,
        answer=SmokeRunShown,
        status=202,
        sent={"checks": ["answers", "outage"]},
    )
    @idempotent
    def post(self, request: Request) -> Response:
        """It goes on by itself; ask for the run again until its `status` is `ended`. One runs at a time.

        It calls your routes, which costs what such calls cost. All that it makes is taken back.
        """
        wishes = self.read(SmokeWishes)
        run = runs.begin(self.organization, self.actor, **wishes)
        runs.carry_out_soon(run, self.actor)
        return Response(SmokeRunShown(run).data, 202)


class SmokeRunView(ResourceView):
    tag = "Smoke test"
    needs = {"GET": (Permission.VIEW_USAGE,)}

    @described("getSmokeRun", "Show a run of the smoke test", answer=SmokeRunShown)
    def get(self, request: Request, run_id: str) -> Response:
        return Response(SmokeRunShown(self.find(SmokeRun.objects.of(self.organization), public_id=run_id)).data)
