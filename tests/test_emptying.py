"""What tests commit is gone after them, whatever rules guard it; what came with the tables stays."""

from __future__ import annotations

import pytest
from django.contrib.contenttypes.models import ContentType
from django.db import connection
from django.test import TransactionTestCase

from accounts.models import AuditEvent, Organization
from ledger import kinds
from ledger.chart import ensure_account
from ledger.drafts import Draft
from ledger.models import Entry, Transfer
from ledger.transfers import post
from tests.emptying import _tables, empty_tables


def rows() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT " + " + ".join(f"(SELECT count(*) FROM {table})" for table in _tables()))
        return cursor.fetchone()[0]


@pytest.mark.django_db(transaction=True)
def test_everything_is_removed_but_what_came_with_the_tables(acme):
    promo, wallet = ensure_account(kinds.PROMO), ensure_account(kinds.WALLET, acme)
    post(Draft("gift", "credit", {promo.pk: -5, wallet.pk: 5}))
    assert all(model.objects.exists() for model in (Organization, AuditEvent, Transfer, Entry))
    types = ContentType.objects.count()
    empty_tables(TransactionTestCase())
    assert rows() == 0
    assert ContentType.objects.count() == types > 0
    empty_tables(TransactionTestCase())  # again, where there is nothing
    assert rows() == 0


@pytest.mark.django_db(transaction=True)
def test_the_rules_hold_again_afterwards():
    with connection.cursor() as cursor:
        cursor.execute("SHOW session_replication_role")
        assert cursor.fetchone() == ("origin",)
