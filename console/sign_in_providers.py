"""Sign-in by GitHub, Google and an OpenID Connect server of one's own: each there only when the environment names it.

GITHUB_CLIENT_ID, GITHUB_CLIENT_SECRET
GOOGLE_CLIENT_ID, GOOGLE_CLIENT_SECRET
OIDC_SERVER_URL, OIDC_CLIENT_ID, OIDC_CLIENT_SECRET, OIDC_NAME
"""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ImproperlyConfigured

from console import env


def sign_in_providers() -> dict[str, dict[str, Any]]:
    """The value of SOCIALACCOUNT_PROVIDERS. Raises: ImproperlyConfigured for half a configuration."""
    providers: dict[str, dict[str, Any]] = {}
    if app := _client("GITHUB"):
        providers["github"] = {"APPS": [app], "SCOPE": ["read:user", "user:email"]}
    if app := _client("GOOGLE"):
        providers["google"] = {"APPS": [app], "SCOPE": ["profile", "email"], "OAUTH_PKCE_ENABLED": True}
    if app := _client("OIDC", needs=("SERVER_URL",)):
        app["provider_id"] = "oidc"
        app["name"] = env.text("OIDC_NAME", "Single sign-on")
        app["settings"] = {"server_url": app.pop("server_url")}
        providers["openid_connect"] = {"APPS": [app], "OAUTH_PKCE_ENABLED": True}
    return providers


def _client(prefix: str, needs: tuple[str, ...] = ()) -> dict[str, Any] | None:
    names = ("CLIENT_ID", "CLIENT_SECRET", *needs)
    values = {name: env.text(f"{prefix}_{name}") for name in names}
    if not any(values.values()):
        return None
    missing = [f"{prefix}_{name}" for name, value in values.items() if not value]
    if missing:
        raise ImproperlyConfigured(f"{', '.join(missing)} is missing: sign-in by {prefix} needs all of its settings.")
    app: dict[str, Any] = {"client_id": values["CLIENT_ID"], "secret": values["CLIENT_SECRET"]}
    return app | {name.lower(): values[name] for name in needs}
