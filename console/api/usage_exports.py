"""`/usage/exports`: files of single requests, written in the background."""

from __future__ import annotations

from typing import Any

from django.http import StreamingHttpResponse
from drf_spectacular.utils import OpenApiResponse
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.roles import Permission
from console.api.fields import Body, Kind, Shown, Text
from console.api.frame import ResourceView
from console.api.idempotency import idempotent
from console.api.openapi import described, list_of
from console.api.usage import Moment, narrowed_by, span_in
from console.export_files import file_answer
from metering import exports
from metering.models import UsageExport
from metering.tasks import hand_over_export

STATES = (UsageExport.WAITING, UsageExport.RUNNING, UsageExport.DONE, UsageExport.FAILED)


class Name(Text):
    def __init__(self, help_text: str) -> None:
        super().__init__(required=False, allow_blank=True, max_length=260, help_text=help_text)


class ExportWishes(Body):
    """Which requests, and as what."""

    to = Moment(required=False, help_text="The first moment after them; now when left out.")
    format = serializers.ChoiceField(exports.FORMATS, default="csv")
    model = Name("Only of this model, as it was asked for.")
    route = Name("Only of this route.")
    target = Name("Only what this target answered.")
    node = Name("Only what this machine answered, by its short name.")
    key = Name("Only of the key of this id.")
    member = Name("Only of the member of this id.")

    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        first = Moment(required=False, help_text="The first moment; a week before `to` when left out.")
        return {"from": first, **super().get_fields()}

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        return span_in(attrs)


class ExportShown(Shown):
    object = Kind("usage_export")
    id = serializers.CharField(source="public_id")
    state = serializers.ChoiceField(STATES, help_text="`done`: it can be downloaded.")
    format = serializers.ChoiceField(exports.FORMATS)
    begins_at = serializers.DateTimeField()
    ends_at = serializers.DateTimeField()
    total = serializers.IntegerField(help_text="Requests to write.")
    done = serializers.IntegerField(help_text="Requests written.")
    size_bytes = serializers.IntegerField()
    created_at = serializers.DateTimeField()
    created_by = serializers.CharField(source="actor_label")
    expires_at = serializers.DateTimeField(help_text="Then it is deleted.")


class UsageExportsView(ResourceView):
    tag = "Usage"
    needs = {"GET": (Permission.VIEW_USAGE,), "POST": (Permission.VIEW_USAGE,)}

    @described("listUsageExports", "List exports", **list_of(ExportShown))
    def get(self, request: Request) -> Response:
        return self.listed(UsageExport.objects.of(self.organization), ExportShown)

    @described(
        "createUsageExport",
        "Export requests",
        body=ExportWishes,
        answer=ExportShown,
        status=201,
        sent={"from": "2026-11-01", "to": "2026-12-01", "format": "csv"},
    )
    @idempotent
    def post(self, request: Request) -> Response:
        """Every request of [`from`, `to`), oldest first. A large export is written in the background: ask for it
        until its `state` is `done`, then download it."""
        wishes = self.read(ExportWishes)
        narrowed = narrowed_by(self.organization, wishes)
        begun = exports.begin(self.organization, self.actor, wishes["from"], wishes["to"], wishes["format"], narrowed)
        if begun.is_open:
            hand_over_export(begun.pk)
        begun.refresh_from_db()
        return Response(ExportShown(begun).data, 201)


class UsageExportView(ResourceView):
    tag = "Usage"
    needs = {"GET": (Permission.VIEW_USAGE,), "DELETE": (Permission.VIEW_USAGE,)}

    @described("getUsageExport", "Show an export", answer=ExportShown)
    def get(self, request: Request, export_id: str) -> Response:
        return Response(ExportShown(self._export(export_id)).data)

    @described("deleteUsageExport", "Delete an export", status=204)
    def delete(self, request: Request, export_id: str) -> Response:
        """One that is being written is written no further."""
        exports.discard(self._export(export_id), self.actor)
        return Response(status=204)

    def _export(self, export_id: str) -> UsageExport:
        return self.find(UsageExport.objects.of(self.organization).select_related("org"), public_id=export_id)


class UsageExportRetryView(ResourceView):
    tag = "Usage"
    needs = {"POST": (Permission.VIEW_USAGE,)}

    @described("retryUsageExport", "Try an export again", answer=ExportShown)
    @idempotent
    def post(self, request: Request, export_id: str) -> Response:
        """One that has failed goes on where it ended; another stays as it is."""
        found = self.find(UsageExport.objects.of(self.organization).select_related("org"), public_id=export_id)
        if exports.retry(found, self.actor):
            hand_over_export(found.pk)
        found.refresh_from_db()
        return Response(ExportShown(found).data)


class UsageExportFileView(ResourceView):
    tag = "Usage"
    needs = {"GET": (Permission.VIEW_USAGE,)}

    @described(
        "downloadUsageExport",
        "Download an export",
        answer={
            (200, "text/csv"): OpenApiResponse(
                str, description="A request a line; the first line names the columns."
            ),
            (200, "application/json"): OpenApiResponse(
                {"type": "array", "items": {"type": "object"}}, description="An array of requests."
            ),
        },
    )
    def get(self, request: Request, export_id: str) -> StreamingHttpResponse:
        """Once it is done; until then it is not found."""
        done = UsageExport.objects.of(self.organization).filter(state=UsageExport.DONE)
        return file_answer(self.find(done, public_id=export_id))
