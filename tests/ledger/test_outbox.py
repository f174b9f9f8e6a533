import pytest
from django.db import connection, transaction

from ledger.models import OutboxMessage
from ledger.outbox import announce, deliver


def say(topic: str, **payload) -> None:
    with connection.cursor() as cursor:
        announce(cursor, topic, payload)


def test_messages_come_in_order_and_once(db):
    say("credited", amount=1)
    say("credited", amount=2)
    heard: list[OutboxMessage] = []
    assert deliver(heard.append, most=1) == 1
    assert deliver(heard.append) == 1
    assert deliver(heard.append) == 0
    assert [(message.topic, message.payload) for message in heard] == [
        ("credited", {"amount": 1}),
        ("credited", {"amount": 2}),
    ]


def test_what_was_rolled_back_is_not_told(db):
    with transaction.atomic():
        say("credited")
        transaction.set_rollback(True)
    assert deliver(lambda _: None) == 0


def test_what_could_not_be_handled_comes_again(db):
    say("credited")

    def fail(message: OutboxMessage) -> None:
        raise ConnectionError

    with pytest.raises(ConnectionError):
        deliver(fail)
    assert deliver(lambda _: None) == 1
