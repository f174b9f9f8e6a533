"""What people enter for a connection, checked and brought into one form. Pure: no row, no network.

Every refusal is an `InvalidConnection` that names the field: `base_url`, `models.2.input_price`, …
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any
from urllib.parse import SplitResult, urlsplit

from django.utils.translation import gettext as _

from providers.endpoints import KIND_OF_ENDPOINT
from providers.endpoints import KINDS as KINDS
from providers.errors import InvalidConnection, UnknownPreset
from providers.prefill import PREFILL
from providers.presets import PRESETS, Preset
from providers.schema import NEVER_DROPPED
from providers.targets import DATA_COLLECTION, DROPPED_PARAMS, QUANTIZATION, QUANTIZATIONS
from providers.tiers import KIND_PRICES, MOST_TIERS, TIER_PRICES, PriceTier, tier_of

CAPABILITIES = frozenset(
    {"tools", "json_mode", "json_schema", "vision", "audio", "reasoning", "logprobs", "seed", PREFILL}
)
MOST_MODELS = 500
MOST_KEYS = 20
_MOST_USD = Decimal("1000000")
_PRICE_PLACES = 6
_REQUEST_PLACES = 9
_MOST_TOKENS = 100_000_000
_MOST_WEIGHT = 1000

_MODEL_ID = re.compile(r"[^\s/\x00-\x1f\x7f][^\s\x00-\x1f\x7f]{0,199}")
_RESERVED_MODEL_IDS = ("node/",)
_PARAMETER = re.compile(r"[a-z][a-z0-9_]{0,59}")
_MOST_DROPPED = 50
_HEADER_NAME = re.compile(r"[a-z0-9-]{1,60}")
_API_VERSION = re.compile(r"[A-Za-z0-9._-]{1,40}")
_KEY = re.compile(r"[\x21-\x7e]{1,4096}")
_LONGEST_URL = 1000
"""Of what may become shorter in its canonical spelling."""
_COUNT = re.compile(r"0*[1-9][0-9]{0,11}")
_ENDPOINT_PATHS = (*(f"/{endpoint}" for endpoint in KIND_OF_ENDPOINT), "/models")
_FORBIDDEN_AUTH_HEADERS = frozenset(
    {"host", "content-length", "content-type", "connection", "transfer-encoding", "accept-encoding", "cookie"}
)


@dataclass(frozen=True, slots=True)
class ModelDraft:
    """One model to serve. A price of None is looked up in the catalogue."""

    model_id: str
    upstream_id: str
    kind: str = "chat"
    enabled: bool = True
    weight: int = 1
    input_price: Decimal | None = None
    cached_input_price: Decimal | None = None
    output_price: Decimal | None = None
    request_price: Decimal = Decimal(0)
    cache_write_price: Decimal | None = None
    audio_input_price: Decimal | None = None
    reasoning_price: Decimal | None = None
    audio_output_price: Decimal | None = None
    price_tiers: Sequence[PriceTier] = ()
    context_tokens: int | None = None
    max_output_tokens: int | None = None
    capabilities: tuple[str, ...] = ()


def preset_named(preset_id: str) -> Preset:
    if preset_id not in PRESETS:
        raise UnknownPreset("preset", _("There is no kind of connection called “%(id)s”.") % {"id": preset_id})
    return PRESETS[preset_id]


def clean_name(name: str) -> str:
    cleaned = " ".join(name.split())
    if not cleaned:
        raise InvalidConnection("name", _("Give the connection a name."))
    if len(cleaned) > 80:
        raise InvalidConnection("name", _("Use at most 80 characters."))
    return cleaned


def clean_base_url(preset: Preset, base_url: str | None) -> str:
    """The URL before `/chat/completions`, without a slash at its end."""
    url = (base_url or "").strip() or preset.fixed_base_url or ""
    if not url:
        raise InvalidConnection("base_url", _("Enter the base URL, such as https://llm.example.com/v1."))
    if "{" in url:
        raise InvalidConnection(
            "base_url", _("Replace what stands in braces with your own, as in %(url)s.") % {"url": preset.base_url}
        )
    parts = _split(url)
    path = parts.path.rstrip("/")
    for ending in _ENDPOINT_PATHS:
        path = path.removesuffix(ending)
    cleaned = f"{origin_of(url)}{path}"
    if len(cleaned) > 300:
        raise InvalidConnection("base_url", _("Use at most 300 characters."))
    return cleaned


def _split(url: str) -> SplitResult:
    if len(url) > _LONGEST_URL:  # splitting normalises the host, which takes the square of a run of marks
        raise InvalidConnection("base_url", _("Use at most 300 characters."))
    try:
        parts = urlsplit(url)
        host, _port = parts.hostname, parts.port
    except ValueError as error:
        raise InvalidConnection("base_url", _("This is not a valid URL.")) from error
    if parts.scheme not in ("http", "https") or not host or re.search(r"[\s\x00-\x1f\\]", url):
        raise InvalidConnection("base_url", _("Enter a URL that begins with https:// or http://."))
    if parts.username is not None or parts.password is not None:
        raise InvalidConnection(
            "base_url", _("Leave user and password out of the URL; keys have a field of their own.")
        )
    if parts.query or parts.fragment:
        raise InvalidConnection("base_url", _("Leave out everything from “?” or “#” on."))
    return parts


def origin_of(url: str) -> str:
    """Scheme, host and port in one spelling; what a stored key is bound to."""
    parts = _split(url)
    host = parts.hostname or ""
    shown = f"[{host}]" if ":" in host else host
    default = {"http": 80, "https": 443}[parts.scheme]
    return f"{parts.scheme}://{shown}" + ("" if parts.port in (None, default) else f":{parts.port}")


def clean_keys(keys: Iterable[str]) -> list[str]:
    cleaned = list(dict.fromkeys(key.strip() for key in keys if key.strip()))
    if len(cleaned) > MOST_KEYS:
        raise InvalidConnection("api_keys", _("Use at most %(most)d keys.") % {"most": MOST_KEYS})
    for key in cleaned:
        if not _KEY.fullmatch(key):
            raise InvalidConnection("api_keys", _("A key may hold letters, digits and signs, but no spaces."))
    return cleaned


_NATURE = {DATA_COLLECTION: ("allow", "deny"), QUANTIZATION: QUANTIZATIONS}


def clean_options(options: Mapping[str, Any] | None) -> dict[str, str]:
    """`auth_header` (where the key goes when not in Authorization), `api_version`, and what the provider is like:
    `data_collection`, `quantization`, `dropped_params`; nothing else."""
    given = {name: str(value).strip() for name, value in (options or {}).items() if str(value or "").strip()}
    for name in given.keys() - {"auth_header", "api_version", DROPPED_PARAMS, *_NATURE}:
        raise InvalidConnection(f"options.{name}", _("There is no option of this name."))
    if header := given.get("auth_header"):
        given["auth_header"] = header = header.lower()
        if not _HEADER_NAME.fullmatch(header) or header in _FORBIDDEN_AUTH_HEADERS:
            raise InvalidConnection("options.auth_header", _("Give the name of a header, such as api-key."))
    if not _API_VERSION.fullmatch(given.get("api_version", "preview")):
        raise InvalidConnection("options.api_version", _("Use letters, digits, dots and dashes."))
    for name, words in _NATURE.items():
        if given.get(name, words[0]) not in words:
            raise InvalidConnection(f"options.{name}", _("Choose one of: %s.") % ", ".join(words))
    if names := given.get(DROPPED_PARAMS):
        given[DROPPED_PARAMS] = clean_dropped_params(names)
    return given


def clean_dropped_params(text: str) -> str:
    """Names with spaces between, each once, in their order."""
    names = sorted(set(re.split(r"[\s,]+", text.strip(" ,"))))
    at = f"options.{DROPPED_PARAMS}"
    for name in names:
        if not _PARAMETER.fullmatch(name):
            raise InvalidConnection(at, _("Give names of parameters, such as logit_bias, with spaces between."))
        if name in NEVER_DROPPED:
            raise InvalidConnection(at, _("Requests are not sent without “%(name)s”.") % {"name": name})
    if len(names) > _MOST_DROPPED:
        raise InvalidConnection(at, _("Use at most %(most)d names.") % {"most": _MOST_DROPPED})
    return " ".join(names)


def clean_models(models: Iterable[Mapping[str, Any]]) -> list[ModelDraft]:
    drafts = [clean_model(model, f"models.{index}.") for index, model in enumerate(models)]
    if len(drafts) > MOST_MODELS:
        raise InvalidConnection("models", _("Use at most %(most)d models.") % {"most": MOST_MODELS})
    seen: set[str] = set()
    for index, draft in enumerate(drafts):
        if draft.model_id in seen:
            raise InvalidConnection(f"models.{index}.id", _("“%(id)s” is listed twice.") % {"id": draft.model_id})
        seen.add(draft.model_id)
    return drafts


def clean_model(model: Mapping[str, Any], at: str = "") -> ModelDraft:
    """
    Args:
        model: `id`, and optionally the other fields of `ModelDraft`; prices as strings, USD per million tokens.
        at: what stands before the field's name in a refusal.
    """
    model_id = clean_model_id(model.get("id") or model.get("model_id"), f"{at}id")
    return ModelDraft(
        model_id=model_id,
        upstream_id=clean_model_id(model.get("upstream_id") or model_id, f"{at}upstream_id", reserved=()),
        kind=clean_kind(model.get("kind") or "chat", f"{at}kind"),
        enabled=bool(model.get("enabled", True)),
        weight=clean_weight(model.get("weight", 1), f"{at}weight"),
        input_price=clean_price(model.get("input_price"), f"{at}input_price"),
        cached_input_price=clean_price(model.get("cached_input_price"), f"{at}cached_input_price"),
        output_price=clean_price(model.get("output_price"), f"{at}output_price"),
        request_price=clean_price(model.get("request_price"), f"{at}request_price", _REQUEST_PLACES) or Decimal(0),
        **{name: clean_price(model.get(name), f"{at}{name}") for name in KIND_PRICES},
        price_tiers=clean_tiers(model.get("price_tiers") or (), f"{at}price_tiers"),
        context_tokens=clean_count(model.get("context_tokens"), f"{at}context_tokens", _MOST_TOKENS),
        max_output_tokens=clean_count(model.get("max_output_tokens"), f"{at}max_output_tokens", _MOST_TOKENS),
        capabilities=clean_capabilities(model.get("capabilities") or (), f"{at}capabilities"),
    )


def clean_model_id(value: Any, field: str, reserved: tuple[str, ...] = _RESERVED_MODEL_IDS) -> str:
    text = value.strip() if isinstance(value, str) else ""
    if not _MODEL_ID.fullmatch(text):
        raise InvalidConnection(
            field, _("Give a model's name: at most 200 characters, no spaces, no slash in front.")
        )
    if text.startswith(reserved):
        raise InvalidConnection(field, _("Names that begin with “node/” stand for your own machines."))
    return text


def clean_kind(value: Any, field: str) -> str:
    if value not in KINDS:
        raise InvalidConnection(field, _("Choose one of: %(kinds)s.") % {"kinds": ", ".join(KINDS)})
    return str(value)


def clean_price(value: Any, field: str, places: int = _PRICE_PLACES) -> Decimal | None:
    """USD as a string or number; None and "" mean unknown. A float is taken by its shortest spelling."""
    if value is None or value == "":
        return None
    try:
        price = Decimal(str(value).strip())
    except InvalidOperation:
        price = Decimal("NaN")
    if not price.is_finite() or price < 0:
        raise InvalidConnection(field, _("Enter a price in US dollars, such as 0.15."))
    if price > _MOST_USD:
        raise InvalidConnection(field, _("A price above a million dollars is surely a mistake."))
    step = Decimal(1).scaleb(-places)
    if price != price.quantize(step):
        raise InvalidConnection(field, _("Use at most %(places)d decimals.") % {"places": places})
    return price.quantize(step)


def clean_tiers(tiers: Iterable[Mapping[str, Any]], field: str) -> list[PriceTier]:
    """By their size. Each has at least an input and an output price."""
    cleaned = {}
    for index, tier in enumerate(tiers):
        at = f"{field}.{index}."
        above_tokens = clean_count(tier.get("above_tokens"), f"{at}above_tokens", _MOST_TOKENS)
        if above_tokens is None:
            raise InvalidConnection(f"{at}above_tokens", _("Say above how many tokens of the prompt it holds."))
        if above_tokens in cleaned:
            raise InvalidConnection(f"{at}above_tokens", _("Another tier begins there already."))
        prices = {name: clean_price(tier.get(name), f"{at}{name}") for name in TIER_PRICES}
        for name in ("input_price", "output_price"):
            if prices[name] is None:
                raise InvalidConnection(f"{at}{name}", _("A tier has an input price and an output price."))
        cleaned[above_tokens] = tier_of(above_tokens, prices)
    if len(cleaned) > MOST_TIERS:
        raise InvalidConnection(field, _("Use at most %(most)d tiers.") % {"most": MOST_TIERS})
    return [cleaned[above_tokens] for above_tokens in sorted(cleaned)]


def clean_count(value: Any, field: str, most: int) -> int | None:
    if value is None or value == "":
        return None
    text = str(value).strip()
    if isinstance(value, bool) or not _COUNT.fullmatch(text) or int(text) > most:
        raise InvalidConnection(field, _("Enter a whole number from 1 to %(most)d.") % {"most": most})
    return int(text)


def clean_weight(value: Any, field: str) -> int:
    """0 stands for no traffic."""
    text = str(value).strip()
    if text.strip("0") == "" != text:
        return 0
    weight = clean_count(value, field, _MOST_WEIGHT)
    return 1 if weight is None else weight


def clean_capabilities(values: Any, field: str) -> tuple[str, ...]:
    given = {str(value) for value in values} if not isinstance(values, str) else {values}
    if unknown := given - CAPABILITIES:
        raise InvalidConnection(field, _("Unknown: %(names)s.") % {"names": ", ".join(sorted(unknown))})
    return tuple(sorted(given))
