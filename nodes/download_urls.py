"""Where machines fetch the agent. Installers and upgrades of every version ask these, so they stay as they are."""

from django.urls import path

from nodes import downloads

urlpatterns = [
    path("install.sh", downloads.installer, {"name": "install.sh"}, name="install-sh"),
    path("install.ps1", downloads.installer, {"name": "install.ps1"}, name="install-ps1"),
    path("nodes/v1/agent/<str:name>", downloads.package, name="agent-package"),
]
