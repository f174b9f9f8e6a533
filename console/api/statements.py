"""`/billing/statements`: what each month that was closed did to the organisation's accounts."""

from __future__ import annotations

from typing import Any

from django.http import HttpResponse
from drf_spectacular.utils import OpenApiResponse
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.roles import Permission
from billing.models import MonthlyStatement
from console import monthly
from console.api.fields import Kind, Query, Shown, SignedUsdOfNanos, UsdOfNanos
from console.api.frame import ResourceView
from console.api.openapi import described, list_of
from console.downloads import csv_download


class MovementShown(Shown):
    kind = serializers.CharField(help_text="As in the entries of billing.")
    count = serializers.IntegerField()
    amount_usd = SignedUsdOfNanos(source="nanos", help_text="Negative for what was taken.")


class AccountShown(Shown):
    kind = serializers.CharField(help_text="wallet, tokens, rewards_escrow or rewards_available.")
    opening_usd = UsdOfNanos(source="opening")
    movements = MovementShown(many=True)
    closing_usd = UsdOfNanos(source="closing", help_text="Opening and movements together.")


class UsedShown(Shown):
    target = serializers.CharField()
    requests = serializers.IntegerField()
    input_tokens = serializers.IntegerField()
    output_tokens = serializers.IntegerField()
    charged_usd = UsdOfNanos(source="nanos")


class CorrectionShown(Shown):
    month = serializers.CharField(help_text="In which the requests were made, such as 2026-10.")
    requests = serializers.IntegerField()
    charged_usd = SignedUsdOfNanos(source="nanos", help_text="In addition; negative for what was given back.")


class StatementShown(Shown):
    object = Kind("billing_statement")
    id = serializers.CharField(source="row.public_id")
    number = serializers.CharField()
    month = serializers.SerializerMethodField(help_text="Such as 2026-11.")
    time_zone = serializers.CharField(source="row.zone")
    closed_at = serializers.DateTimeField(source="row.closed_at")
    accounts = AccountShown(source="document.accounts", many=True)
    usage = UsedShown(source="document.usage", many=True)
    corrections = CorrectionShown(source="document.corrections", many=True)

    def get_month(self, statement: monthly.Shown) -> str:
        return f"{statement.row.month:%Y-%m}"


class StatementRowShown(StatementShown):
    def to_representation(self, row: MonthlyStatement) -> dict[str, Any]:
        said: dict[str, Any] = super().to_representation(monthly.shown(row))
        return said


class StatementQuery(Query):
    format = serializers.ChoiceField(["json", "csv"], default="json")


class StatementsView(ResourceView):
    tag = "Billing"
    needs = {"GET": (Permission.VIEW_BILLING,)}

    @described("listStatements", "List statements", **list_of(StatementRowShown))
    def get(self, request: Request) -> Response:
        page = self.page(MonthlyStatement.objects.of(self.organization), ["-month", "-public_id"])
        return self.answered(page, StatementRowShown)


class StatementView(ResourceView):
    tag = "Billing"
    needs = {"GET": (Permission.VIEW_BILLING,)}

    @described(
        "getStatement",
        "Show a statement",
        query=StatementQuery,
        answer={
            (200, "application/json"): StatementRowShown,
            (200, "text/csv"): OpenApiResponse(
                str, description="The same figures; the first line names the columns."
            ),
        },
    )
    def get(self, request: Request, statement_id: str) -> Response | HttpResponse:
        """It never changes: what is put right later stands in a later one."""
        query = self.query(StatementQuery)
        row = self.find(MonthlyStatement.objects.of(self.organization), public_id=statement_id)
        if query["format"] == "json":
            return Response(StatementRowShown(row).data)
        return csv_download(f"statement-{row.month:%Y-%m}.csv", monthly.csv_rows(monthly.shown(row)))
