"""`/providers`: connections to upstreams, their keys and models. Vendors' keys go in and never come out again."""

from __future__ import annotations

from typing import Any, ClassVar

from django.db import transaction
from django.db.models import QuerySet
from django.utils.translation import gettext as _
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.roles import Permission
from console.api.frame import ResourceView
from console.api.idempotency import idempotent
from console.api.openapi import described, list_of
from console.api.provider_shapes import (
    NewProvider,
    NewProviderKey,
    ProviderChanges,
    ProviderKeyChanges,
    ProviderKeyShown,
    ProviderShown,
    TestShown,
)
from console.health import vitals_of
from providers import services
from providers.models import Connection, ConnectionKey
from providers.probe import test_and_remember


class _ProviderView(ResourceView):
    tag = "Providers"

    def rows(self) -> QuerySet[Connection]:
        return (
            Connection.objects.of(self.organization).select_related("org").prefetch_related("keys", "served_models")
        )

    def provider(self, provider_id: str) -> Connection:
        return self.find(self.rows(), public_id=provider_id)

    def shown(self, provider_id: str, status: int = 200) -> Response:
        """Read again: what a use case was given does not know all that it changed."""
        connection = self.provider(provider_id)
        vitals = vitals_of(self.organization, [connection])
        return Response(ProviderShown(connection, context={"vitals": vitals}).data, status)


class ProvidersView(_ProviderView):
    needs = {"GET": (Permission.VIEW,), "POST": (Permission.MANAGE_PROVIDERS,)}
    proof = frozenset({"POST"})

    @described("listProviders", "List providers", **list_of(ProviderShown))
    def get(self, request: Request) -> Response:
        """The organisation's own; those of the platform show in `/targets`."""
        page = self.page(self.rows())
        return self.answered(page, ProviderShown, vitals=vitals_of(self.organization, page.rows))

    @described(
        "createProvider",
        "Add a provider",
        body=NewProvider,
        answer=ProviderShown,
        status=201,
        sent={
            "name": "Our cluster",
            "base_url": "https://llm.example.com/v1",
            "api_keys": ["secret"],
            "models": [{"id": "fast", "upstream_id": "llama-3.1-8b", "input_price": "0.05", "output_price": "0.08"}],
        },
    )
    @idempotent
    def post(self, request: Request) -> Response:
        """Prices are US dollars for a million tokens, as strings; left out, the price catalogue's are taken."""
        made = services.create_connection(self.organization, self.actor, **self.read(NewProvider))
        return self.shown(made.public_id, 201)


class ProviderView(_ProviderView):
    _MANAGE = (Permission.MANAGE_PROVIDERS,)
    needs = {"GET": (Permission.VIEW,), "PATCH": _MANAGE, "DELETE": _MANAGE}
    proof = frozenset({"PATCH"})

    @described("getProvider", "Show a provider", answer=ProviderShown)
    def get(self, request: Request, provider_id: str) -> Response:
        return self.shown(provider_id)

    @described("updateProvider", "Change a provider", body=ProviderChanges, answer=ProviderShown)
    def patch(self, request: Request, provider_id: str) -> Response:
        """Changes what is given, all of it or nothing. Keys never follow to another host."""
        wishes = self.read(ProviderChanges, partial=True)
        connection = self.provider(provider_id)
        with transaction.atomic():
            self._change(connection, wishes)
        return self.shown(provider_id)

    @described("deleteProvider", "Delete a provider", status=204)
    def delete(self, request: Request, provider_id: str) -> Response:
        """With its keys and models. Routes that name its targets go on without them."""
        services.delete_connection(self.provider(provider_id), self.actor)
        return Response(status=204)

    def _change(self, connection: Connection, wishes: dict[str, Any]) -> None:
        models, enabled = wishes.pop("models", None), wishes.pop("enabled", None)
        if wishes:
            services.update_connection(connection, self.actor, **wishes)
        if models is not None:
            services.set_models(connection, self.actor, models)
        if enabled is not None:
            switch = services.enable_connection if enabled else services.disable_connection
            switch(connection, self.actor)


class ProviderTestView(_ProviderView):
    needs = {"POST": (Permission.MANAGE_PROVIDERS,)}

    @described(
        "testProvider",
        "Test a provider",
        answer=TestShown,
        got={
            "object": "provider_test",
            "ok": True,
            "models": ["llama-3.1-8b"],
            "model": "llama-3.1-8b",
            "latency_ms": 412,
            "first_token_ms": 198,
        },
    )
    @idempotent
    def post(self, request: Request, provider_id: str) -> Response:
        """Lists the provider's models and asks one of them for a single token. A provider that fails is no error of
        this request: the answer says `ok: false`, and why."""
        report = test_and_remember(self.provider(provider_id))
        told: dict[str, Any] = TestShown(report).data
        if report.ok:
            told = {name: value for name, value in told.items() if name not in ("error", "error_code")}
        return Response(told)


class ProviderKeysView(_ProviderView):
    needs = {"GET": (Permission.VIEW,), "POST": (Permission.MANAGE_PROVIDERS,)}
    proof = frozenset({"POST"})
    renames: ClassVar[dict[str, str]] = {"api_keys": "key"}

    @described("listProviderKeys", "List a provider's keys", **list_of(ProviderKeyShown))
    def get(self, request: Request, provider_id: str) -> Response:
        return self.listed(ConnectionKey.objects.filter(connection=self.provider(provider_id)), ProviderKeyShown)

    @described("addProviderKey", "Add a key", body=NewProviderKey, answer=ProviderKeyShown, status=201)
    @idempotent
    def post(self, request: Request, provider_id: str) -> Response:
        """Several keys share the traffic by their weights, and stand in for one another."""
        made = services.add_key(self.provider(provider_id), self.actor, **self.read(NewProviderKey))
        return Response(ProviderKeyShown(made).data, 201)


class ProviderKeyView(_ProviderView):
    _MANAGE = (Permission.MANAGE_PROVIDERS,)
    needs = {"GET": (Permission.VIEW,), "PATCH": _MANAGE, "DELETE": _MANAGE}
    proof = frozenset({"DELETE"})

    @described("getProviderKey", "Show a provider's key", answer=ProviderKeyShown)
    def get(self, request: Request, provider_id: str, key_id: str) -> Response:
        return Response(ProviderKeyShown(self._key(provider_id, key_id)).data)

    @described("updateProviderKey", "Park a key, or bring it back", body=ProviderKeyChanges, answer=ProviderKeyShown)
    def patch(self, request: Request, provider_id: str, key_id: str) -> Response:
        key = self._key(provider_id, key_id)
        if self.read(ProviderKeyChanges)["state"] == ConnectionKey.PARKED:
            services.park_key(key, self.actor, _("set aside by %(name)s") % {"name": self.actor.label})
        else:
            services.unpark_key(key, self.actor)
        return Response(ProviderKeyShown(self._key(provider_id, key_id)).data)

    @described("deleteProviderKey", "Forget a provider's key", status=204)
    def delete(self, request: Request, provider_id: str, key_id: str) -> Response:
        services.remove_key(self._key(provider_id, key_id), self.actor)
        return Response(status=204)

    def _key(self, provider_id: str, key_id: str) -> ConnectionKey:
        keys = ConnectionKey.objects.of(self.organization).select_related("connection__org")
        return self.find(keys, connection__public_id=provider_id, public_id=key_id)
