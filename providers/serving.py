"""The models of a connection: which it serves, under which names, at which prices."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.utils.translation import gettext as _

from accounts.audit import Actor
from accounts.audit_values import differences
from common.ids import new_id
from providers import changes, drafts
from providers.catalog import CatalogPrice, find_prices
from providers.drafts import ModelDraft
from providers.errors import InvalidConnection
from providers.models import Connection, ServedModel
from providers.tiers import KIND_PRICES

MANUAL, CATALOG, UNPRICED = "manual", "catalog", "none"

_FIELDS = ("upstream_id", "kind", "enabled", "weight", "context_tokens", "max_output_tokens")
_LESSER = ("cached_input_price", *KIND_PRICES, "price_tiers")
_PRICES = ("input_price", "output_price", "request_price", *_LESSER)
_CHANGEABLE = {"id", *_FIELDS, *_PRICES, "capabilities"}


def set_models(connection: Connection, actor: Actor, models: Iterable[Mapping[str, Any]]) -> list[ServedModel]:
    """Makes `models` the whole list: others are removed, known ones keep their row.

    Args:
        models: mappings with `id` and the optional fields of `ModelDraft`; a model without prices keeps the ones
            a person gave it earlier, else takes the catalogue's.
    """
    wanted = drafts.clean_models(models)
    listed = catalog_prices(connection.preset, wanted)
    with changes.changing(connection.org, actor):
        before = changes.said_of_models(list(connection.served_models.all()))
        served = store_models(connection, wanted, listed)
        was, now = differences(before, changes.said_of_models(served))
        if was or now:
            changes.record(connection, actor, "connection.models_set", before=was, after=now)
    return served


def catalog_prices(preset_id: str, models: Sequence[ModelDraft]) -> dict[str, CatalogPrice]:
    """By public name. Slow at the first call: ask outside transactions."""
    found = find_prices(preset_id, [model.upstream_id for model in models])
    return {model.model_id: price for model, price in zip(models, found, strict=True) if price}


def store_models(
    connection: Connection, wanted: Sequence[ModelDraft], listed: Mapping[str, CatalogPrice]
) -> list[ServedModel]:
    """Saves the list. For use inside `changing`; the caller writes the audit event."""
    present = {row.model_id: row for row in connection.served_models.all()}
    gone = present.keys() - {draft.model_id for draft in wanted}
    connection.served_models.filter(model_id__in=gone).delete()
    rows = []
    for index, draft in enumerate(wanted):
        row = present.get(draft.model_id) or ServedModel(
            org=connection.org, public_id=new_id("model"), connection=connection, model_id=draft.model_id
        )
        _check_prices(draft, f"models.{index}.")
        _fill(row, draft, listed.get(draft.model_id))
        row.save()
        rows.append(row)
    return rows


def update_model(
    model: ServedModel, actor: Actor, given: Mapping[str, Any], *, seen_version: int | None = None
) -> ServedModel:
    """Changes some fields. New prices are the person's own; both prices empty means the catalogue's again.

    Args:
        given: fields of `ModelDraft`, `id` being the public name; what is not there stays.
        seen_version: of the price that the wish was made in sight of; with another in force, nothing changes.
    """
    for name in given.keys() - _CHANGEABLE:
        raise InvalidConnection(name, _("There is no field of this name."))
    _wanted(model, given)  # what is wrong is said, and the catalogue read, before anything is locked
    connection = model.connection
    with changes.changing(connection.org, actor):
        row = ServedModel.objects.get(pk=model.pk)
        if seen_version is not None and seen_version != row.price_version:
            raise InvalidConnection("price_version", _("Somebody has changed its price meanwhile. Look at it again."))
        wanted, listed = _wanted(row, given)  # whoever changed another field in between has changed it
        if connection.served_models.filter(model_id=wanted.model_id).exclude(pk=row.pk).exists():
            raise InvalidConnection("id", _("“%(id)s” is listed twice.") % {"id": wanted.model_id})
        before = changes.said_of_model(row)
        row.model_id = wanted.model_id
        _fill(row, wanted, listed, keep_manual=not given.keys() & set(_PRICES))
        row.save()
        was, now = differences(before, changes.said_of_model(row))
        if now:
            changes.record(connection, actor, "model.updated", before={"model": model.model_id, **was}, after=now)
    return row


def _wanted(model: ServedModel, given: Mapping[str, Any]) -> tuple[ModelDraft, CatalogPrice | None]:
    wanted = drafts.clean_model(_merged(model, given))
    _check_prices(wanted)
    return wanted, catalog_prices(model.connection.preset, [wanted]).get(wanted.model_id)


def apply_price(row: ServedModel, price: CatalogPrice | None) -> bool:
    """Puts the catalogue's price on the row, unsaved; on the platform's own, which are sold, with its margin.

    Returns:
        Whether a figure changed; the version has grown then.
    """
    if price is None:
        return _set_prices(row, {"request_price": Decimal(0), "price_tiers": []}, UNPRICED)
    if row.org_id is None:
        price = price.sold_with(settings.PLATFORM_MARGIN_PERCENT)
    return _set_prices(row, price.figures(), CATALOG)


def _fill(row: ServedModel, draft: ModelDraft, listed: CatalogPrice | None, *, keep_manual: bool = True) -> None:
    for name in _FIELDS:
        setattr(row, name, getattr(draft, name))
    row.capabilities = list(draft.capabilities)
    if row.context_tokens is None and listed is not None:
        row.context_tokens = listed.context_tokens
    if _is_priced(draft):
        output = Decimal(0) if draft.output_price is None else draft.output_price
        figures = {name: getattr(draft, name) for name in _PRICES} | {"output_price": output}
        figures["price_tiers"] = list(draft.price_tiers)
        same = row.price_source == CATALOG and figures == _figures(row)
        _set_prices(row, figures, CATALOG if same else MANUAL)
    elif row.pk is None or row.price_source != MANUAL or not keep_manual:
        apply_price(row, listed)


def _set_prices(row: ServedModel, given: Mapping[str, Any], source: str) -> bool:
    """Those that are not given are None."""
    figures = {name: given.get(name) for name in _PRICES}
    changed = figures != _figures(row)
    if changed and row.pk is not None:
        row.price_version += 1
    for name, value in figures.items():
        setattr(row, name, value)
    row.price_source = source
    return changed


def _figures(row: ServedModel) -> dict[str, Any]:
    return {name: getattr(row, name) for name in _PRICES}


def _is_priced(draft: ModelDraft) -> bool:
    return draft.input_price is not None or draft.output_price is not None


def _check_prices(draft: ModelDraft, at: str = "") -> None:
    if not _is_priced(draft):
        if any(getattr(draft, name) not in (None, (), []) for name in _LESSER):
            raise InvalidConnection(f"{at}input_price", _("Give the input price as well."))
        return
    if draft.input_price is None:
        raise InvalidConnection(f"{at}input_price", _("Give both prices, or none to use the catalogue's."))
    if draft.output_price is None and draft.kind == "chat":
        raise InvalidConnection(f"{at}output_price", _("Give both prices, or none to use the catalogue's."))


def _merged(model: ServedModel, given: Mapping[str, Any]) -> dict[str, Any]:
    said = {name: getattr(model, name) for name in (*_FIELDS, *_PRICES, "capabilities")}
    merged = {"id": model.model_id, **said, **given}
    if merged["input_price"] in (None, "") and merged["output_price"] in (None, ""):
        # Back to the catalogue: the lesser prices go with the two that were taken away.
        merged |= {name: given.get(name) for name in ("request_price", *_LESSER)}
    return merged
