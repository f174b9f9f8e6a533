"""The same POST sent twice acts once; see the module `idempotency`."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import connection, transaction
from django.http import HttpResponse

from accounts.keys import create_key
from accounts.models import ApiKey, AuditEvent, Organization
from common.secrets import KeyRing, generate_entry
from console.api import idempotency
from console.api.models import KeptAnswer
from console.api.tasks import expire_kept_answers
from tests.console.api.conftest import Api, error_of, manager_of, refused

pytestmark = pytest.mark.django_db

BODY = {"name": "Production"}


def post(api: Api, key: str = "order-1", body: object = BODY, path: str = "keys") -> HttpResponse:
    return api.post(path, body, Idempotency_Key=key)


def made(organization: Organization, name: str = "Production") -> int:
    return ApiKey.objects.of(organization).filter(name=name).count()


def test_a_repeated_request_gets_the_first_answer_and_does_nothing(api, acme):
    first, second = post(api), post(api)
    assert (first.status_code, second.status_code) == (201, 201)
    assert first.json() == second.json()
    assert first.json()["key"].startswith("sk-sai-")
    assert ("Idempotent-Replayed" in first, second["Idempotent-Replayed"]) == (False, "true")
    assert made(acme) == 1
    assert AuditEvent.objects.of(acme).filter(action="api_key.created", object_label="Production").count() == 1


def test_without_a_key_every_request_acts(api, acme):
    assert api.post("keys", BODY).json()["id"] != api.post("keys", BODY).json()["id"]
    assert made(acme) == 2


def test_the_order_of_fields_is_no_difference(api, acme):
    assert post(api, body=b'{"name":"Production","scopes":["inference"]}').status_code == 201
    assert post(api, body=b'{ "scopes":["inference"], "name":"Production" }').status_code == 201
    assert made(acme) == 1


def test_another_body_under_the_same_key_is_refused(api, acme):
    post(api)
    response = post(api, body={"name": "Other"})
    assert refused(response, 409, "idempotency_key_reused")
    assert response["x-should-retry"] == "false"
    assert made(acme, "Other") == 0


def test_the_key_counts_for_one_address(api):
    made_key = post(api).json()
    assert post(api, path=f"keys/{made_key['id']}/rotate", body={}).status_code == 201


def test_somebody_elses_request_under_the_same_key_is_another_request(api, acme, alice, rival_api, rival):
    """Else a colleague, or a stranger, who guesses the key would be given the secret in the answer."""
    first = post(api).json()["key"]
    colleague = post(manager_of(acme, alice, "Second")).json()["key"]
    stranger = post(rival_api).json()["key"]
    assert len({first, colleague, stranger}) == 3
    assert (made(acme), made(rival)) == (2, 1)


def test_who_lost_the_right_is_refused_before_the_answer_is_repeated(acme, alice, as_alice):
    manager = create_key(acme, as_alice, name="Manager", scopes=["manage"], created_by=None)
    api = Api(Authorization=f"Bearer {manager.plain}")
    post(api)
    ApiKey.objects.filter(pk=manager.key.pk).update(scopes=["inference"])
    assert refused(post(api), 403, "permission_refused")


def test_a_refused_request_may_be_corrected_under_the_same_key(api, acme):
    assert refused(post(api, body={"name": ""}), 400, "invalid_request", "name")
    assert post(api).status_code == 201


@pytest.mark.parametrize("key", ["x" * 256, "ключ", ""])
def test_a_key_that_is_none_is_refused(api, key):
    assert refused(post(api, key), 400, "invalid_request", "Idempotency-Key")


def test_the_secret_in_a_kept_answer_is_sealed_and_bound_to_its_place(api, acme, rival):
    secret = post(api).json()["key"].encode()
    kept = KeptAnswer.objects.get()
    assert secret not in bytes(kept.sealed)
    KeptAnswer.objects.filter(pk=kept.pk).update(scope=bytes(32))
    elsewhere = KeptAnswer.objects.get()
    with pytest.raises(idempotency.SecretsError):
        idempotency._ring().open(bytes(elsewhere.sealed), idempotency._aad(elsewhere.org_id, bytes(elsewhere.scope)))


def test_an_answer_that_can_no_longer_be_opened_is_never_made_twice(api, acme, monkeypatch):
    post(api)
    monkeypatch.setattr(idempotency, "_ring", lambda: KeyRing.parse(generate_entry(2)))
    assert refused(post(api), 409, "idempotency_key_reused")
    assert made(acme) == 1


def age_answers() -> None:
    for kept in KeptAnswer.objects.all():
        KeptAnswer.objects.filter(pk=kept.pk).update(created_at=kept.created_at - timedelta(days=1))


def test_after_a_day_the_key_is_free_again(api, acme):
    post(api)
    age_answers()
    assert post(api).status_code == 201
    assert made(acme) == 2


def test_old_answers_are_deleted(api):
    post(api)
    post(api, "order-2")
    age_answers()
    post(api, "order-3")
    assert KeptAnswer.objects.count() == 1
    age_answers()
    expire_kept_answers()
    assert not KeptAnswer.objects.exists()


def apart(work: Callable[[], HttpResponse]) -> HttpResponse:
    """In a thread with a database connection of its own, which a thread must close itself."""
    try:
        return work()
    finally:
        connection.close()


@pytest.mark.django_db(transaction=True)
def test_duplicates_at_the_same_time_act_once(acme, alice):
    api = manager_of(acme, alice)
    together = threading.Barrier(6)

    def send() -> HttpResponse:
        together.wait()
        return post(Api(**api.headers))

    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda _number: apart(send), range(6)))
    good = [answer.json() for answer in answers if answer.status_code == 201]
    assert good
    assert all(answer == good[0] for answer in good)
    assert all(refused(answer, 409, "idempotency_in_progress") for answer in answers if answer.status_code != 201)
    assert made(acme) == 1


@pytest.mark.django_db(transaction=True)
def test_while_the_first_is_served_the_second_is_told_to_come_again(acme, alice):
    api = manager_of(acme, alice)
    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            Organization.objects.select_for_update().get(pk=acme.pk)  # the first cannot finish before this ends
            first = pool.submit(apart, lambda: post(Api(**api.headers)))
            wait_until_blocked_by_this(first)
            second = post(Api(**api.headers))
            assert refused(second, 409, "idempotency_in_progress")
            assert (second["x-should-retry"], second["retry-after"]) == ("true", "1")
            assert not first.done()
        answer = first.result().json()
    assert post(Api(**api.headers)).json() == answer
    assert made(acme) == 1


def wait_until_blocked_by_this(other: Future[HttpResponse]) -> None:
    """The advisory lock is taken before the organisation's row is asked for."""
    waiting = False
    while not waiting:
        assert not other.done(), other.result().content
        with connection.cursor() as cursor:
            blocked = "SELECT EXISTS (SELECT FROM pg_locks WHERE pg_backend_pid() = ANY(pg_blocking_pids(pid)))"
            cursor.execute(blocked)
            [waiting] = cursor.fetchone()


@pytest.mark.django_db(transaction=True)
def test_what_dies_in_between_leaves_neither_act_nor_answer(acme, alice, monkeypatch):
    api = manager_of(acme, alice)

    def die(*_anything: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(idempotency, "_keep", die)
    with pytest.raises(KeyboardInterrupt):
        post(api)
    assert made(acme) == 0
    monkeypatch.undo()
    assert post(api).status_code == 201
    assert error_of(post(api, body={"name": "x"}))["code"] == "idempotency_key_reused"
