"""What a provider's pages say of its health, and what people may do about it there."""

from __future__ import annotations

from datetime import timedelta

import pytest
from asgiref.sync import sync_to_async
from django.urls import reverse
from django.utils import timezone

from console.health import Health, vitals_of
from providers import keypool
from providers.alerts import raise_alert, resolve_alerts
from providers.models import Alert, Connection, HealthChange, Pulse
from providers.pulses import note_change
from routing.health_control import hold_open
from routing.health_news import Told
from routing.health_rows import write_breakers
from tests.console.pages.conftest import answered, failed, record
from tests.console.pages.test_live import astream_of, next_event

pytestmark = pytest.mark.django_db


def state(acme, connection) -> Health:
    connection = Connection.objects.prefetch_related("keys").get(pk=connection.pk)
    return vitals_of(acme, [connection])[connection.pk].state


def pulse_says(connection, state: str, reason: str = "", since=None) -> Pulse:
    now = timezone.now()
    Pulse.objects.filter(connection=connection).delete()
    return Pulse.objects.create(
        org=connection.org, connection=connection, state=state, reason=reason, since=since or now, looked_at=now,
        next_at=now + timedelta(seconds=30), down_until=now + timedelta(minutes=1),
    )  # fmt: skip


def breaker_opens(connection, index: int = 0) -> None:
    model = connection.served_models.order_by("kind")[index]
    key = connection.keys.get()
    write_breakers([Told(model.pk, key.pk, timezone.now().timestamp() + 60, "server_error")])


def test_probes_tell_where_there_is_no_traffic(acme, connection):
    assert state(acme, connection) is Health.UNKNOWN
    pulse_says(connection, Pulse.UP)
    assert state(acme, connection) is Health.HEALTHY
    pulse_says(connection, Pulse.DOWN, "refused")
    assert state(acme, connection) is Health.DOWN


def test_one_model_of_two_out_of_use_is_trouble_and_both_are_down(acme, connection):
    breaker_opens(connection)
    assert state(acme, connection) is Health.DEGRADED
    breaker_opens(connection, 1)
    assert state(acme, connection) is Health.DOWN


def test_what_a_person_took_out_of_use_is_no_trouble(acme, as_alice, connection):
    pulse_says(connection, Pulse.UP)
    for model, expected in zip(
        connection.served_models.select_related("connection"), (Health.HEALTHY, Health.HELD), strict=True
    ):
        hold_open(acme, as_alice, model)
        assert state(acme, connection) is expected


def test_failures_before_the_return_count_no_more(acme, connection, key):
    record(acme, key, 60, attempts=[failed("aurora/demo-chat"), answered("borealis/demo-chat")])
    assert state(acme, connection) is Health.DOWN
    pulse_says(connection, Pulse.UP, since=timezone.now() - timedelta(minutes=10))
    assert state(acme, connection) is Health.DOWN, "it answered probes before and while it failed"
    pulse_says(connection, Pulse.UP)
    assert state(acme, connection) is Health.HEALTHY


@pytest.mark.parametrize("language", ["en", "th"])
def test_the_page_says_what_is_down_since_when_and_why(as_browser, alice, acme, connection, language):
    note_change(pulse_says(connection, Pulse.UP), Pulse.DOWN, "refused", "Nothing listens at api.openai.com.")
    pulse_says(connection, Pulse.DOWN, "refused")
    shown = as_browser(alice, language).get(reverse("providers-detail", args=[connection.public_id]))
    said = "nothing listens there" if language == "en" else "ไม่มีโปรแกรมใดรอรับ"
    assert shown.content.decode().count(said) >= 3, "of the provider, its models and in the history"


def test_a_model_is_taken_out_of_use_and_reset_by_buttons(as_browser, alice, acme, connection):
    browser = as_browser(alice)
    page = reverse("providers-detail", args=[connection.public_id])
    model = connection.served_models.get(model_id="demo-chat")
    address = reverse("providers-model-health", args=[connection.public_id, model.public_id])
    assert "Out of use by hand" in browser.post(address, {"wish": "hold"}, follow=True).content.decode()
    shown = browser.post(address, {"wish": "reset"}, follow=True).content.decode()
    assert "is in use again" in shown
    assert [*HealthChange.objects.order_by("pk").values_list("after", flat=True)] == ["held_open", "closed"]
    assert browser.get(page).status_code == 200


def test_who_may_only_look_has_no_such_button(as_browser, carol, acme, connection):
    browser = as_browser(carol)
    assert (
        "Take out of use"
        not in browser.get(reverse("providers-detail", args=[connection.public_id])).content.decode()
    )
    model = connection.served_models.first()
    address = reverse("providers-model-health", args=[connection.public_id, model.public_id])
    assert browser.post(address, {"wish": "hold"}).status_code == 403
    assert not HealthChange.objects.exists()


def test_anothers_model_is_not_there(as_browser, mallory, rival, connection):
    model = connection.served_models.first()
    address = reverse("providers-model-health", args=[connection.public_id, model.public_id])
    assert as_browser(mallory).post(address, {"wish": "hold"}).status_code == 404
    assert not HealthChange.objects.exists()


def test_of_the_platforms_provider_codes_are_told_but_no_details(as_browser, alice, acme, connection):
    Connection.objects.filter(pk=connection.pk).update(enabled=False)
    platform = Connection.objects.create(public_id="conn_p", slug="p", name="P", base_url="https://p.example/v1")
    note_change(pulse_says(platform, Pulse.UP), Pulse.DOWN, "server_error", "internal-host-17 failed")
    shown = as_browser(alice).get(reverse("providers-detail", args=["conn_p"])).content.decode()
    assert "server error" in shown
    assert "internal-host-17" not in shown


def test_the_fragment_brings_all_live_parts(as_browser, alice, acme, connection):
    page = reverse("providers-detail", args=[connection.public_id])
    shown = as_browser(alice).get(page, headers={"HX-Request": "true"}).content.decode()
    for part in ("provider-models", "provider-keys", "provider-changes"):
        assert f'id="{part}" hx-swap-oob="true"' in shown
    assert "<html" not in shown


@pytest.mark.django_db(transaction=True)
async def test_a_change_of_health_is_told_live(monkeypatch, alice, acme, connection):
    monkeypatch.setattr("console.live.TICK_S", 0.01)
    stream = await astream_of(alice, acme, "health")
    await anext(stream)
    await sync_to_async(breaker_opens)(connection)
    assert await next_event(stream) == "health"
    await stream.aclose()


def test_who_may_act_is_told_on_every_page_until_it_is_over(
    as_browser, alice, carol, mallory, rival, acme, connection
):
    raise_alert(connection, Alert.DOWN, reason="refused")
    said = "Aurora does not answer: nothing listens there."
    for name in ("home", "keys", "providers"):
        assert said in as_browser(alice).get(reverse(name)).content.decode()
    assert said in as_browser(alice).get(reverse("home"), headers={"HX-Request": "true"}).content.decode()
    assert said not in as_browser(carol).get(reverse("home")).content.decode()
    assert said not in as_browser(mallory).get(reverse("home")).content.decode()
    resolve_alerts(connection, Alert.DOWN)
    assert said not in as_browser(alice).get(reverse("home")).content.decode()


def test_a_parked_key_says_when_it_is_tried_again(as_browser, alice, acme, connection):
    keypool.park_refused_key(connection.keys.get().public_id)
    shown = as_browser(alice).get(reverse("providers-detail", args=[connection.public_id])).content.decode()
    assert "refused by the provider" in shown
    assert "It is parked and tried again from time to time." in shown
