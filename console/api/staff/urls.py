"""The addresses below `/api/v1/staff/`."""

from __future__ import annotations

from django.urls import path

from console.api.staff import audit, cases, causes, concerns, payouts, prices, vouchers

_PAYOUT = "payouts/<slug:payout_id>"
_BANK = "banks/<slug:organization_id>"
_VOUCHER, _CAUSE = "vouchers/<slug:voucher_id>", "causes/<slug:cause_id>"

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
    path("vouchers", vouchers.VouchersView.as_view()),
    path(_VOUCHER, vouchers.VoucherView.as_view()),
    path(f"{_VOUCHER}/withdraw", vouchers.VoucherWithdrawView.as_view()),
    path(f"{_VOUCHER}/offer", vouchers.VoucherOfferView.as_view()),
    path("voucher-batches/<slug:batch>/withdraw", vouchers.VoucherBatchWithdrawView.as_view()),
    path("voucher-uses", vouchers.VoucherUsesView.as_view()),
    path("causes", causes.CausesView.as_view()),
    path(_CAUSE, causes.CauseView.as_view()),
    path(f"{_CAUSE}/close", causes.CauseCloseView.as_view()),
    path(f"{_CAUSE}/reopen", causes.CauseReopenView.as_view()),
    path(f"{_CAUSE}/payments", causes.CausePaymentsView.as_view()),
    path("audit-events", audit.AuditEventsView.as_view()),
    path("audit-events/file", audit.AuditFileView.as_view()),
    path("audit-events/verify", audit.AuditVerificationView.as_view()),
    path("ledger-proof", audit.LedgerProofView.as_view()),
]
