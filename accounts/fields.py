"""Checks of single values that come from people and scripts. Each raises `InvalidField` with the field's name."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from datetime import datetime, timedelta
from ipaddress import IPv6Network, ip_network

from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.utils.translation import gettext as _

from accounts import roles
from accounts.authentication import INFERENCE, SCOPES
from accounts.errors import InvalidField

LONGEST_MODEL_NAME = 200
MOST_MODELS = 500
MOST_NETWORKS = 100
MOST_TAGS = 20
LONGEST_TAG = 60
LONGEST_EPHEMERAL_S = 24 * 3600
_MOST_DECOMPOSED = 4
"""So many characters may become one, with some spaces around it."""


def cleaned_name(value: str, *, longest: int, field: str = "name") -> str:
    """One line of visible text, spaces folded."""
    if len(value) > _MOST_DECOMPOSED * longest:  # normalising takes the square of a run of marks, and holds all up
        raise InvalidField.one(field, _("At most %s characters.") % longest)
    text = " ".join(unicodedata.normalize("NFC", value).split())
    if not text:
        raise InvalidField.one(field, _("Give it a name."))
    if len(text) > longest:
        raise InvalidField.one(field, _("At most %s characters.") % longest)
    if any(_is_control(character) for character in text):
        raise InvalidField.one(field, _("Control characters are not allowed."))
    return text


def _is_control(character: str) -> bool:
    """Also the marks that turn the direction of writing, with which one name can look like another."""
    return (
        unicodedata.category(character) in ("Cc", "Cs")
        or character in "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
    )


def cleaned_email(value: str) -> str:
    email = value.strip().lower()
    try:
        validate_email(email)
    except ValidationError:
        raise InvalidField.one("email", _("This is not an e-mail address.")) from None
    return email


def cleaned_role(value: str) -> str:
    if value not in roles.ROLES:
        raise InvalidField.one("role", _("Choose one of: %s.") % ", ".join(roles.ROLES))
    return value


def cleaned_scopes(value: Iterable[str]) -> list[str]:
    wanted = set(value)
    if not wanted:
        raise InvalidField.one("scopes", _("Choose at least one scope."))
    unknown = sorted(wanted - set(SCOPES))
    if unknown:
        message = _("Unknown scope “%(scope)s”. There are: %(scopes)s.")
        raise InvalidField.one("scopes", message % {"scope": unknown[0], "scopes": ", ".join(SCOPES)})
    return [scope for scope in SCOPES if scope in wanted]


def cleaned_models(value: Iterable[str] | None) -> list[str] | None:
    """None allows every model. An empty list would allow none, which nobody wants."""
    if value is None:
        return None
    names = cleaned_model_names(value, field="allowed_models")
    if not names:
        raise InvalidField.one("allowed_models", _("Name at least one model, or allow all."))
    return names


def cleaned_model_names(value: Iterable[str], *, field: str) -> list[str]:
    """Names of models, each once."""
    names = list(dict.fromkeys(name.strip() for name in value))
    if len(names) > MOST_MODELS:
        raise InvalidField.one(field, _("At most %s models.") % MOST_MODELS)
    for name in names:
        if not name or len(name) > LONGEST_MODEL_NAME or not name.isprintable() or " " in name:
            raise InvalidField.one(field, _("“%s” is not the name of a model.") % name[:60])
    return names


def cleaned_networks(value: Iterable[str]) -> list[str]:
    """Addresses and networks in their canonical spelling; single addresses without a prefix length."""
    networks = list(dict.fromkeys(_cleaned_network(entry.strip()) for entry in value))
    if len(networks) > MOST_NETWORKS:
        raise InvalidField.one("ip_allow", _("At most %s addresses.") % MOST_NETWORKS)
    return networks


def cleaned_tags(value: Iterable[str]) -> list[str]:
    """Words that rules of routes can ask for. A comma separates tags wherever they are written in one line."""
    tags = list(dict.fromkeys(cleaned_name(tag, longest=LONGEST_TAG, field="tags") for tag in value))
    if len(tags) > MOST_TAGS:
        raise InvalidField.one("tags", _("At most %s tags.") % MOST_TAGS)
    if any("," in tag for tag in tags):
        raise InvalidField.one("tags", _("A tag has no comma in it."))
    return tags


def _cleaned_network(text: str) -> str:
    try:
        network = ip_network(text, strict=False)
    except ValueError:
        message = _("“%s” is neither an address nor a network like 10.0.0.0/8.")
        raise InvalidField.one("ip_allow", message % text[:60]) from None
    if "/" in text and network.network_address != ip_network(text.partition("/")[0]).network_address:
        message = _("“%(given)s” is an address inside a network. Did you mean %(network)s?")
        raise InvalidField.one("ip_allow", message % {"given": text, "network": network})
    if isinstance(network, IPv6Network) and network.network_address.ipv4_mapped:
        raise InvalidField.one("ip_allow", _("Write “%s” as an IPv4 address.") % text[:60])
    return str(network.network_address) if network.num_addresses == 1 else str(network)


def cleaned_expiry(value: datetime | None, now: datetime) -> datetime | None:
    if value is None:
        return None
    if value.tzinfo is None:
        raise InvalidField.one("expires_at", _("Give the time with its zone."))
    if value <= now:
        raise InvalidField.one("expires_at", _("This time has passed already."))
    return value


def require_ephemeral(scopes: list[str], expires_at: datetime | None, now: datetime) -> None:
    """A key made for the Playground calls models and is gone within a day."""
    if scopes != [INFERENCE]:
        raise InvalidField.one("scopes", _("A short-lived key only calls models."))
    if expires_at is None or expires_at > now + timedelta(seconds=LONGEST_EPHEMERAL_S):
        raise InvalidField.one("expires_at", _("A short-lived key expires within a day."))


def require_typed_name(typed: str, name: str) -> None:
    """Before what cannot be undone by the one who does it."""
    if typed.strip() != name:
        raise InvalidField.one("typed_name", _("Type the organisation's name exactly as it is written."))
