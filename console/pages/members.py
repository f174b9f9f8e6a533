"""Members and invitations."""

from __future__ import annotations

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from accounts import current, invitations, members
from accounts.errors import Conflict, InvalidField
from accounts.keys import active_keys
from accounts.models import Invitation, Membership
from accounts.roles import OWNER, Permission
from common.errors import CodedError
from console.forms.members import InviteForm, RoleForm
from console.visit import Visit, page, signed_in


@require_GET
@page(Permission.VIEW)
def index(request: HttpRequest, visit: Visit) -> HttpResponse:
    return render(request, "members/index.html", _everybody(visit))


@require_http_methods(["GET", "POST"])
@page(Permission.MANAGE_MEMBERS)
def invite(request: HttpRequest, visit: Visit) -> HttpResponse:
    current.require_recent_authentication(request)
    form = InviteForm(request.POST or None, may_make_owners=visit.allows(Permission.MANAGE_OWNERS))
    if request.method == "POST" and form.is_valid():
        try:
            sent = invitations.invite(visit.organization, visit.actor, **form.cleaned_data)
            _tell_of_mail(request, sent, _("The invitation is on its way to %(email)s."))
            return redirect("members")
        except InvalidField as refusal:
            form.absorb(refusal)
    return render(request, "members/invite.html", {"form": form}, status=422 if form.errors else 200)


@require_POST
@page(Permission.MANAGE_MEMBERS)
def change_invitation(request: HttpRequest, visit: Visit, public_id: str) -> HttpResponse:
    """Sends it again or withdraws it."""
    found = Invitation.objects.of(visit.organization).select_related("org", "invited_by")
    invitation = get_object_or_404(found, public_id=public_id)
    try:
        if request.POST.get("wish") == "resend":
            sent = invitations.resend_invitation(invitation, visit.actor)
            _tell_of_mail(request, sent, _("Sent again to %(email)s."))
        else:
            invitations.revoke_invitation(invitation, visit.actor)
            messages.success(request, _("The invitation of %(email)s is withdrawn.") % {"email": invitation.email})
    except CodedError as refusal:
        messages.error(request, refusal.message)
    return redirect("members")


@require_http_methods(["GET", "POST"])
@page(Permission.MANAGE_MEMBERS)
def edit(request: HttpRequest, visit: Visit, member_id: int) -> HttpResponse:
    member = _get(visit, member_id)
    current.require_recent_authentication(request)
    may_make_owners = visit.allows(Permission.MANAGE_OWNERS)
    form = RoleForm(request.POST or None, initial={"role": member.role}, may_make_owners=may_make_owners)
    if request.method == "POST" and form.is_valid():
        try:
            members.change_role(member, visit.actor, form.cleaned_data["role"])
            messages.success(request, _("The role of %(name)s is changed.") % {"name": member.user.get_short_name()})
            return redirect("members")
        except (InvalidField, Conflict) as refusal:
            form.absorb(refusal)
    context = {"form": form, "member": member, "locked": member.role == OWNER and not may_make_owners}
    return render(request, "members/edit.html", context, status=422 if form.errors else 200)


@require_http_methods(["GET", "POST"])
@page(Permission.VIEW)
def remove(request: HttpRequest, visit: Visit, member_id: int) -> HttpResponse:
    """Removes a member, or lets one leave."""
    member = _get(visit, member_id)
    leaves = member.user_id == visit.user.pk
    if not leaves:
        visit.require(Permission.MANAGE_MEMBERS)
    current.require_recent_authentication(request)
    if request.method == "POST":
        try:
            (members.leave if leaves else members.remove_member)(member, visit.actor)
        except Conflict as refusal:
            messages.error(request, refusal.message)
            return redirect("members")
        messages.success(request, _("%(name)s is no member any more.") % {"name": member.user.get_short_name()})
        return redirect("home" if leaves else "members")
    context = {"member": member, "leaves": leaves, "keys": _keys_of(visit, member)}
    return render(request, "members/remove.html", context)


@require_http_methods(["GET", "POST"])
def accept(request: HttpRequest, token: str = "") -> HttpResponse:
    """The invitation's link: it is remembered through sign-up or sign-in, and then asked to be accepted."""
    if token:
        try:
            invitations.remember(request, invitations.get_by_token(token))
        except CodedError as refusal:
            return render(request, "members/invitation.html", {"refusal": refusal.message}, status=refusal.status)
        return redirect("invitation")
    invitation = invitations.find_remembered(request)
    if invitation is None:
        raise Http404
    if request.method == "POST" and request.user.is_authenticated:
        return _accepted(request, invitation)
    return render(request, "members/invitation.html", {"invitation": invitation})


def _accepted(request: HttpRequest, invitation: Invitation) -> HttpResponse:
    try:
        membership = invitations.accept(invitation, signed_in(request), current.actor_of(request))
    except CodedError as refusal:
        context = {"invitation": invitation, "refusal": refusal.message}
        return render(request, "members/invitation.html", context, status=refusal.status)
    invitations.forget(request)
    current.switch(request, membership.org.public_id)
    messages.success(request, _("Welcome to %(name)s.") % {"name": membership.org.name})
    return redirect("home")


def _tell_of_mail(request: HttpRequest, invitation: Invitation, success: str) -> None:
    if invitation.is_undelivered:
        text = _("The invitation of %(email)s stands, but its e-mail could not be sent. Send it again in a minute.")
        messages.warning(request, text % {"email": invitation.email})
    else:
        messages.success(request, success % {"email": invitation.email})


def _everybody(visit: Visit) -> dict[str, object]:
    may_manage = visit.allows(Permission.MANAGE_MEMBERS)
    return {
        "members": list(members.members_of(visit.organization)),
        "invitations": list(invitations.open_invitations(visit.organization)) if may_manage else [],
        "now": timezone.now(),
        "may_manage": may_manage,
        "may_manage_owners": visit.allows(Permission.MANAGE_OWNERS),
    }


def _get(visit: Visit, member_id: int) -> Membership:
    return get_object_or_404(members.members_of(visit.organization).select_related("user", "org"), pk=member_id)


def _keys_of(visit: Visit, member: Membership) -> int:
    return active_keys(visit.organization).filter(created_by_id=member.user_id, is_ephemeral=False).count()
