"""What pages and the API show of earnings: balances from the ledger, everything else from the lots."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

from django.db import connection
from django.db.models import Exists, F, OuterRef, Q, QuerySet, Subquery, Sum

from accounts.models import Organization
from billing.earnings.maturity import MATURITY, matures_on, waiting_lots
from billing.earnings.models import Case, Donation, Lot
from billing.models import PriceVersion
from common.money import usd_text
from ledger import kinds
from ledger.models import Account, Entry
from nodes.models import PRIVATE, Node, NodeModel

_SUMS = ("requests", "input_tokens", "output_tokens", "paid", "earned", "escrow", "exchanged", "donated", "taken")
_COURSE = f"""
WITH sums AS (
    SELECT target_id, day, {", ".join(f"coalesce(sum({name}), 0) AS {name}" for name in _SUMS)}
    FROM earnings_lot WHERE org_id = %s AND day BETWEEN %s AND %s
    GROUP BY GROUPING SETS ((target_id), (day), ())
)
SELECT target_id, day, coalesce(n.name, ''), coalesce(n.public_id, ''), coalesce(m.model_id, ''), {", ".join(_SUMS)}
FROM sums LEFT JOIN nodes_nodemodel m ON m.id = -target_id LEFT JOIN nodes_node n ON n.id = m.node_id
"""  # noqa: S608  made of the names above alone
_BALANCES = (kinds.REWARDS_AVAILABLE, kinds.REWARDS_ESCROW, kinds.TOKENS)
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
class Course:
    """What a range of days brought: in all, by model, by day."""

    total: Figures
    models: list[ModelFigures]
    days: list[tuple[date, Figures]]


@dataclass(frozen=True, slots=True)
class Maturing:
    """What may be paid out from a day on. `held` of it waits for a case."""

    on: date
    nanos: int
    held: int


@dataclass(frozen=True, slots=True)
class Begun:
    """What is there: a machine, a model offered on one, a machine open to others, a price, something earned."""

    has_machine: bool
    has_models: bool
    is_open: bool
    is_priced: bool
    has_earned: bool


@dataclass(frozen=True, slots=True)
class NotEarning:
    """A machine, and the codes of what keeps it from earning."""

    node: Node
    reasons: list[str] = field(default_factory=list)


def balances(organization: Organization) -> Balances:
    """Paid out is what left the available rewards otherwise than by maturing came in."""
    kept = Account.objects.of(organization).filter(currency=kinds.USD, reference="")
    left = Entry.objects.filter(account=OuterRef("pk"), account__kind=kinds.REWARDS_AVAILABLE)
    sums = left.of_other_kinds(MATURITY).order_by().values("account").annotate(nanos=Sum("amount"))
    rows = kept.annotate(paid_out=Subquery(sums.values("nanos"))).filter(kind__in=_BALANCES)
    found = {account.kind: account for account in rows}
    escrow, tokens = found.get(kinds.REWARDS_ESCROW), found.get(kinds.TOKENS)
    payable = found.get(kinds.REWARDS_AVAILABLE)
    given = Donation.objects.filter(lot__org=organization).aggregate(nanos=Sum(F("nanos") - F("taken")))
    return Balances(
        escrow=escrow.balance if escrow else 0,
        available=payable.balance - payable.held if payable else 0,
        paid_out=-(payable.paid_out or 0) if payable else 0,
        tokens=tokens.balance - tokens.held if tokens else 0,
        donated=given["nanos"] or 0,
    )


def course_of(organization: Organization, since: date, until: date) -> Course:
    """Every day of [since, until], also those without anything; the models best earning first."""
    with connection.cursor() as cursor:
        cursor.execute(_COURSE, [organization.pk, since, until])
        rows = [(row[:5], Figures(*map(int, row[5:]))) for row in cursor.fetchall()]
    days = {place[1]: figures for place, figures in rows if place[1] is not None}
    models = [ModelFigures(place[2], place[3], place[4], figures) for place, figures in rows if place[0] is not None]
    return Course(
        next((figures for place, figures in rows if place[0] is None and place[1] is None), Figures()),
        sorted(models, key=lambda one: (-one.figures.earned, one.node, one.model)),
        [(day, days.get(day, Figures())) for day in _days(since, until)],
    )


def _days(since: date, until: date) -> Iterator[date]:
    return (since + timedelta(days=number) for number in range((until - since).days + 1))


def _total(lots: QuerySet[Lot]) -> Figures:
    sums = lots.aggregate(**{name: Sum(name) for name in _SUMS})
    return Figures(**{name: value or 0 for name, value in sums.items()})


def of_node(node: Node, since: date) -> Figures:
    """Of all its models together."""
    targets = [-model.pk for model in node.served_models.all()]
    return _total(Lot.objects.of(node.org).filter(target_id__in=targets, day__gte=since))


def net_of_nodes(organization: Organization, nodes: Iterable[Node], since: date) -> dict[int, int]:
    """Nano-USD by the nodes' primary keys; those that earned nothing are left out."""
    targets = {-model.pk: node.pk for node in nodes for model in node.served_models.all()}
    lots = Lot.objects.of(organization).filter(target_id__in=targets, day__gte=since)
    earned: dict[int, int] = defaultdict(int)
    for target, nanos in lots.order_by().values_list("target_id").annotate(net=Sum(F("earned") - F("taken"))):
        earned[targets[target]] += nanos
    return {node: nanos for node, nanos in earned.items() if nanos}


def calendar(organization: Organization) -> list[Maturing]:
    """When what is in escrow may be paid out, the next day first; trust not considered."""
    pending = Case.objects.filter(lot=OuterRef("pk"), state__in=(Case.OPEN, Case.ANSWERED))
    waiting = F("escrow") - F("matured") - F("taken_escrow")
    held = Sum(waiting, filter=Exists(pending))
    days = waiting_lots(organization).order_by("day").values("day").annotate(nanos=Sum(waiting), held=held)
    return [Maturing(matures_on(row["day"]), row["nanos"], row["held"] or 0) for row in days]


def not_earning(organization: Organization, most: int) -> list[NotEarning]:
    """Machines that cannot earn as they are set now, each with why; so many of them, by name."""
    offered = NodeModel.objects.filter(node=OuterRef("pk"), advertised=True, for_others=True)
    priced = offered.filter(Q(input_price_nanos__gt=0) | Q(output_price_nanos__gt=0))
    nodes = Node.objects.of(organization).filter(removed_at=None, revoked_at=None)
    told = nodes.annotate(is_offered=Exists(offered), is_priced=Exists(priced))
    held = told.filter(Q(visibility=PRIVATE) | Q(paused=True) | Q(is_priced=False)).order_by("name", "pk")
    return [NotEarning(node, _reasons(node, node.is_offered, node.is_priced)) for node in held[:most]]


def offered_models(organization: Organization) -> list[NodeModel]:
    """Of machines that stand, with their prices."""
    return list(_offered(organization).select_related("node").order_by("node__name", "model_id"))


def _offered(organization: Organization) -> QuerySet[NodeModel]:
    models: QuerySet[NodeModel] = NodeModel.objects.of(organization)
    return models.filter(node__removed_at=None, node__revoked_at=None, advertised=True)


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
    return _reasons(node, bool(offered), any(one.input_price_nanos or one.output_price_nanos for one in offered))


def _reasons(node: Node, is_offered: bool, is_priced: bool) -> list[str]:
    said = {
        "private": node.visibility == PRIVATE,
        "paused": node.paused,
        "nothing_offered": not is_offered,
        "no_price": is_offered and not is_priced,
    }
    return [reason for reason, is_so in said.items() if is_so]


def begun_of(organization: Organization) -> Begun:
    """How far it has come on the way to earning, in one question."""
    stands = Node.objects.of(organization).filter(removed_at=None, revoked_at=None)
    offered = _offered(organization)
    priced = offered.filter(Q(input_price_nanos__gt=0) | Q(output_price_nanos__gt=0), for_others=True)
    earned = Lot.objects.of(organization).filter(earned__gt=0)
    asked = stands, offered, stands.exclude(visibility=PRIVATE), priced, earned
    rows = Organization.objects.filter(pk=organization.pk).values_list(*(Exists(each) for each in asked))
    return Begun(*rows.get())
