"""What people enter for a node, checked and brought into one form. Pure: no row, no network.

Every refusal is an `InvalidNode` that names the field: `name`, `calendar.1.from`, `models.2.input_price`, …
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any
from zoneinfo import available_timezones

from django.conf import settings
from django.utils.translation import gettext as _

from accounts.errors import InvalidField
from accounts.fields import cleaned_name
from common.money import nanos_from_usd
from nodes.errors import InvalidNode
from nodes.models import MODES, MOST_CONCURRENT, VISIBILITIES
from providers import drafts, schema
from providers.errors import InvalidConnection
from providers.tiers import PriceTier

TIER_FIGURES = ("input_price", "output_price")
MOST_MODELS = 200
MOST_GUESTS = 200
MOST_HOURS = 50
MOST_PRIORITY = 10_000
LONGEST_QUIET_MINUTES = 24 * 60
LONGEST_NAME = 80
MOST_TAGS = 20

RESERVED_ENDINGS = tuple(f":{word}" for word in sorted(schema.SUFFIXES))
"""What callers put behind a name to say how to choose; a model of such a name could not be asked for."""

_TAG = re.compile(r"""[^\s,;"'<>&/\\]{1,40}""")
_TIME = re.compile(r"([01]\d|2[0-3]):[0-5]\d|24:00")


@dataclass(frozen=True, slots=True)
class ModelWish:
    """What the owner says of one model, named by what the machine calls it. None leaves a field as it is."""

    upstream_id: str
    model_id: str | None = None
    advertised: bool | None = None
    for_others: bool | None = None
    input_price_nanos: int | None = None
    output_price_nanos: int | None = None
    price_tiers: list[PriceTier] | None = None


@dataclass(frozen=True, slots=True)
class Wishes:
    """What was given for a node: columns by their names, and what is not a column of its own."""

    columns: dict[str, Any] = field(default_factory=dict)
    models: list[ModelWish] | None = None
    guests: list[str] | None = None


def clean(given: Mapping[str, Any]) -> Wishes:
    """
    Args:
        given: any of `name`, `tags`, `visibility`, `max_concurrent`, `priority`, `advertise_new`, `mode`,
            `quiet_minutes`, `gpu_below`, `calendar`, `time_zone`, `models` (see `clean_model`), `shared_with`
            (slugs).

    Raises:
        InvalidNode: the first mistake, by its field.
    """
    columns = {name: _COLUMNS[name](given[name]) for name in _COLUMNS if name in given}
    models = clean_models(given["models"]) if "models" in given else None
    guests = clean_guests(given["shared_with"]) if "shared_with" in given else None
    for name in given.keys() - _COLUMNS.keys() - {"models", "shared_with"}:
        raise InvalidNode(name, _("There is no field of this name."))
    return Wishes(columns, models, guests)


def clean_name(value: Any) -> str:
    try:
        return cleaned_name(str(value or ""), longest=LONGEST_NAME)
    except InvalidField as refusal:
        raise InvalidNode("name", refusal.message) from None


def clean_models(models: Iterable[Any]) -> list[ModelWish]:
    wishes = [clean_model(model, f"models.{index}.") for index, model in enumerate(models)]
    if len(wishes) > MOST_MODELS:
        raise InvalidNode("models", _("Use at most %(most)d models.") % {"most": MOST_MODELS})
    seen: set[str] = set()
    for index, wish in enumerate(wishes):
        if wish.upstream_id in seen:
            raise InvalidNode(
                f"models.{index}.upstream_id", _("“%(id)s” is listed twice.") % {"id": wish.upstream_id}
            )
        seen.add(wish.upstream_id)
    return wishes


def clean_model(given: Mapping[str, Any], at: str = "") -> ModelWish:
    """
    Args:
        given: `upstream_id`, and optionally `id` (the public name), `advertised`, `for_others`, `input_price` and
            `output_price` (USD per million tokens, as strings), `price_tiers` (see `clean_tiers`).
    """
    name = given.get("id")
    return ModelWish(
        upstream_id=_borrowed(_clean_upstream_id, given.get("upstream_id"), f"{at}upstream_id"),
        model_id=None if name is None else clean_model_name(name, f"{at}id"),
        advertised=_flag_or_none(given.get("advertised"), f"{at}advertised"),
        for_others=_flag_or_none(given.get("for_others"), f"{at}for_others"),
        input_price_nanos=clean_price(given.get("input_price"), f"{at}input_price"),
        output_price_nanos=clean_price(given.get("output_price"), f"{at}output_price"),
        price_tiers=clean_tiers(given["price_tiers"], f"{at}price_tiers") if "price_tiers" in given else None,
    )


def clean_model_name(value: Any, at: str) -> str:
    name = str(_borrowed(drafts.clean_model_id, value, at))
    if name.endswith(RESERVED_ENDINGS):
        raise InvalidNode(at, _("Names cannot end in %(endings)s.") % {"endings": ", ".join(RESERVED_ENDINGS)})
    return name


def _clean_upstream_id(value: Any, at: str) -> str:
    return drafts.clean_model_id(value, at, reserved=())


def clean_price(value: Any, at: str) -> int | None:
    """Nano-USD per million tokens, within the operator's bounds."""
    usd = _borrowed(drafts.clean_price, value, at)
    if usd is None:
        return None
    least, most = Decimal(str(settings.NODE_PRICE_LEAST_USD)), Decimal(str(settings.NODE_PRICE_MOST_USD))
    if not least <= usd <= most:
        message = _("Prices here are between %(least)s and %(most)s US dollars for a million tokens.")
        raise InvalidNode(at, message % {"least": f"{least:f}", "most": f"{most:f}"})
    return nanos_from_usd(usd)


def clean_tiers(tiers: Sequence[Mapping[str, Any]], at: str) -> list[PriceTier]:
    """What requests with long prompts cost: of each `above_tokens`, `input_price` and `output_price`, within the
    operator's bounds. The whole list."""
    for index, tier in enumerate(tiers):
        for name in sorted(tier.keys() - {"above_tokens", *TIER_FIGURES}):
            raise InvalidNode(f"{at}.{index}.{name}", _("There is no field of this name."))
        for name in TIER_FIGURES:
            clean_price(tier.get(name), f"{at}.{index}.{name}")
    cleaned: list[PriceTier] = _borrowed(drafts.clean_tiers, tiers, at)
    return cleaned


def clean_guests(slugs: Any) -> list[str]:
    if isinstance(slugs, str) or not all(isinstance(slug, str) for slug in slugs):
        raise InvalidNode("shared_with", _("Give the short names of organisations."))
    cleaned = list(dict.fromkeys(slug.strip() for slug in slugs))
    if len(cleaned) > MOST_GUESTS:
        raise InvalidNode("shared_with", _("Use at most %(most)d organisations.") % {"most": MOST_GUESTS})
    return cleaned


def clean_tags(tags: Any) -> list[str]:
    """Words of any script by which a fleet is sorted, in lower case and in order."""
    if isinstance(tags, str) or not all(isinstance(tag, str) for tag in tags):
        raise InvalidNode("tags", _("Give a list of tags."))
    cleaned = sorted({tag.strip().lower() for tag in tags})
    if len(cleaned) > MOST_TAGS:
        raise InvalidNode("tags", _("Use at most %(most)d tags.") % {"most": MOST_TAGS})
    for tag in cleaned:
        if not _TAG.fullmatch(tag):
            message = _("“%(tag)s” is no tag: up to 40 characters, without spaces, commas and slashes.")
            raise InvalidNode("tags", message % {"tag": tag})
    return cleaned


def clean_calendar(entries: Any) -> list[dict[str, Any]]:
    """Hours in which a machine may serve, in its time zone: `[{"days": [0..6], "from": "HH:MM", "to": "HH:MM"}]`.

    Day 0 is Monday. Hours that end before they begin go over midnight. An empty list stands for any time.
    """
    if not isinstance(entries, list) or len(entries) > MOST_HOURS:
        raise InvalidNode("calendar", _("Give a list of at most %(most)d spans of hours.") % {"most": MOST_HOURS})
    return [_clean_hours(entry, f"calendar.{index}.") for index, entry in enumerate(entries)]


def _clean_hours(entry: Any, at: str) -> dict[str, Any]:
    given = entry if isinstance(entry, Mapping) else {}
    days = given.get("days")
    if not isinstance(days, list) or not days or not all(type(day) is int and 0 <= day <= 6 for day in days):
        raise InvalidNode(f"{at}days", _("Give days as numbers from 0 (Monday) to 6 (Sunday)."))
    for name in ("from", "to"):
        if not isinstance(given.get(name), str) or not _TIME.fullmatch(given[name]):
            raise InvalidNode(f"{at}{name}", _("Give a time such as 22:30."))
    if given["from"] == given["to"]:
        raise InvalidNode(f"{at}to", _("The hours end when they begin."))
    return {"days": sorted(set(days)), "from": given["from"], "to": given["to"]}


def clean_time_zone(value: Any) -> str:
    if value not in available_timezones():
        raise InvalidNode("time_zone", _("Unknown time zone."))
    return str(value)


def _gpu_below(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 1:
        raise InvalidNode("gpu_below", _("Give a share of the GPU between 0 and 1, such as 0.2."))
    return float(value)


def _one_of(name: str, choices: tuple[str, ...]) -> Callable[[Any], str]:
    def cleaned(value: Any) -> str:
        if value not in choices:
            raise InvalidNode(name, _("Choose one of: %(names)s.") % {"names": ", ".join(choices)})
        return str(value)

    return cleaned


def _whole(name: str, least: int, most: int) -> Callable[[Any], int]:
    def cleaned(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            message = _("Give a whole number from %(least)d to %(most)d.")
            raise InvalidNode(name, message % {"least": least, "most": most})
        return value

    return cleaned


def _flag(value: Any, at: str) -> bool:
    if not isinstance(value, bool):
        raise InvalidNode(at, _("Say true or false."))
    return value


def _flag_or_none(value: Any, at: str) -> bool | None:
    return None if value is None else _flag(value, at)


def _borrowed(check: Callable[[Any, str], Any], value: Any, at: str) -> Any:
    """A check that connections have as well, refusing in this room's name."""
    try:
        return check(value, at)
    except InvalidConnection as refusal:
        raise InvalidNode(refusal.param or at, refusal.message) from None


_COLUMNS: dict[str, Callable[[Any], Any]] = {
    "name": clean_name,
    "tags": clean_tags,
    "visibility": _one_of("visibility", VISIBILITIES),
    "max_concurrent": _whole("max_concurrent", 1, MOST_CONCURRENT),
    "priority": _whole("priority", 1, MOST_PRIORITY),
    "advertise_new": lambda value: _flag(value, "advertise_new"),
    "mode": _one_of("mode", MODES),
    "quiet_minutes": _whole("quiet_minutes", 1, LONGEST_QUIET_MINUTES),
    "gpu_below": _gpu_below,
    "calendar": clean_calendar,
    "time_zone": clean_time_zone,
}
