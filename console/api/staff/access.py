"""The frame of the operator's views: staff by their session; a key acts for one organisation, so it opens none."""

from __future__ import annotations

from typing import ClassVar, cast

from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from accounts import current
from common.errors import MissingApiKey, PermissionRefused
from console.api.access import Access
from console.api.frame import ResourceView
from console.api.refusals import MethodNotAllowed

NOT_SIGNED_IN = "Sign in as a member of the operator's staff; its session opens this address."
NOT_STAFF = "This address is for the operator's staff, by the session of a signed-in person. No key opens it."


class IsStaff(BasePermission):
    def has_permission(self, request: Request, view: object) -> bool:
        access = cast("Access | None", request.auth)
        if access is None:
            raise MissingApiKey(NOT_SIGNED_IN)
        if access.user is None or not access.user.is_staff:
            raise PermissionRefused(NOT_STAFF)
        staff_view = cast(StaffView, view)
        method = "GET" if request.method == "HEAD" else request.method
        if method not in staff_view.methods:
            raise MethodNotAllowed
        if method in staff_view.proof:
            current.require_recent_authentication(request._request)
        return True


class StaffView(ResourceView):
    """Subclasses say in `methods` which they have. What pages ask a recent proof for, `proof` asks it for here."""

    permission_classes = (IsStaff,)  # type: ignore[assignment]
    schema = None  # type: ignore[assignment]
    needs: ClassVar = {}
    methods: ClassVar[frozenset[str]]
