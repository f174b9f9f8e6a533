"""Every page and the management API. `/v1` and `/health` never reach Django's own handler; see console/asgi.py."""

from django.contrib import admin
from django.urls import include, path
from django.views.i18n import set_language

from console import live
from console.pages import home, keys, logs, organizations, playground, preferences, provider_parts, providers

urlpatterns = [
    path("", home.index, name="home"),
    path("live", live.stream, name="live"),
    path("playground", playground.index, name="playground"),
    path("playground/key", playground.mint, name="playground-key"),
    path("playground/facts/<slug:request_id>", playground.facts, name="playground-facts"),
    path("logs", logs.index, name="logs"),
    path("logs.csv", logs.export, name="logs-export"),
    path("logs/<slug:request_id>", logs.detail, name="logs-detail"),
    path("keys", keys.index, name="keys"),
    path("keys/new", keys.create, name="keys-new"),
    path("keys/<slug:public_id>", keys.detail, name="keys-detail"),
    path("keys/<slug:public_id>/rotate", keys.rotate, name="keys-rotate"),
    path("keys/<slug:public_id>/revoke", keys.revoke, name="keys-revoke"),
    path("keys/<slug:public_id>/first-use", keys.first_use, name="keys-first-use"),
    path("providers", providers.index, name="providers"),
    path("providers/new", providers.gallery, name="providers-new"),
    path("providers/new/<slug:preset_id>", providers.create, name="providers-new-preset"),
    path("providers/new/<slug:preset_id>/test", provider_parts.test_draft, name="providers-test-draft"),
    path("providers/<slug:public_id>", providers.detail, name="providers-detail"),
    path("providers/<slug:public_id>/edit", providers.edit, name="providers-edit"),
    path("providers/<slug:public_id>/switch", providers.switch, name="providers-switch"),
    path("providers/<slug:public_id>/delete", providers.delete, name="providers-delete"),
    path("providers/<slug:public_id>/fault", providers.set_fault, name="providers-fault"),
    path("providers/<slug:public_id>/test", provider_parts.test, name="providers-test"),
    path("providers/<slug:public_id>/keys", provider_parts.add_key, name="providers-add-key"),
    path("providers/<slug:public_id>/keys/<slug:key_id>", provider_parts.change_key, name="providers-key"),
    path("providers/<slug:public_id>/models", provider_parts.choose_models, name="providers-models"),
    path("providers/<slug:public_id>/models/<slug:model_id>", provider_parts.edit_model, name="providers-model"),
    path("organizations/new", organizations.create, name="organization-new"),
    path("organizations/switch", organizations.switch, name="organization-switch"),
    path("preferences/theme", preferences.theme, name="theme"),
    path("preferences/language", set_language, name="set_language"),
    path("accounts/", include("allauth.urls")),
    path("staff/", admin.site.urls),
]
