"""`/audit-events`: who changed what, and whether the trail is whole."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts import audit
from accounts.account_trail import ACCOUNT
from accounts.audit_export import exported
from accounts.models import AuditEvent, Membership
from accounts.roles import Permission
from console.api.fields import Kind, PageQuery, Shown
from console.api.frame import ResourceView
from console.api.openapi import described, list_of
from console.api.pages import page_of_rows
from console.api.usage import Moment

_LOOKUPS = {name: name for name in ("action", "object_type")} | {
    "from": "at__gte",
    "to": "at__lt",
}


class AuditEventShown(Shown):
    object = Kind("audit_event")
    id = serializers.CharField()
    sequence = serializers.IntegerField()
    at = serializers.DateTimeField()
    actor_type = serializers.ChoiceField(["user", "key", "system", "visitor"])
    actor_id = serializers.CharField(allow_null=True, help_text="null: a person who is no member any more.")
    actor_label = serializers.CharField()
    action = serializers.CharField(help_text="Such as `api_key.created`.")
    object_type = serializers.CharField()
    object_id = serializers.CharField(allow_null=True)
    object_label = serializers.CharField(allow_blank=True)
    before = serializers.DictField(allow_null=True)
    after = serializers.DictField(allow_null=True)
    ip = serializers.CharField(allow_null=True)
    user_agent = serializers.CharField(allow_blank=True)
    digest = serializers.CharField(help_text="SHA-256 over this event and the digest before it.")

    def to_representation(self, event: AuditEvent) -> dict[str, Any]:
        said = {"object": "audit_event", **exported(event)}
        members: dict[str, str] = self.context["members"]
        if event.actor_type == "user":
            said["actor_id"] = members.get(event.actor_id)
        if event.object_type in ("member", ACCOUNT):
            said["object_id"] = members.get(event.object_id)
        return said


class AuditQuery(PageQuery):
    action = serializers.CharField(required=False, max_length=60)
    actor_id = serializers.CharField(required=False, max_length=60)
    object_type = serializers.CharField(required=False, max_length=40)
    object_id = serializers.CharField(required=False, max_length=60)
    from_ = Moment(required=False)
    to = Moment(required=False)


class BreachShown(Shown):
    sequence = serializers.IntegerField()
    reason = serializers.ChoiceField(["gap", "edited", "moved", "cut off"])


class VerificationShown(Shown):
    object = Kind("audit_verification")
    ok = serializers.BooleanField()
    events = serializers.IntegerField(help_text="How many fit together, from the first on.")
    head = serializers.SerializerMethodField(help_text="The digest of the last of them. Note it elsewhere.")
    breach = BreachShown(allow_null=True)

    def get_head(self, report: audit.VerifyReport) -> str:
        return report.head.hex()


class AuditEventsView(ResourceView):
    tag = "Audit"
    needs = {"GET": (Permission.VIEW_AUDIT,)}

    @described("listAuditEvents", "List audit events", **list_of(AuditEventShown, query=AuditQuery))
    def get(self, request: Request) -> Response:
        query = self.query(AuditQuery)
        members = {str(user_id): public_id for user_id, public_id in self._members()}
        users = {public_id: user_id for user_id, public_id in members.items()}
        lookups = {lookup: query[name] for name, lookup in _LOOKUPS.items() if name in query}
        lookups |= {name: users.get(query[name], query[name]) for name in ("actor_id", "object_id") if name in query}
        events = AuditEvent.objects.of(self.organization).filter(**lookups)
        page = page_of_rows(events, ["-sequence"], query.get("cursor"), query["limit"], self.mark())
        return self.answered(page, AuditEventShown, members=members)

    def _members(self) -> QuerySet[Membership, tuple[int, str]]:
        return Membership.objects.of(self.organization).values_list("user_id", "public_id")


class AuditVerificationView(ResourceView):
    tag = "Audit"
    needs = {"GET": (Permission.VIEW_AUDIT,)}

    @described("verifyAuditEvents", "Verify the audit trail", answer=VerificationShown)
    def get(self, request: Request) -> Response:
        """Computes the chain of digests anew. A gap, an edit or a cut shows as the first event that does not fit."""
        return Response(VerificationShown(audit.verify(self.organization)).data)
