"""`/staff/audit-events`: the operator's trail, found, taken away and verified; and the proof of the ledger."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django.http import StreamingHttpResponse
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts import audit
from accounts.audit_export import exported
from accounts.models import OperatorEvent
from console.api.audit import AuditEventShown, VerificationShown
from console.api.fields import Kind, PageQuery, Query, Shown
from console.api.pages import page_of_rows
from console.api.staff.access import StaffView
from console.api.usage import Moment
from console.trail_files import CSV, JSON_LINES, trail_file
from ledger import proofs
from ledger.proofs import Standing


class OperatorEventShown(AuditEventShown):
    """Who did it is named by the ids that its file has, too: members of no organisation's have no others."""

    def to_representation(self, event: OperatorEvent) -> dict[str, Any]:  # type: ignore[override]
        return {"object": "audit_event", **exported(event)}


class TrailQuery(Query):
    q = serializers.CharField(required=False, allow_blank=True, max_length=200)
    action = serializers.CharField(required=False, max_length=60)
    actor_id = serializers.CharField(required=False, max_length=60)
    object_type = serializers.CharField(required=False, max_length=40)
    object_id = serializers.CharField(required=False, max_length=60)
    from_ = Moment(required=False)
    to = Moment(required=False)


class TrailPageQuery(TrailQuery, PageQuery):
    pass


class TrailFileQuery(TrailQuery):
    format = serializers.ChoiceField([CSV, JSON_LINES], default=CSV)


class ProofShown(Shown):
    object = Kind("ledger_proof")
    ended_at = serializers.DateTimeField(source="newest.ended_at", default=None, allow_null=True)
    invariants = serializers.SerializerMethodField()
    findings = serializers.SerializerMethodField()
    is_late = serializers.BooleanField()
    was_stopped = serializers.BooleanField()

    def get_invariants(self, standing: Standing) -> int:
        """How many were proven."""
        return len(standing.newest.took_s) if standing.newest else 0

    def get_findings(self, standing: Standing) -> list[dict[str, str]]:
        found = standing.newest.findings if standing.newest else []
        return [dict(zip(("invariant", "subject", "detail"), finding, strict=True)) for finding in found]


def _matching(query: dict[str, Any]) -> QuerySet[OperatorEvent]:
    found: QuerySet[OperatorEvent] = audit.matching(
        None,
        words=query.get("q", "").strip(),
        object_type=query.get("object_type", ""),
        since=query.get("from"),
        before=query.get("to"),
    )
    return found.filter(**{name: query[name] for name in ("action", "actor_id", "object_id") if name in query})


class AuditEventsView(StaffView):
    methods = frozenset({"GET"})

    def get(self, request: Request) -> Response:
        """The newest first."""
        query = self.query(TrailPageQuery)
        page = page_of_rows(_matching(query), ["-sequence"], query.get("cursor"), query["limit"], self.mark())
        return self.answered(page, OperatorEventShown)


class AuditFileView(StaffView):
    methods = frozenset({"GET"})

    def get(self, request: Request) -> StreamingHttpResponse:
        query = self.query(TrailFileQuery)
        return trail_file(_matching(query), query["format"], "staff-audit")


class AuditVerificationView(StaffView):
    methods = frozenset({"GET"})

    def get(self, request: Request) -> Response:
        """Computes the chain of digests anew."""
        return Response(VerificationShown(audit.verify(None)).data)


class LedgerProofView(StaffView):
    methods = frozenset({"GET"})

    def get(self, request: Request) -> Response:
        """The newest that was completed, as the page shows it above the trail."""
        return Response(ProofShown(proofs.standing()).data)
