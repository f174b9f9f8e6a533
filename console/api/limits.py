"""`/limits`: how much may come, of the organisation and of each scope within it. A key's are a field of the key."""

from __future__ import annotations

from typing import Any, cast

from django.http import Http404
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts import limits, members
from accounts.budgets import MOST, MOST_BUDGETS
from accounts.limits import MOST_SLOTS, Figures, KeyFigures
from accounts.models import Limit, Membership
from accounts.roles import Permission
from accounts.scopes import MODEL, NODE, ORGANISATION, ROUTE, SCOPES, TOKENS, WHEN_REACHED, WINDOWS
from accounts.subjects import labels_of
from common.money import usd_from_nanos
from common.numbers import plain
from console.api.fields import Body, Kind, Shown, Usd, Whole
from console.api.frame import ResourceView
from console.api.openapi import described
from console.offers import served_models
from metering.in_use import InUse, in_use
from metering.standing import Standing, standings_of
from nodes.models import Node
from routing.models import Route

RATES = "null is no limit. The window slides."


class BudgetShown(Shown):
    """Money or tokens: the other is not there."""

    amount_usd = serializers.CharField(required=False)
    tokens = serializers.IntegerField(required=False)
    window = serializers.ChoiceField(WINDOWS)


class FiguresShown(Shown):
    """What is null is not limited."""

    rpm = serializers.IntegerField(allow_null=True)
    rpd = serializers.IntegerField(allow_null=True)
    tpm = serializers.IntegerField(allow_null=True)
    tpd = serializers.IntegerField(allow_null=True)
    concurrency = serializers.IntegerField(allow_null=True)
    budgets = BudgetShown(many=True)
    when_reached = serializers.ChoiceField(WHEN_REACHED)


class LimitsShown(FiguresShown):
    object = Kind("limits")


class KeyLimits(FiguresShown):
    """Of a key. All keys of a list are looked up at once."""

    def to_representation(self, instance: Any) -> Any:
        known = cast("dict[str, KeyFigures]", self.context)
        if "key_limits" not in known:
            known["key_limits"] = KeyFigures(instance.org)
        return super().to_representation(known["key_limits"].of(instance))


class BudgetWishes(Body):
    amount_usd = Usd(required=False, help_text="Of money. Either this or `tokens`.")
    tokens = Whole(required=False, min_value=1, max_value=MOST, help_text="In and out.")
    window = serializers.ChoiceField(WINDOWS, help_text="From midnight UTC, Monday, the 1st of a month.")


class LimitWishes(Body):
    rpm = Whole(required=False, allow_null=True, min_value=1, max_value=MOST, help_text=f"Requests a minute. {RATES}")
    rpd = Whole(required=False, allow_null=True, min_value=1, max_value=MOST, help_text="Requests a day.")
    tpm = Whole(
        required=False, allow_null=True, min_value=1, max_value=MOST, help_text="Tokens a minute, in and out."
    )
    tpd = Whole(required=False, allow_null=True, min_value=1, max_value=MOST, help_text="Tokens a day, in and out.")
    concurrency = Whole(
        required=False, allow_null=True, min_value=1, max_value=MOST_SLOTS, help_text="Requests in flight at a time."
    )
    budgets = serializers.ListField(
        child=BudgetWishes(), required=False, max_length=MOST_BUDGETS, help_text="One of each unit for each window."
    )
    when_reached = serializers.ChoiceField(
        WHEN_REACHED,
        required=False,
        help_text="A request that a budget does not cover is refused, kept to own machines, or served anyway.",
    )


class _LimitsView(ResourceView):
    tag = "Limits"
    needs = {"GET": (Permission.VIEW,), "PUT": (Permission.MANAGE_LIMITS,)}

    def shown(self, scope: str, subject: str = "") -> Response:
        return told(limits.find_limits(self.organization, scope, subject))

    def replaced(self, scope: str, subject: str = "", label: str = "") -> Response:
        wishes = self.read(LimitWishes)
        return told(
            limits.set_limits(self.organization, self.actor, scope, subject, wishes=wishes, label=label or subject)
        )


def told(figures: Figures) -> Response:
    return Response(LimitsShown(figures).data)


class OrganizationLimitsView(_LimitsView):
    @described("getLimits", "Show the organisation's limits", answer=LimitsShown)
    def get(self, request: Request) -> Response:
        return self.shown(ORGANISATION)

    @described(
        "putLimits",
        "Set the organisation's limits",
        body=LimitWishes,
        answer=LimitsShown,
        sent={
            "rpm": 600,
            "tpm": 200000,
            "concurrency": 50,
            "budgets": [{"amount_usd": "100", "window": "monthly"}, {"tokens": 5000000, "window": "daily"}],
            "when_reached": "block",
        },
    )
    def put(self, request: Request) -> Response:
        """What is left out is not limited afterwards. Every gateway process knows within a second."""
        return self.replaced(ORGANISATION)


class MemberLimitsView(_LimitsView):
    @described("getMemberLimits", "Show a member's limits", answer=LimitsShown)
    def get(self, request: Request, member_id: str) -> Response:
        return told(limits.find_member_limits(self._member(member_id)))

    @described("putMemberLimits", "Set a member's limits", body=LimitWishes, answer=LimitsShown, sent={"rpm": 60})
    def put(self, request: Request, member_id: str) -> Response:
        """They hold for all keys in the member's name together."""
        member = self._member(member_id)
        return told(limits.set_member_limits(member, self.actor, self.read(LimitWishes)))

    def _member(self, member_id: str) -> Membership:
        return self.find(members.members_of(self.organization).select_related("user", "org"), public_id=member_id)


class RouteLimitsView(_LimitsView):
    @described("getRouteLimits", "Show a route's limits", answer=LimitsShown)
    def get(self, request: Request, name: str) -> Response:
        return self.shown(ROUTE, self._route(name).name)

    @described("putRouteLimits", "Set a route's limits", body=LimitWishes, answer=LimitsShown, sent={"rpm": 60})
    def put(self, request: Request, name: str) -> Response:
        """They stay with the name when its route is replaced."""
        return self.replaced(ROUTE, self._route(name).name)

    def _route(self, name: str) -> Route:
        return self.find(Route.objects.of(self.organization), name=name)


class ModelLimitsView(_LimitsView):
    @described("getModelLimits", "Show a model's limits", answer=LimitsShown)
    def get(self, request: Request, model: str) -> Response:
        return self.shown(MODEL, self._model(model))

    @described("putModelLimits", "Set a model's limits", body=LimitWishes, answer=LimitsShown, sent={"tpm": 50000})
    def put(self, request: Request, model: str) -> Response:
        """They hold for whoever serves the model, own machines too. Within a route, a model whose limit is reached is
        passed by."""
        return self.replaced(MODEL, self._model(model))

    def _model(self, model: str) -> str:
        if model not in served_models(self.organization):
            raise Http404
        return model


class NodeLimitsView(_LimitsView):
    @described("getNodeLimits", "Show a machine's limits", answer=LimitsShown)
    def get(self, request: Request, node_id: str) -> Response:
        return self.shown(NODE, self._node(node_id).public_id)

    @described(
        "putNodeLimits", "Set a machine's limits", body=LimitWishes, answer=LimitsShown, sent={"concurrency": 4}
    )
    def put(self, request: Request, node_id: str) -> Response:
        """They hold for this organisation's requests. A machine whose limit is reached is passed by."""
        node = self._node(node_id)
        return self.replaced(NODE, node.public_id, node.name)

    def _node(self, node_id: str) -> Node:
        return self.find(Node.objects.of(self.organization), public_id=node_id)


class StandingShown(Shown):
    """A budget in its present window. Amounts are US dollars as strings where `unit` is "usd", else tokens."""

    scope = serializers.ChoiceField(SCOPES, source="limit.scope")
    subject = serializers.SerializerMethodField(help_text="Whose it is; null is the organisation's.")
    unit = serializers.CharField()
    window = serializers.ChoiceField(WINDOWS)
    amount = serializers.SerializerMethodField()
    used = serializers.SerializerMethodField()
    left = serializers.SerializerMethodField()
    held = serializers.SerializerMethodField(help_text="For requests in flight, and for those to come soon.")
    forecast = serializers.SerializerMethodField(help_text="What will be used when the window ends, at this pace.")
    percent = serializers.IntegerField()
    starts_at = serializers.DateTimeField()
    resets_at = serializers.DateTimeField(source="ends_at", allow_null=True)
    runs_out_at = serializers.DateTimeField(allow_null=True, help_text="At this pace, if before the window ends.")
    when_reached = serializers.ChoiceField(WHEN_REACHED, source="limit.when_reached")

    def get_subject(self, standing: Standing) -> str | None:
        return self.context["labels"][standing.limit.pk] or None

    def get_amount(self, standing: Standing) -> str:
        return _amount(standing, standing.amount)

    def get_used(self, standing: Standing) -> str:
        return _amount(standing, standing.used)

    def get_left(self, standing: Standing) -> str:
        return _amount(standing, standing.left)

    def get_held(self, standing: Standing) -> str:
        return _amount(standing, standing.held)

    def get_forecast(self, standing: Standing) -> str | None:
        return None if standing.forecast is None else _amount(standing, standing.forecast)


def _amount(standing: Standing, amount: int) -> str:
    return str(amount) if standing.unit == TOKENS else plain(usd_from_nanos(amount))


class StandingsShown(Shown):
    object = Kind("list")
    data = StandingShown(many=True)  # type: ignore[assignment]  # its name is the contract


class BudgetsView(_LimitsView):
    needs = {"GET": (Permission.VIEW_USAGE,)}

    @described("listBudgets", "Show how all budgets stand", answer=StandingsShown)
    def get(self, request: Request) -> Response:
        """Of the organisation and of each scope within it, in their present windows."""
        standings = standings_of(self.organization)
        labels = labels_of(standing.limit for standing in standings)
        return Response(StandingsShown({"data": standings}, context={"labels": labels}).data)


class RateShown(Shown):
    """One number of a limit, and how much of it is in use at this moment."""

    scope = serializers.ChoiceField(SCOPES, source="limit.scope")
    subject = serializers.SerializerMethodField(help_text="Whose it is; null is the organisation's.")
    kind = serializers.ChoiceField(limits.KINDS, source="bound.name")
    limit = serializers.IntegerField(source="bound.limit")
    used = serializers.IntegerField(allow_null=True, help_text="null where nobody knows, as Redis is away.")
    percent = serializers.SerializerMethodField()

    def get_subject(self, rate: InUse) -> str | None:
        return self.context["labels"][rate.limit.pk] or None

    def get_percent(self, rate: InUse) -> int | None:
        return None if rate.used is None else rate.percent


class RatesShown(Shown):
    object = Kind("list")
    data = RateShown(many=True)  # type: ignore[assignment]  # its name is the contract


class RatesView(_LimitsView):
    needs = {"GET": (Permission.VIEW_USAGE,)}

    @described("listRates", "Show how much of all rate limits is in use", answer=RatesShown)
    def get(self, request: Request) -> Response:
        """Of the organisation and of each scope within it. Windows slide: what is in use of a rate is what came
        within the last minute or day, and runs off bit by bit. Of `concurrency` it is what is in flight."""
        rows = list(Limit.objects.of(self.organization).order_by("scope", "subject"))
        data = [rate for rates in in_use(rows).values() for rate in rates]
        return Response(RatesShown({"data": data}, context={"labels": labels_of(rows)}).data)
