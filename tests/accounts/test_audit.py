import threading
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from itertools import pairwise

import pytest
from django.db import connection, transaction
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from accounts import audit
from accounts.audit import Actor, Breach
from accounts.audit_values import MASK, storable
from accounts.models import AuditEvent, Organization


def nested(inner: st.SearchStrategy) -> st.SearchStrategy:
    """Has a name: Hypothesis parses the source of a lambda to tell of it, for which the stack may be too deep."""
    return st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4)


JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), nested, max_leaves=12)


def note(organization, after=None, actor=None, **more):
    with transaction.atomic():
        return audit.record(organization, actor or Actor.system(), "test.noted", "thing", "1", after=after, **more)


@contextmanager
def unprotected():
    """What only somebody can do who may do everything to the database."""
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("ALTER TABLE accounts_auditevent DISABLE TRIGGER audit_append_only")
        yield
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("ALTER TABLE accounts_auditevent ENABLE ALWAYS TRIGGER audit_append_only")


def plant(organization, sequence, **changes):
    with unprotected():
        assert AuditEvent.objects.of(organization).filter(sequence=sequence).update(**changes) == 1


def remove(organization, **lookup):
    with unprotected():
        AuditEvent.objects.of(organization).filter(**lookup).delete()


@pytest.fixture
def five(acme):
    """Five events: the founding and four more."""
    for number in range(4):
        note(acme, {"number": number})
    return acme


def test_an_untouched_chain_is_verified(five):
    report = audit.verify(five)
    assert (report.ok, report.events, report.breach) == (True, 5, None)
    assert report.head == bytes(AuditEvent.objects.of(five).get(sequence=5).digest)


def test_each_event_holds_the_digest_before(five):
    events = list(AuditEvent.objects.of(five).order_by("sequence"))
    assert bytes(events[0].previous_digest) == audit.GENESIS
    for earlier, later in pairwise(events):
        assert bytes(later.previous_digest) == bytes(earlier.digest)


@pytest.mark.parametrize(
    "changes",
    [
        {"after": {"number": 7}},
        {"before": {}},
        {"actor_label": "mallory"},
        {"action": "test.other"},
        {"object_id": "2"},
        {"object_label": "x"},
        {"ip": "203.0.113.9"},
        {"user_agent": "x"},
        {"public_id": "evt_x"},
        {"at": datetime(2020, 1, 1, tzinfo=UTC)},
        {"previous_digest": bytes(32)},
        {"digest": bytes(32)},
    ],
)
def test_a_planted_edit_is_found(five, changes):
    plant(five, 3, **changes)
    assert audit.verify(five).breach == Breach(3, "edited")


def test_an_edit_with_its_digest_recomputed_is_found_at_the_next_event(five):
    event = AuditEvent.objects.of(five).get(sequence=3)
    event.after = {"number": 7}
    plant(five, 3, after=event.after, digest=audit.digest(event))
    assert audit.verify(five).breach == Breach(4, "moved")


def test_a_removed_event_is_found(five):
    remove(five, sequence=3)
    assert audit.verify(five).breach == Breach(3, "gap")


def test_a_chain_cut_off_at_its_end_is_found(five):
    remove(five, sequence__gte=4)
    assert audit.verify(five).breach == Breach(4, "cut off")


def test_a_chain_removed_altogether_is_found(five):
    remove(five)
    assert audit.verify(five).breach == Breach(1, "cut off")


def test_a_forged_last_event_is_found(five):
    event = AuditEvent.objects.of(five).get(sequence=5)
    event.after = {"number": 7}
    plant(five, 5, after=event.after, digest=audit.digest(event))
    assert audit.verify(five).breach == Breach(6, "cut off")


def test_chains_of_organizations_are_apart(five, rival):
    plant(five, 3, after={})
    assert not audit.verify(five).ok
    assert audit.verify(rival).ok


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example(after={"minus zero": -0.0, "large": 1e16, "larger": 1e300, "tiny": 5e-324, "big": 2**63}, label="\ud800\x00")
@given(after=st.dictionaries(st.text(), JSON, max_size=4), label=st.text(max_size=300))
def test_whatever_is_recorded_is_verified_after_the_round_trip(acme, after, label):
    note(acme, after, label=label)
    assert audit.verify(acme).ok


@pytest.mark.parametrize(
    ("given_ip", "kept"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:DB8:0::1", "2001:db8::1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("::192.0.2.1", "::192.0.2.1"),
        ("fe80::1%eth0", "fe80::1"),
        ("unix:", None),
        ("", None),
        (None, None),
    ],
)
def test_addresses_have_one_spelling(acme, given_ip, kept):
    event = note(acme, actor=Actor("user", "1", "x", given_ip))
    event.refresh_from_db()
    assert event.ip == kept
    assert audit.verify(acme).ok


def test_long_texts_fit(acme):
    event = note(acme, actor=Actor.of_user(acme.memberships.get().user, None, "u" * 900), label="l" * 900)
    event.refresh_from_db()
    assert (len(event.user_agent), len(event.object_label)) == (300, 254)


def test_an_event_is_gone_with_its_change(acme):
    with transaction.atomic():
        note(acme)
        transaction.set_rollback(True)
    assert AuditEvent.objects.of(acme).count() == 1
    assert audit.verify(acme).ok


@pytest.mark.django_db(transaction=True)
def test_events_written_at_the_same_time_make_one_chain(acme):
    start = threading.Barrier(6)

    def write() -> None:
        start.wait()
        for number in range(5):
            note(Organization(pk=acme.pk), {"number": number})
        connection.close()

    threads = [threading.Thread(target=write) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    report = audit.verify(acme)
    assert (report.ok, report.events) == (True, 31)


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        ({"secret": "x"}, {"secret": MASK}),
        ({"api_keys": ["a", "b"]}, {"api_keys": MASK}),
        ({"Authorization": "Bearer x"}, {"Authorization": MASK}),
        ({"password": ""}, {"password": ""}),
        ({"token_hash": b"x"}, {"token_hash": MASK}),
        ({"max_tokens": 100, "has_secret": True}, {"max_tokens": 100, "has_secret": True}),
        ({"deep": {"list": [{"secret": "x"}]}}, {"deep": {"list": [{"secret": MASK}]}}),
        ({"names": {"b", "a"}, "pair": (1, 2)}, {"names": ["a", "b"], "pair": [1, 2]}),
        ({"at": datetime(2027, 1, 1, tzinfo=UTC)}, {"at": "2027-01-01T00:00:00+00:00"}),
        ({"price": Decimal("0.10")}, {"price": "0.10"}),
        ({"n": 2**70, "f": 1e20, "inf": float("inf")}, {"n": str(2**70), "f": "1e+20", "inf": "inf"}),
        ({1: "a\x00b"}, {"1": "a�b"}),
        (None, None),
    ],
)
def test_values_become_plain_and_without_secrets(value, kept):
    assert storable(value) == kept
