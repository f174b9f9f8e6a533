"""`/staff/prices`: the price book of the platform."""

from __future__ import annotations

from rest_framework.request import Request
from rest_framework.response import Response

from billing.models import PriceVersion
from console.api.staff.access import StaffView
from console.api.staff.shapes import PriceWishes, SoldModelShown, VersionShown
from console.pages.price_book import sold_models
from providers import services
from providers.models import ServedModel


class PricesView(StaffView):
    methods = frozenset({"GET"})

    def get(self, request: Request) -> Response:
        return self.listed(sold_models(), SoldModelShown, ["id"])


class PriceView(StaffView):
    methods = frozenset({"GET", "PATCH"})

    def get(self, request: Request, model_id: str) -> Response:
        """With every version of its price, the newest first."""
        return self._answered(self.find(sold_models(), public_id=model_id))

    def patch(self, request: Request, model_id: str) -> Response:
        """Holds from the next request on; what was charged is corrected by `manage.py rerate`."""
        model = self.find(sold_models(), public_id=model_id)
        services.update_model(model, self.actor, self.read(PriceWishes))
        return self._answered(self.find(sold_models(), public_id=model_id))

    def _answered(self, model: ServedModel) -> Response:
        versions = PriceVersion.objects.filter(target_id=model.pk).order_by("-version")
        return Response({**SoldModelShown(model).data, "versions": VersionShown(versions, many=True).data})
