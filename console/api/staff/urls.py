"""The addresses below `/api/v1/staff/`."""

from __future__ import annotations

from django.urls import path

from console.api.staff import cases, concerns, payouts, prices

_PAYOUT = "payouts/<slug:payout_id>"
_BANK = "banks/<slug:organization_id>"

urlpatterns = [
    path("prices", prices.PricesView.as_view()),
    path("prices/<slug:model_id>", prices.PriceView.as_view()),
    path("cases", cases.CasesView.as_view()),
    path("cases/<slug:case_id>", cases.CaseView.as_view()),
    path("cases/<slug:case_id>/verdict", cases.CaseVerdictView.as_view()),
    path("payouts", payouts.PayoutsView.as_view()),
    path("payouts/file", payouts.PayoutFileView.as_view()),
    path(f"{_PAYOUT}/paid", payouts.PayoutPaidView.as_view()),
    path(f"{_PAYOUT}/failed", payouts.PayoutFailedView.as_view()),
    path(f"{_PAYOUT}/put-back", payouts.PayoutPutBackView.as_view()),
    path("banks", payouts.BanksView.as_view()),
    path(_BANK, payouts.BankView.as_view()),
    path(f"{_BANK}/judgement", payouts.BankJudgementView.as_view()),
    path("concerns", concerns.ConcernsView.as_view()),
    path("concerns/<int:concern_id>/done", concerns.ConcernDoneView.as_view()),
]
