import pytest
import redis
from django.conf import settings

from accounts import events, keys
from accounts.models import Organization
from common.ids import new_id


@pytest.fixture
def subscription(monkeypatch):
    """To a channel of its own: databases of one Redis share their channels, and so do workers of a test run."""
    monkeypatch.setattr(events, "CHANNEL", new_id("channel"))
    client = redis.Redis.from_url(settings.REDIS_URL)
    with client.pubsub(ignore_subscribe_messages=True) as listening:
        listening.subscribe(events.CHANNEL)
        listening.get_message(timeout=5)
        yield listening
    client.close()


@pytest.mark.django_db(transaction=True)
def test_a_committed_change_is_published(acme, as_alice, subscription):
    keys.create_key(acme, as_alice, name="k", scopes=["inference"], created_by=None)
    published = {subscription.get_message(timeout=5)["data"]}
    assert published == {str(acme.pk).encode()}


@pytest.fixture
def redis_away(settings):
    settings.REDIS_URL = "unix:///nowhere/redis.sock"
    events.client.cache_clear()
    yield
    events.client.cache_clear()


def test_redis_away_does_not_stop_the_change(acme, as_alice, redis_away, django_capture_on_commit_callbacks, caplog):
    before = Organization.objects.get(pk=acme.pk).version
    with django_capture_on_commit_callbacks(execute=True):
        keys.create_key(acme, as_alice, name="k", scopes=["inference"], created_by=None)
    assert Organization.objects.get(pk=acme.pk).version == before + 1
    assert "could not publish" in caplog.text
