"""`/staff/cases`: doubted earnings of all organisations, and deciding them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db.models import QuerySet
from rest_framework.request import Request
from rest_framework.response import Response

from billing.earnings import cases
from billing.earnings.models import Case
from console.api.idempotency import idempotent
from console.api.pages import page_of_rows
from console.api.staff.access import StaffView
from console.api.staff.shapes import CasesQuery, StaffCaseShown, Verdict


def all_cases() -> QuerySet[Case]:
    return Case.objects.select_related("org", "lot", "node")


class CasesView(StaffView):
    methods = frozenset({"GET"})

    def get(self, request: Request) -> Response:
        query = self.query(CasesQuery)
        rows = all_cases().filter(state=query["state"]) if "state" in query else all_cases()
        page = page_of_rows(rows, ["-opened_at", "-id"], query.get("cursor"), query["limit"], self.mark())
        return self.answered(page, StaffCaseShown, **_doubts(page.rows))


class CaseView(StaffView):
    methods = frozenset({"GET"})

    def get(self, request: Request, case_id: str) -> Response:
        return _answered(self.find(all_cases(), public_id=case_id))


class CaseVerdictView(StaffView):
    methods = frozenset({"POST"})

    @idempotent
    def post(self, request: Request, case_id: str) -> Response:
        """`uphold` takes back what is at stake, `dismiss` lets it mature. The owner reads the note."""
        case = self.find(all_cases(), public_id=case_id)
        said = self.read(Verdict)
        decide = cases.uphold if said["verdict"] == "uphold" else cases.dismiss
        decide(case, self.actor, said["note"])
        return _answered(self.find(all_cases(), public_id=case_id))


def _answered(case: Case) -> Response:
    return Response(StaffCaseShown(case, context=_doubts([case])).data)


def _doubts(rows: Sequence[Case]) -> dict[str, Any]:
    return {"doubts": cases.doubts_behind_all([case.lot for case in rows])}
