"""Every page and the management API. `/v1` and `/health` never reach Django's own handler; see console/asgi.py."""

from django.contrib import admin
from django.urls import include, path
from django.views.i18n import set_language

from console.pages import home, keys, organizations, preferences

urlpatterns = [
    path("", home.index, name="home"),
    path("keys", keys.index, name="keys"),
    path("keys/new", keys.create, name="keys-new"),
    path("keys/<slug:public_id>", keys.detail, name="keys-detail"),
    path("keys/<slug:public_id>/rotate", keys.rotate, name="keys-rotate"),
    path("keys/<slug:public_id>/revoke", keys.revoke, name="keys-revoke"),
    path("keys/<slug:public_id>/first-use", keys.first_use, name="keys-first-use"),
    path("organizations/new", organizations.create, name="organization-new"),
    path("organizations/switch", organizations.switch, name="organization-switch"),
    path("preferences/theme", preferences.theme, name="theme"),
    path("preferences/language", set_language, name="set_language"),
    path("accounts/", include("allauth.urls")),
    path("staff/", admin.site.urls),
]
