"""`/keys`: API keys. Their text is in the answer that makes one, and nowhere else."""

from __future__ import annotations

from typing import Any, ClassVar

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts import keys
from accounts.authentication import INFERENCE, SCOPES
from accounts.fields import LONGEST_TAG, MOST_TAGS
from accounts.keys import LONGEST_OVERLAP_S, PlainKey
from accounts.limits import set_key_limits
from accounts.models import ApiKey
from accounts.roles import Permission
from console.api.fields import Body, Flag, Kind, Shown, Text, Whole
from console.api.frame import ResourceView
from console.api.idempotency import idempotent
from console.api.limits import KeyLimits, LimitWishes
from console.api.openapi import described, list_of


class KeyShown(Shown):
    object = Kind("key")
    id = serializers.CharField(source="public_id")
    prefix = serializers.CharField(help_text="How the key begins; enough to recognise it.")
    name = serializers.CharField()
    scopes = serializers.ListField(child=serializers.ChoiceField(SCOPES))
    models = serializers.ListField(
        child=serializers.CharField(), source="allowed_models", allow_null=True, help_text="null allows every model."
    )
    ip_allow = serializers.ListField(child=serializers.CharField(), help_text="Empty allows every address.")
    tags = serializers.ListField(child=serializers.CharField(), help_text="What rules of routes can ask for.")
    logs_content = serializers.BooleanField(help_text="false: never kept, whatever the organisation does.")
    status = serializers.SerializerMethodField()
    created_by = serializers.EmailField(source="created_by.email", default=None, allow_null=True)
    created_at = serializers.DateTimeField()
    expires_at = serializers.DateTimeField(allow_null=True)
    revoked_at = serializers.DateTimeField(allow_null=True)
    last_used_at = serializers.DateTimeField(allow_null=True)
    replaces = serializers.CharField(source="replaces.public_id", default=None, allow_null=True)
    limits = KeyLimits(source="*", help_text="Shared with the keys that it replaced or that replace it.")

    def get_status(self, key: ApiKey) -> str:
        return key.status(timezone.now())


class CreatedKeyShown(KeyShown):
    key = serializers.SerializerMethodField(help_text="The key itself. It is shown this once.")

    def get_key(self, key: ApiKey) -> str:
        return str(self.context["plain"])


class NewKey(Body):
    name = Text(max_length=80)
    scopes = serializers.ListField(
        child=Text(max_length=30), min_length=1, default=[INFERENCE], help_text=", ".join(SCOPES)
    )
    models = serializers.ListField(
        child=Text(max_length=200), min_length=1, allow_null=True, required=False, help_text="null: every model."
    )
    ip_allow = serializers.ListField(child=Text(max_length=50), required=False, help_text="Addresses and networks.")
    tags = serializers.ListField(
        child=Text(max_length=LONGEST_TAG), max_length=MOST_TAGS, required=False, help_text="For rules of routes."
    )
    logs_content = Flag(required=False, help_text="false: prompts and answers are never kept.")
    expires_at = serializers.DateTimeField(required=False, allow_null=True)
    limits = LimitWishes(required=False, help_text="Takes the permission to set limits.")


class KeyChanges(Body):
    name = Text(max_length=80)
    scopes = serializers.ListField(child=Text(max_length=30), min_length=1)
    models = serializers.ListField(child=Text(max_length=200), min_length=1, allow_null=True)
    ip_allow = serializers.ListField(child=Text(max_length=50))
    tags = serializers.ListField(child=Text(max_length=LONGEST_TAG), max_length=MOST_TAGS)
    logs_content = Flag()
    expires_at = serializers.DateTimeField(allow_null=True)
    limits = LimitWishes(help_text="All of them anew. Takes the permission to set limits.")


class Rotation(Body):
    overlap_s = Whole(
        min_value=0, max_value=LONGEST_OVERLAP_S, default=0, help_text="So long the old key goes on working."
    )


class _KeyView(ResourceView):
    tag = "Keys"
    renames: ClassVar[dict[str, str]] = {"allowed_models": "models"}

    def rows(self) -> QuerySet[ApiKey]:
        listed = ApiKey.objects.of(self.organization).filter(is_ephemeral=False)
        return listed.select_related("org", "created_by", "replaces")

    def shown_once(self, made: PlainKey) -> Response:
        return Response(CreatedKeyShown(made.key, context={"plain": made.plain}).data, 201)


class KeysView(_KeyView):
    needs = {"GET": (Permission.VIEW,), "POST": (Permission.MANAGE_OWN_KEYS, Permission.MANAGE_KEYS)}
    proof = frozenset({"POST"})

    @described("listKeys", "List keys", **list_of(KeyShown))
    def get(self, request: Request) -> Response:
        return self.listed(self.rows(), KeyShown)

    @described(
        "createKey",
        "Create a key",
        body=NewKey,
        answer=CreatedKeyShown,
        status=201,
        sent={"name": "Production", "scopes": ["inference"], "models": ["fast"]},
    )
    @idempotent
    def post(self, request: Request) -> Response:
        """The answer holds the key itself, this once. A key belongs to the person who makes it by a session, and to
        the organisation when another key makes it."""
        wishes = _renamed(self.read(NewKey))
        figures = wishes.pop("limits", None)
        with transaction.atomic():
            made = keys.create_key(self.organization, self.actor, created_by=self.access.user, **wishes)
            if figures is not None:
                set_key_limits(made.key, self.actor, figures)
        return self.shown_once(made)


class KeyView(_KeyView):
    _ANY = (Permission.MANAGE_OWN_KEYS, Permission.MANAGE_KEYS)
    needs = {"GET": (Permission.VIEW,), "PATCH": _ANY, "DELETE": (Permission.VIEW,)}
    proof = frozenset({"PATCH"})

    @described("getKey", "Show a key", answer=KeyShown)
    def get(self, request: Request, key_id: str) -> Response:
        return Response(KeyShown(self.find(self.rows(), public_id=key_id)).data)

    @described("updateKey", "Change a key", body=KeyChanges, answer=KeyShown)
    def patch(self, request: Request, key_id: str) -> Response:
        """Changes what is given, on every gateway process within a second."""
        key = self.find(self.rows(), public_id=key_id)
        wishes = _renamed(self.read(KeyChanges, partial=True))
        figures = wishes.pop("limits", None)
        with transaction.atomic():
            changed = keys.update_key(key, self.actor, **wishes)
            if figures is not None:
                set_key_limits(changed, self.actor, figures)
        return Response(KeyShown(changed).data)

    @described("revokeKey", "Revoke a key", status=204)
    def delete(self, request: Request, key_id: str) -> Response:
        """Ends it for good, on every gateway process within a second. It stays in the list, with its past."""
        keys.revoke_key(self.find(self.rows(), public_id=key_id), self.actor)
        return Response(status=204)


class KeyRotationView(_KeyView):
    needs = {"POST": (Permission.MANAGE_OWN_KEYS, Permission.MANAGE_KEYS)}
    proof = frozenset({"POST"})

    @described(
        "rotateKey", "Rotate a key", body=Rotation, answer=CreatedKeyShown, status=201, sent={"overlap_s": 86400}
    )
    @idempotent
    def post(self, request: Request, key_id: str) -> Response:
        """A new key with the same rights; the old one ends after `overlap_s` seconds."""
        key = self.find(self.rows(), public_id=key_id)
        return self.shown_once(keys.rotate_key(key, self.actor, **self.read(Rotation)))


def _renamed(given: dict[str, Any]) -> dict[str, Any]:
    return {"allowed_models" if name == "models" else name: value for name, value in given.items()}
