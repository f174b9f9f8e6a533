"""`/staff/concerns`: payments, payouts and charges that nothing puts right by itself."""

from __future__ import annotations

from typing import Any

from rest_framework.request import Request
from rest_framework.response import Response

from accounts.models import Organization
from billing import concerns
from billing.models import Concern
from console.api.idempotency import idempotent
from console.api.pages import page_of_rows
from console.api.staff.access import StaffView
from console.api.staff.shapes import ConcernShown, ConcernsQuery


class ConcernsView(StaffView):
    methods = frozenset({"GET"})

    def get(self, request: Request) -> Response:
        """Those that are open, or those that are done."""
        query = self.query(ConcernsQuery)
        rows = Concern.objects.exclude(done_at=None) if query["done"] else concerns.open_concerns()
        page = page_of_rows(rows, ["-id"], query.get("cursor"), query["limit"], self.mark())
        return self.answered(page, ConcernShown, **_owners(page.rows))


class ConcernDoneView(StaffView):
    methods = proof = frozenset({"POST"})

    @idempotent
    def post(self, request: Request, concern_id: int) -> Response:
        """A person has put it right. What was done before stays as it was."""
        self.find(Concern.objects.all(), pk=concern_id)
        concerns.close(concern_id, self.actor)
        done = self.find(Concern.objects.all(), pk=concern_id)
        return Response(ConcernShown(done, context=_owners([done])).data)


def _owners(rows: Any) -> dict[str, Any]:
    ids = {one.org_id for one in rows if one.org_id}
    return {"organizations": dict(Organization.objects.filter(pk__in=ids).values_list("pk", "public_id"))}
