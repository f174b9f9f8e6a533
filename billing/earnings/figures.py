"""What pages and the API show of earnings: balances from the ledger, everything else from the lots."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

from django.db.models import F, Q, QuerySet, Sum

from accounts.models import Organization
from billing.earnings.maturity import MATURITY, matures_on, waiting_lots
from billing.earnings.models import Case, Donation, Lot
from billing.models import PriceVersion
from common.money import usd_text
from ledger import kinds
from ledger.models import Account, Entry
from nodes.models import PRIVATE, Node, NodeModel

_SUMS = ("requests", "input_tokens", "output_tokens", "paid", "earned", "escrow", "exchanged", "donated", "taken")
CSV_HEAD = (
    "day", "node", "model", "requests", "input_tokens", "output_tokens", "paid_usd", "fee_usd", "earned_usd",
    "escrow_usd", "exchanged_usd", "donated_usd", "taken_back_usd", "matured_usd", "matures_on",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Balances:
    """Nano-USD: `escrow` waits, `available` may be paid out, `paid_out` was; `tokens` are left of those exchanged."""

    escrow: int
    available: int
    paid_out: int
    tokens: int
    donated: int


@dataclass(frozen=True, slots=True)
class Figures:
    """Sums of lots. `fee` is the platform's."""

    requests: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    paid: int = 0
    earned: int = 0
    escrow: int = 0
    exchanged: int = 0
    donated: int = 0
    taken: int = 0

    @property
    def fee(self) -> int:
        return self.paid - self.earned

    @property
    def tokens(self) -> int:
        return self.input_tokens + self.output_tokens

    @property
    def net(self) -> int:
        return self.earned - self.taken


@dataclass(frozen=True, slots=True)
class ModelFigures:
    node: str
    node_id: str
    model: str
    figures: Figures


@dataclass(frozen=True, slots=True)
class Maturing:
    """What may be paid out from a day on. `held` of it waits for a case."""

    on: date
    nanos: int
    held: int


@dataclass(frozen=True, slots=True)
class NotEarning:
    """A machine, and the codes of what keeps it from earning."""

    node: Node
    reasons: list[str] = field(default_factory=list)


def balances(organization: Organization) -> Balances:
    kept = Account.objects.of(organization).filter(currency=kinds.USD, reference="")
    found = {account.kind: account for account in kept}
    payable = found.get(kinds.REWARDS_AVAILABLE)
    paid = Entry.objects.filter(account=payable).exclude(transfer__kind=MATURITY) if payable else Entry.objects.none()
    given = Donation.objects.filter(lot__org=organization).aggregate(nanos=Sum(F("nanos") - F("taken")))
    escrow, tokens = found.get(kinds.REWARDS_ESCROW), found.get(kinds.TOKENS)
    return Balances(
        escrow=escrow.balance if escrow else 0,
        available=payable.balance - payable.held if payable else 0,
        paid_out=-(paid.aggregate(nanos=Sum("amount"))["nanos"] or 0),
        tokens=tokens.balance - tokens.held if tokens else 0,
        donated=given["nanos"] or 0,
    )


def total(organization: Organization, since: date) -> Figures:
    return _total(Lot.objects.of(organization).filter(day__gte=since))


def per_model(organization: Organization, since: date) -> list[ModelFigures]:
    """The best earning first."""
    names = names_of(organization)
    lots = Lot.objects.of(organization).filter(day__gte=since)
    found = [
        ModelFigures(*names.get(target, ("", "", "")), figures) for target, figures in _summed(lots, "target_id")
    ]
    return sorted(found, key=lambda one: (-one.figures.earned, one.node, one.model))


def per_day(organization: Organization, since: date, until: date) -> list[tuple[date, Figures]]:
    """Every day of [since, until], also those without anything."""
    found = dict(_summed(Lot.objects.of(organization).filter(day__gte=since, day__lte=until), "day"))
    days = (since + timedelta(days=number) for number in range((until - since).days + 1))
    return [(day, found.get(day, Figures())) for day in days]


def _total(lots: QuerySet[Lot]) -> Figures:
    sums = lots.aggregate(**{name: Sum(name) for name in _SUMS})
    return Figures(**{name: value or 0 for name, value in sums.items()})


def _summed(lots: QuerySet[Lot], by: str) -> list[tuple[Any, Figures]]:
    rows = lots.order_by().values_list(by).annotate(*map(Sum, _SUMS))
    return [(row[0], Figures(*row[1:])) for row in rows]


def of_node(node: Node, since: date) -> Figures:
    """Of all its models together."""
    targets = [-pk for pk in node.served_models.values_list("pk", flat=True)]
    return _total(Lot.objects.of(node.org).filter(target_id__in=targets, day__gte=since))


def calendar(organization: Organization) -> list[Maturing]:
    """When what is in escrow may be paid out, the next day first; trust not considered."""
    pending = set(
        Case.objects.of(organization).filter(state__in=(Case.OPEN, Case.ANSWERED)).values_list("lot_id", flat=True)
    )
    sums: defaultdict[date, list[int]] = defaultdict(lambda: [0, 0])
    for lot in waiting_lots(organization):
        sums[matures_on(lot.day)][lot.pk in pending] += lot.waiting
    return [Maturing(on, free + held, held) for on, (free, held) in sorted(sums.items())]


def not_earning(organization: Organization) -> list[NotEarning]:
    """Machines that cannot earn as they are set now, each with why."""
    nodes = Node.objects.of(organization).filter(removed_at=None, revoked_at=None).prefetch_related("served_models")
    return [NotEarning(node, reasons) for node in nodes.order_by("name") if (reasons := reasons_against(node))]


def offered_models(organization: Organization) -> list[NodeModel]:
    """Of machines that stand, with their prices."""
    models = NodeModel.objects.of(organization).filter(node__removed_at=None, node__revoked_at=None, advertised=True)
    return list(models.select_related("node").order_by("node__name", "model_id"))


def price_history(models: list[NodeModel]) -> dict[int, list[PriceVersion]]:
    """By target, the newest first."""
    found: defaultdict[int, list[PriceVersion]] = defaultdict(list)
    for version in PriceVersion.objects.filter(target_id__in=[-model.pk for model in models]).order_by("-version"):
        found[version.target_id].append(version)
    return found


def csv_rows(organization: Organization, since: date) -> Iterator[tuple[Any, ...]]:
    """Lots, the oldest first, with `CSV_HEAD` as the first row."""
    yield CSV_HEAD
    names = names_of(organization)
    for lot in Lot.objects.of(organization).filter(day__gte=since).order_by("day", "target_id"):
        node, _node_id, model = names.get(lot.target_id, ("", "", ""))
        fee = lot.paid - lot.earned
        nanos = lot.paid, fee, lot.earned, lot.escrow, lot.exchanged, lot.donated, lot.taken, lot.matured
        yield (
            lot.day.isoformat(), node, model, lot.requests, lot.input_tokens, lot.output_tokens,
            *map(usd_text, nanos), matures_on(lot.day).isoformat(),
        )  # fmt: skip


def names_of(organization: Organization) -> dict[int, tuple[str, str, str]]:
    """By target: the machine's name, its public id, the model."""
    rows = NodeModel.objects.of(organization).values_list("pk", "node__name", "node__public_id", "model_id")
    return {-pk: (node, node_id, model) for pk, node, node_id, model in rows}


def reasons_against(node: Node) -> list[str]:
    """Codes of what keeps it from earning as it is set now."""
    offered = [model for model in node.served_models.all() if model.advertised and model.for_others]
    found = []
    if node.visibility == PRIVATE:
        found.append("private")
    if node.paused:
        found.append("paused")
    if not offered:
        found.append("nothing_offered")
    elif not any(model.input_price_nanos or model.output_price_nanos for model in offered):
        found.append("no_price")
    return found


def has_earned(organization: Organization) -> bool:
    return Lot.objects.of(organization).filter(Q(earned__gt=0)).exists()
