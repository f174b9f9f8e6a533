"""The frame of every view: who calls, what is needed, how it is read, how it is answered."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from copy import copy
from typing import Any, ClassVar, TypeVar

from django.db.models import Model, QuerySet
from django.http import Http404
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.parsers import BaseParser, JSONParser
from rest_framework.renderers import BaseRenderer, JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.audit import Actor
from accounts.errors import InvalidField
from accounts.models import Organization
from accounts.roles import Permission
from common.errors import PayloadTooLarge, UnsupportedMediaType
from common.ids import new_request_id
from common.jsongate import loads
from console.api.access import Access, HasPermission, KeyAuthentication, SessionAuthentication
from console.api.fields import Body, PageQuery, Query, Shown
from console.api.openapi import Described
from console.api.pages import NEWEST_FIRST, Page, page_of_rows
from console.api.refusals import response_of

MOST_BODY_BYTES = 2 << 20

M = TypeVar("M", bound=Model)


class StrictJson(JSONParser):
    def parse(self, stream: Any, media_type: str | None = None, parser_context: Any = None) -> dict[str, Any]:
        body = stream.read(MOST_BODY_BYTES + 1)
        if len(body) > MOST_BODY_BYTES:
            raise PayloadTooLarge
        return loads(body)


class JsonAlways(DefaultContentNegotiation):
    """An API that speaks one language has nothing to negotiate."""

    def select_renderer(
        self, request: Request, renderers: Iterable[BaseRenderer], format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        first = next(iter(renderers))
        return first, str(first.media_type)


class ResourceView(APIView):
    """Subclasses write `get`, `post`, … and say in `needs` which permissions open each; one of them is enough."""

    authentication_classes = (KeyAuthentication, SessionAuthentication)
    permission_classes = (HasPermission,)
    parser_classes: Sequence[type[BaseParser]] = (StrictJson,)
    renderer_classes = (JSONRenderer,)
    throttle_classes = ()
    content_negotiation_class = JsonAlways
    http_method_names = ["get", "head", "post", "put", "patch", "delete"]
    schema = Described()

    needs: ClassVar[Mapping[str, tuple[Permission, ...]]]
    proof: ClassVar[frozenset[str]] = frozenset()
    """Methods for which a person must have signed in, or proved who it is, a short time ago."""
    tag: ClassVar[str] = ""
    renames: ClassVar[Mapping[str, str]] = {}
    """Fields that a room calls by another name than this API does."""

    @property
    def access(self) -> Access:
        return self.request.auth  # type: ignore[return-value]

    @property
    def organization(self) -> Organization:
        return self.access.organization

    @property
    def actor(self) -> Actor:
        return self.access.actor

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        if request.headers.get("Content-Encoding", "identity") != "identity":
            raise UnsupportedMediaType
        super().initial(request, *args, **kwargs)

    def read(self, kind: type[Body], *, partial: bool = False) -> dict[str, Any]:
        """The body as `kind` says. Raises: InvalidField."""
        return _validated(kind(data=self.request.data, partial=partial))

    def query(self, kind: type[Query]) -> dict[str, Any]:
        return _validated(kind(data=self.request.query_params.dict()))

    def find(self, rows: QuerySet[M], **lookup: Any) -> M:
        """The one row, or the 404 that another organisation's row and none at all have in common."""
        found = rows.filter(**lookup).first()
        if found is None:
            raise Http404
        return found

    def page(self, rows: QuerySet[Any], order: Sequence[str] = NEWEST_FIRST) -> Page:
        query = self.query(PageQuery)
        return page_of_rows(rows, order, query.get("cursor"), query["limit"], self.mark())

    def listed(self, rows: QuerySet[Any], shown: type[Shown], order: Sequence[str] = NEWEST_FIRST) -> Response:
        return self.answered(self.page(rows, order), shown)

    def answered(self, page: Page, shown: type[Shown], **context: Any) -> Response:
        return Response(
            {
                "object": "list",
                "data": shown(page.rows, many=True, context=context).data,
                "has_more": page.next_cursor is not None,
                "next_cursor": page.next_cursor,
            }
        )

    def mark(self) -> str:
        """Of this list, for its cursors."""
        return f"{self.organization.public_id} {self.request.path}"

    def handle_exception(self, exc: Exception) -> Response:
        if isinstance(exc, InvalidField) and self.renames:
            exc = _renamed(exc, self.renames)
        response = response_of(exc, self.request)
        response.exception = True
        return response

    def finalize_response(self, request: Request, response: Response, *args: Any, **kwargs: Any) -> Response:
        response = super().finalize_response(request, response, *args, **kwargs)
        response["x-request-id"] = new_request_id()
        response["Cache-Control"] = "no-store"
        return response


class NothingHere(ResourceView):
    """Every address below `/api/v1/` that is none: a refusal in the API's shape instead of a page."""

    needs = dict.fromkeys(("GET", "POST", "PUT", "PATCH", "DELETE"), (Permission.VIEW,))

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        raise Http404


def _validated(serializer: Body) -> dict[str, Any]:
    serializer.is_valid(raise_exception=True)
    return dict(serializer.validated_data)


def _renamed(refusal: InvalidField, renames: Mapping[str, str]) -> InvalidField:
    renamed = copy(refusal)
    renamed.fields = {renames.get(name, name): messages for name, messages in refusal.fields.items()}
    renamed.param = renames.get(refusal.param or "", refusal.param)
    renamed.metadata = {**refusal.metadata, "fields": renamed.fields}
    return renamed
