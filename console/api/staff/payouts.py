"""`/staff/payouts` and `/staff/banks`: what is paid by bank, and the banks that are to be checked."""

from __future__ import annotations

from dataclasses import asdict

from django.db.models import QuerySet
from rest_framework.request import Request
from rest_framework.response import Response

from billing import bank_payouts, payees
from billing.models import Payee, Payout
from console.api.idempotency import idempotent
from console.api.pages import page_of_rows
from console.api.staff.access import StaffView
from console.api.staff.shapes import BankPayoutShown, BankShown, Failed, Judgement, Paid, PayoutsQuery

POST = frozenset({"POST"})


def by_bank() -> QuerySet[Payout]:
    frozen = Payout.objects.filter(method=Payee.BANK, batch__frozen_at__isnull=False)
    return frozen.select_related("org", "batch")


def banks() -> QuerySet[Payee]:
    return Payee.objects.filter(method=Payee.BANK, sealed__isnull=False).select_related("org")


class PayoutsView(StaffView):
    methods = frozenset({"GET"})

    def get(self, request: Request) -> Response:
        query = self.query(PayoutsQuery)
        rows = by_bank().filter(state=query["state"]) if "state" in query else by_bank()
        page = page_of_rows(rows, ["-id"], query.get("cursor"), query["limit"], self.mark())
        return self.answered(page, BankPayoutShown)


class PayoutFileView(StaffView):
    methods = proof = POST

    @idempotent
    def post(self, request: Request) -> Response:
        """What the bank is to pay, with the accounts in full. What is in it counts as on its way; asked again, it
        holds the same and more."""
        rows = bank_payouts.rows(actor=self.actor)
        return Response(
            {"object": "bank_file", "data": [dict(zip(bank_payouts.COLUMNS, row, strict=True)) for row in rows]}
        )


class _PayoutView(StaffView):
    methods = proof = POST

    def answered_of(self, payout_id: str) -> Response:
        return Response(BankPayoutShown(self.find(by_bank(), public_id=payout_id)).data)


class PayoutPaidView(_PayoutView):
    @idempotent
    def post(self, request: Request, payout_id: str) -> Response:
        """The bank has paid it, by this reference."""
        self.find(by_bank(), public_id=payout_id)
        bank_payouts.confirm(payout_id, self.read(Paid)["reference"], self.actor)
        return self.answered_of(payout_id)


class PayoutFailedView(_PayoutView):
    @idempotent
    def post(self, request: Request, payout_id: str) -> Response:
        """It never went out, or was booked as paid and came back: its money is payable again."""
        was_paid = self.find(by_bank(), public_id=payout_id).state == Payout.PAID
        end = bank_payouts.came_back if was_paid else bank_payouts.send_back
        end(payout_id, self.read(Failed)["reason"], self.actor)
        return self.answered_of(payout_id)


class PayoutPutBackView(_PayoutView):
    proof = frozenset()

    @idempotent
    def post(self, request: Request, payout_id: str) -> Response:
        """The bank never got the file: it waits again, and comes into the next one."""
        self.find(by_bank(), public_id=payout_id)
        bank_payouts.put_back(payout_id, self.actor)
        return self.answered_of(payout_id)


class BanksView(StaffView):
    methods = frozenset({"GET"})

    def get(self, request: Request) -> Response:
        """Those that nobody has found right yet, without their accounts."""
        return self.listed(banks().filter(state=Payee.INCOMPLETE), BankShown, ["id"])


class BankView(StaffView):
    methods = proof = frozenset({"GET"})

    def get(self, request: Request, organization_id: str) -> Response:
        """In full; the organisation finds in its audit log who has read it."""
        payee = self.find(banks(), org__public_id=organization_id)
        details = asdict(payees.read_bank(payee, self.actor))
        return Response({**BankShown(payee).data, **details, "seen": payees.seen_of(payee)})


class BankJudgementView(StaffView):
    methods = proof = POST

    @idempotent
    def post(self, request: Request, organization_id: str) -> Response:
        payee = self.find(banks(), org__public_id=organization_id)
        said = self.read(Judgement)
        problem = "" if said["is_right"] else said["problem"].strip()
        payees.verify(payee.org, self.actor, is_right=said["is_right"], problem=problem, seen=said.get("seen"))
        return Response(BankShown(self.find(banks(), org__public_id=organization_id)).data)
