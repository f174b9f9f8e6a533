"""What of `/v1` is Django's; `console.addresses.OF_DJANGO` sends it here."""

from __future__ import annotations

from django.urls import path

from console.api import own_use

urlpatterns = [
    path("credits", own_use.CreditsView.as_view()),
    path("generation", own_use.GenerationView.as_view()),
    path("usage", own_use.OwnUsageView.as_view()),
]
