"""Every page and the management API. `/v1` and `/health` never reach Django's own handler; see console/asgi.py."""

from django.contrib import admin
from django.urls import include, path

urlpatterns = [
    path("accounts/", include("allauth.urls")),
    path("staff/", admin.site.urls),
]
