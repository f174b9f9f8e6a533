"""`/organization`, `/members`, `/invitations`: who works here, and how the organisation is set up."""

from __future__ import annotations

from django.db.models import QuerySet
from django.utils import timezone
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts import invitations, members, organizations, roles
from accounts.models import Invitation, Membership
from accounts.organizations import LONGEST_NAME, LONGEST_RETENTION_DAYS, STRATEGIES
from accounts.roles import Permission
from accounts.scopes import SPENDING_ORDERS
from console.api.fields import Body, Flag, Kind, Shown, Text, Whole
from console.api.frame import ResourceView
from console.api.idempotency import idempotent
from console.api.openapi import described, list_of


class OrganizationShown(Shown):
    object = Kind("organization")
    id = serializers.CharField(source="public_id")
    slug = serializers.CharField()
    name = serializers.CharField()
    time_zone = serializers.CharField()
    default_strategy = serializers.CharField()
    log_content = serializers.BooleanField()
    retention_days = serializers.IntegerField()
    content_days = serializers.IntegerField()
    uses_community_nodes = serializers.BooleanField()
    spending_order = serializers.CharField()
    credit_backup = serializers.BooleanField()
    credit_backup_unlike = serializers.ListField(child=serializers.CharField())
    created_at = serializers.DateTimeField()


class OrganizationChanges(Body):
    name = Text(max_length=LONGEST_NAME)
    time_zone = Text(max_length=60, help_text="An IANA name such as Asia/Bangkok.")
    default_strategy = serializers.ChoiceField(STRATEGIES)
    log_content = Flag(help_text="true: what requests ask and are answered is kept, sealed.")
    retention_days = Whole(min_value=1, max_value=LONGEST_RETENTION_DAYS)
    content_days = Whole(
        min_value=1, max_value=LONGEST_RETENTION_DAYS, help_text="Of prompts and answers; never longer than the log."
    )
    uses_community_nodes = Flag(help_text="true: requests may go to strangers' machines that serve the model.")
    spending_order = serializers.ChoiceField(SPENDING_ORDERS, help_text="What pays first for what others serve.")
    credit_backup = Flag(help_text="true: credits pay when tokens are used up. Only where tokens come first.")
    credit_backup_unlike = serializers.ListField(
        child=Text(max_length=200), max_length=500, help_text="Models for which it is the other way round."
    )


class OrganizationView(ResourceView):
    tag = "Organisation"
    needs = {"GET": (Permission.VIEW,), "PATCH": (Permission.MANAGE_ORGANIZATION,)}

    @described("getOrganization", "Show the organisation", answer=OrganizationShown)
    def get(self, request: Request) -> Response:
        return Response(OrganizationShown(self.organization).data)

    @described("updateOrganization", "Change the organisation", body=OrganizationChanges, answer=OrganizationShown)
    def patch(self, request: Request) -> Response:
        wishes = self.read(OrganizationChanges, partial=True)
        return Response(
            OrganizationShown(organizations.update_organization(self.organization, self.actor, **wishes)).data
        )


class MemberShown(Shown):
    object = Kind("member")
    id = serializers.CharField(source="public_id")
    email = serializers.EmailField(source="user.email")
    name = serializers.CharField(source="user.name", allow_blank=True)
    role = serializers.ChoiceField(list(roles.ROLES))
    created_at = serializers.DateTimeField()


class MemberChanges(Body):
    role = serializers.ChoiceField(list(roles.ROLES))


class MembersView(ResourceView):
    tag = "Members"
    needs = {"GET": (Permission.VIEW,)}

    @described("listMembers", "List members", **list_of(MemberShown))
    def get(self, request: Request) -> Response:
        return self.listed(members.members_of(self.organization), MemberShown)


class MemberView(ResourceView):
    tag = "Members"
    needs = {
        "GET": (Permission.VIEW,),
        "PATCH": (Permission.MANAGE_MEMBERS,),
        "DELETE": (Permission.MANAGE_MEMBERS,),
    }
    proof = frozenset({"PATCH", "DELETE"})

    @described("getMember", "Show a member", answer=MemberShown)
    def get(self, request: Request, member_id: str) -> Response:
        return Response(MemberShown(self._member(member_id)).data)

    @described("updateMember", "Change a member's role", body=MemberChanges, answer=MemberShown)
    def patch(self, request: Request, member_id: str) -> Response:
        """Keys that only the old role could make are revoked."""
        changed = members.change_role(self._member(member_id), self.actor, self.read(MemberChanges)["role"])
        return Response(MemberShown(changed).data)

    @described("removeMember", "Remove a member", status=204)
    def delete(self, request: Request, member_id: str) -> Response:
        """The member's keys are revoked."""
        members.remove_member(self._member(member_id), self.actor)
        return Response(status=204)

    def _member(self, member_id: str) -> Membership:
        return self.find(members.members_of(self.organization).select_related("user", "org"), public_id=member_id)


class InvitationShown(Shown):
    object = Kind("invitation")
    id = serializers.CharField(source="public_id")
    email = serializers.EmailField()
    role = serializers.ChoiceField(list(roles.ROLES))
    status = serializers.SerializerMethodField()
    created_at = serializers.DateTimeField()
    expires_at = serializers.DateTimeField()

    def get_status(self, invitation: Invitation) -> str:
        if invitation.accepted_at:
            return "accepted"
        if invitation.revoked_at:
            return "revoked"
        return "open" if invitation.is_open(timezone.now()) else "expired"


class NewInvitation(Body):
    email = Text(max_length=254)
    role = serializers.ChoiceField(list(roles.ROLES))


class _InvitationView(ResourceView):
    tag = "Members"

    def rows(self) -> QuerySet[Invitation]:
        return Invitation.objects.of(self.organization).select_related("org")


class InvitationsView(_InvitationView):
    needs = {"GET": (Permission.MANAGE_MEMBERS,), "POST": (Permission.MANAGE_MEMBERS,)}
    proof = frozenset({"POST"})

    @described("listInvitations", "List invitations", **list_of(InvitationShown))
    def get(self, request: Request) -> Response:
        return self.listed(self.rows(), InvitationShown)

    @described(
        "createInvitation",
        "Invite somebody",
        body=NewInvitation,
        answer=InvitationShown,
        status=201,
        sent={"email": "dana@example.com", "role": "developer"},
    )
    @idempotent
    def post(self, request: Request) -> Response:
        """The link is sent to the address and shown nowhere else."""
        made = invitations.invite(self.organization, self.actor, **self.read(NewInvitation))
        return Response(InvitationShown(made).data, 201)


class InvitationView(_InvitationView):
    needs = {"GET": (Permission.MANAGE_MEMBERS,), "DELETE": (Permission.MANAGE_MEMBERS,)}

    @described("getInvitation", "Show an invitation", answer=InvitationShown)
    def get(self, request: Request, invitation_id: str) -> Response:
        return Response(InvitationShown(self.find(self.rows(), public_id=invitation_id)).data)

    @described("revokeInvitation", "Withdraw an invitation", status=204)
    def delete(self, request: Request, invitation_id: str) -> Response:
        invitations.revoke_invitation(self.find(self.rows(), public_id=invitation_id), self.actor)
        return Response(status=204)


class InvitationResendView(_InvitationView):
    needs = {"POST": (Permission.MANAGE_MEMBERS,)}

    @described("resendInvitation", "Send an invitation again", answer=InvitationShown)
    @idempotent
    def post(self, request: Request, invitation_id: str) -> Response:
        """A new link and seven more days; the old link ends."""
        found = self.find(self.rows(), public_id=invitation_id)
        return Response(InvitationShown(invitations.resend_invitation(found, self.actor)).data)
