"""Earnings as rows, for tests of who may see and change them. No money stands behind these."""

from __future__ import annotations

from datetime import timedelta

from django.utils import timezone

from billing.earnings.models import Case, Lot
from common.ids import new_id
from nodes.models import NodeModel


def doubted_lot(model: NodeModel) -> Case:
    now = timezone.now()
    lot = Lot.objects.create(
        org=model.org, target_id=-model.pk, day=now.date(), requests=1, input_tokens=10, output_tokens=5, paid=10,
        earned=7, escrow=7,
    )  # fmt: skip
    return Case.objects.create(
        org=model.org, public_id=new_id("case"), lot=lot, node=model.node, upstream_id=model.upstream_id,
        opened_at=now, answer_until=now + timedelta(days=7),
    )  # fmt: skip
