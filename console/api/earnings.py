"""`/earnings` and `/causes`: what machines earn, what becomes of it, what is doubted."""

from __future__ import annotations

from django.utils import timezone
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.errors import InvalidField
from accounts.roles import Permission
from billing.earnings import cases, causes, exposure, figures, programmes, recognition
from billing.earnings.maturity import matures_on
from billing.earnings.models import Case, Cause, Lot
from billing.earnings.trust import trust_of
from common.money import NANOS_PER_USD
from console.api.earning_shapes import (
    Answer,
    CaseShown,
    CauseShown,
    EarningsShown,
    LotShown,
    PreviewQuery,
    PreviewShown,
    PricesShown,
    RecognitionWishes,
)
from console.api.frame import ResourceView
from console.api.openapi import described, list_of
from console.api.programme_shapes import ProgrammeShown, ProgrammeWishes, divided

_SEE, _MANAGE = (Permission.VIEW_EARNINGS,), (Permission.MANAGE_EARNINGS,)


class _EarningsView(ResourceView):
    tag = "Earnings"
    needs = {"GET": _SEE}


class EarningsView(_EarningsView):
    @described("getEarnings", "Show earnings", answer=EarningsShown)
    def get(self, request: Request) -> Response:
        """Balances as in the ledger, trust and exposure by the published formulas, and when escrow matures."""
        now = timezone.now()
        shown = {
            "balances": figures.balances(self.organization),
            "trust": trust_of(self.organization, now),
            "exposure_percent": exposure.exposure_of(self.organization, now),
            "badges": list(recognition.badges_of(self.organization, now)),
            "maturing": figures.calendar(self.organization),
        }
        return Response(EarningsShown(shown).data)


class LotsView(_EarningsView):
    @described("listEarnings", "List earnings by machine, model and day", **list_of(LotShown))
    def get(self, request: Request) -> Response:
        lots = Lot.objects.of(self.organization)
        page = self.page(lots, ["-id"])
        names = figures.names_of(self.organization)
        return self.answered(page, LotShown, names=names, matures_on=matures_on)


class ProgrammeView(_EarningsView):
    needs = {"GET": _SEE, "PUT": _MANAGE}

    @described("getEarningsProgramme", "Show the programme", answer=ProgrammeShown)
    def get(self, request: Request) -> Response:
        return self._shown()

    @described(
        "setEarningsProgramme",
        "Choose a programme",
        body=ProgrammeWishes,
        answer=ProgrammeShown,
        sent={"rewards": 45, "exchange": 30, "mission": [{"cause": "trees-for-all", "share": 25}]},
    )
    def put(self, request: Request) -> Response:
        """It counts from the next settled request on."""
        programmes.choose(self.organization, self.actor, self.read(ProgrammeWishes))
        return self._shown()

    def _shown(self) -> Response:
        row = programmes.programme_of(self.organization)
        return Response(ProgrammeShown(row, context={"causes": programmes.weights_of(row)}).data)


class PreviewView(_EarningsView):
    @described("previewEarnings", "Preview a split", answer=PreviewShown, query=PreviewQuery)
    def get(self, request: Request) -> Response:
        """What of an amount goes where, exactly as settlement would divide one request of that price."""
        query = self.query(PreviewQuery)
        amount, weights = query.pop("amount_nanos", NANOS_PER_USD), _weights(query.pop("causes", ""))
        said = query | ({"causes": weights} if weights else {})
        choice, found = programmes.cleaned_choice(divided(said or {"rewards": 100}))
        shown = programmes.preview(choice, amount)
        donated = {found[id].slug: nanos for id, nanos in shown.share.donated.items()}
        return Response(PreviewShown(shown, context={"donated": donated}).data)


class RecognitionView(_EarningsView):
    needs = {"PUT": _MANAGE}

    @described(
        "setRecognition",
        "Be seen on the leaderboard, or not",
        body=RecognitionWishes,
        answer=ProgrammeShown,
        sent={"is_public": True, "public_name": "The Shed"},
    )
    def put(self, request: Request) -> Response:
        row = programmes.recognise(self.organization, self.actor, **self.read(RecognitionWishes))
        return Response(ProgrammeShown(row, context={"causes": programmes.weights_of(row)}).data)


class CasesView(_EarningsView):
    @described("listEarningsCases", "List doubted earnings", **list_of(CaseShown))
    def get(self, request: Request) -> Response:
        return self.listed(cases.cases_of(self.organization), CaseShown, ["-opened_at", "-id"])


class CaseView(_EarningsView):
    @described("getEarningsCase", "Show doubted earnings", answer=CaseShown)
    def get(self, request: Request, case_id: str) -> Response:
        return Response(CaseShown(self.find(cases.cases_of(self.organization), public_id=case_id)).data)


class CaseAnswerView(_EarningsView):
    needs = {"PUT": _MANAGE}

    @described(
        "answerEarningsCase",
        "Answer doubts",
        body=Answer,
        answer=CaseShown,
        sent={"answer": "We changed the vocabulary that day."},
    )
    def put(self, request: Request, case_id: str) -> Response:
        """May be changed until the case is decided."""
        case: Case = self.find(cases.cases_of(self.organization), public_id=case_id)
        cases.answer(case, self.actor, self.read(Answer)["answer"])
        return Response(CaseShown(self.find(cases.cases_of(self.organization), public_id=case_id)).data)


class PricesView(_EarningsView):
    @described("listNodePrices", "List prices of machines, with their history", answer=PricesShown)
    def get(self, request: Request) -> Response:
        """They are changed by `updateNode`, within these bounds."""
        models = figures.offered_models(self.organization)
        history = figures.price_history(models)
        rows = [{"model": model, "versions": history[-model.pk]} for model in models]
        return Response(PricesShown({"models": rows}).data)


class CausesView(_EarningsView):
    needs = {"GET": (Permission.VIEW,)}
    tag = "Causes"

    @described("listCauses", "List causes", **list_of(CauseShown))
    def get(self, request: Request) -> Response:
        return self.answered(self.page(Cause.objects.all(), ["slug"]), CauseShown, totals=causes.totals())


class CauseView(_EarningsView):
    needs = {"GET": (Permission.VIEW,)}
    tag = "Causes"

    @described("getCause", "Show a cause", answer=CauseShown)
    def get(self, request: Request, cause_id: str) -> Response:
        cause = self.find(Cause.objects.all(), slug=cause_id)
        return Response(CauseShown(cause, context={"totals": causes.totals()}).data)


def _weights(text: str) -> dict[str, int]:
    """Of `trees:2,wells:1`; a cause without a weight has 1."""
    found = {}
    for part in filter(None, (one.strip() for one in text.split(","))):
        slug, _colon, weight = part.partition(":")
        if not (weight or "1").isdecimal() or len(weight) > 3:
            raise InvalidField.one("causes", "Give causes as slug:weight, divided by commas.")
        found[slug] = int(weight or 1)
    return found
