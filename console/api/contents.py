"""`/contents`: prompts and answers, of an organisation that keeps them. Each reading is in the audit trail."""

from __future__ import annotations

from typing import Any

from django.http import Http404
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.roles import Permission
from console.api.fields import Kind, PageQuery, Shown
from console.api.frame import ResourceView
from console.api.openapi import described, list_of
from console.api.pages import Page, page_of_rows
from console.api.usage import Moment
from metering import contents
from metering.contents import Kept
from metering.models import Content

_SAID = "As it was said where all of it is kept, else its text with a mark where the middle is missing."


class RequestContentShown(Shown):
    object = Kind("request.content")
    id = serializers.CharField(help_text="Of the request.")
    started_at = serializers.DateTimeField()
    status = serializers.IntegerField()
    streamed = serializers.BooleanField(help_text="The events were put together to one answer.")
    is_cut = serializers.BooleanField()
    request = serializers.JSONField(help_text=_SAID)
    response = serializers.JSONField(help_text=_SAID)

    def to_representation(self, kept: Kept) -> dict[str, Any]:
        return {"object": "request.content", **contents.shown(kept), "is_cut": kept.transcript.is_cut}


class ContentsQuery(PageQuery):
    from_ = Moment(required=False)
    to = Moment(required=False)


class PurgedShown(Shown):
    object = Kind("purge")
    requests = serializers.IntegerField(help_text="How many requests' contents were deleted.")


class RequestContentView(ResourceView):
    tag = "Requests"
    needs = {"GET": (Permission.VIEW_CONTENT,)}

    @described("getRequestContent", "Read what a request asked and was answered", answer=RequestContentShown)
    def get(self, request: Request, request_id: str) -> Response:
        """404 where it was not kept: its organisation, its key or itself did not want it, or its time is over."""
        kept = contents.read(self.organization, self.actor, request_id)
        if kept is None:
            raise Http404
        return Response(RequestContentShown(kept).data)


class ContentsView(ResourceView):
    tag = "Requests"
    needs = {"GET": (Permission.VIEW_CONTENT,), "DELETE": (Permission.MANAGE_ORGANIZATION,)}

    @described("listContents", "Export prompts and answers", **list_of(RequestContentShown, query=ContentsQuery))
    def get(self, request: Request) -> Response:
        """The newest first."""
        query = self.query(ContentsQuery)
        rows = Content.objects.of(self.organization)
        rows = rows.filter(started_at__gte=query["from"]) if query.get("from") else rows
        rows = rows.filter(started_at__lt=query["to"]) if query.get("to") else rows
        page = page_of_rows(rows, ["-started_at", "-id"], query.get("cursor"), query["limit"], self.mark())
        kept = contents.read_all(self.organization, self.actor, page.rows)
        return self.answered(Page(kept, page.next_cursor), RequestContentShown)

    @described("purgeContents", "Purge prompts and answers", answer=PurgedShown)
    def delete(self, request: Request) -> Response:
        """Deletes all that is kept, now. What is under way is not kept either."""
        return Response(PurgedShown({"requests": contents.purge(self.organization, self.actor)}).data)
