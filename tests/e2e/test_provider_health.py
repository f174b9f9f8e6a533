"""The health of providers in a real browser, with Celery's own worker and beat: an outage is seen as it happens."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta

import httpx
import pytest
from django.utils import timezone
from playwright.sync_api import expect

from accounts.keys import create_key
from providers import keypool
from providers.alerts import raise_alert
from providers.models import Alert, Connection, HealthChange, ProbeDay, Pulse
from routing import health_control
from tests.e2e.conftest import keep, overflows, violations
from tests.fakes.upstream import killed

LOOKS = (("light", "en"), ("dark", "en"), ("light", "th"), ("dark", "th"))
SEEN_WITHIN_MS = 40_000


@pytest.fixture
def celery(gateway, tenant, tmp_path) -> Iterator[None]:
    """A worker that is its own beat, and probes every second and a half."""
    Connection.objects.exclude(org=tenant.org).update(enabled=False)  # what other tests left behind
    words = ["-A", "console.celery", "worker", "-B", "--pool=threads", "--concurrency=2", "--loglevel=WARNING"]
    words += ["--without-gossip", "--without-mingle", f"--schedule={tmp_path / 'beat'}"]
    environment = gateway._environment | {"PROBE_INTERVAL_S": "1.5"}
    with (tmp_path / "celery.log").open("wb") as log:
        process = subprocess.Popen([sys.executable, "-m", "celery", *words], env=environment, stdout=log, stderr=log)
        yield
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def test_an_outage_and_its_end_are_seen_without_a_reload_and_by_the_api(page, sign_in, tenant, upstreams, celery):
    made = create_key(tenant.org, tenant.actor, name="Watch", scopes=["manage"], created_by=None)
    sign_in()
    page.goto("/providers")
    page.evaluate("window.sameDocument = true")
    row = page.get_by_role("row").filter(has_text="Upstream a")
    expect(row).to_contain_text("Healthy", timeout=SEEN_WITHIN_MS)
    detail = page.context.new_page()
    detail.goto(f"/providers/{tenant.connections[0].public_id}")

    def told() -> tuple[str, set[str]]:
        api = httpx.Client(base_url=page.url.replace("/providers", "/api/v1"), headers={"x-api-key": made.plain})
        provider = api.get(f"providers/{tenant.connections[0].public_id}").json()
        targets = api.get("targets").json()["data"]
        return provider["status"], {one["state"] for one in targets if one["provider"] == "upstream-a"}

    with killed(upstreams[0]):
        expect(row).to_contain_text("nothing listens there", timeout=SEEN_WITHIN_MS)
        expect(page.locator("#notices")).to_contain_text("Upstream a does not answer")
        assert told() == ("down", {"probe_failed"})
        detail.bring_to_front()
        expect(detail.locator("#provider-models")).to_contain_text("Does not answer", timeout=SEEN_WITHIN_MS)
        expect(detail.locator("#provider-changes")).to_contain_text("Does not answer")
        page.bring_to_front()
    expect(row).to_contain_text("Healthy", timeout=SEEN_WITHIN_MS)
    expect(page.locator("#notices")).not_to_contain_text("Upstream a")
    assert told() == ("healthy", {"closed"})
    assert page.evaluate("window.sameDocument") is True


@pytest.fixture
def eventful(tenant) -> Connection:
    """Ninety days with two outages, a model out of use, a parked key and open alerts."""
    connection, now = tenant.connections[0], timezone.now()
    for days_ago in range(80):
        day = (now - timedelta(days=days_ago)).date()
        ProbeDay.objects.create(org=tenant.org, connection=connection, day=day, succeeded=120, failed=days_ago % 9)
    for days_ago, hours in ((50, 2), (12, 9)):
        began = now - timedelta(days=days_ago)
        _changed(connection, began, "up", "down", "timeout")
        _changed(connection, began + timedelta(hours=hours), "down", "up", "probe")
    spare = keypool.add_key(connection, tenant.actor, "sk-spare-0123456789", label="spare")
    keypool.park_refused_key(spare.public_id)
    [model] = connection.served_models.select_related("connection")
    health_control.hold_open(tenant.org, tenant.actor, model, note="Maintenance")
    other = tenant.connections[1]
    Pulse.objects.create(
        org=tenant.org, connection=other, state="down", reason="refused", looked_at=now, next_at=now,
        down_until=now + timedelta(minutes=5), detail="Nothing listens at 127.0.0.1.",
    )  # fmt: skip
    raise_alert(other, Alert.DOWN, reason="refused")
    return connection


def _changed(connection, at, before, after, reason) -> None:
    HealthChange.objects.create(
        org=connection.org, connection_id=connection.pk, name=connection.slug, at=at, before=before, after=after,
        reason=reason,
    )  # fmt: skip


@pytest.mark.parametrize(("theme", "language"), LOOKS)
def test_the_pages_of_providers_in_trouble_are_sound(page, sign_in, tenant, eventful, theme, language):
    sign_in(theme=theme, language=language)
    faults = {}
    addresses = {
        "providers in trouble": "/providers",
        "provider held": f"/providers/{eventful.public_id}",
        "provider down": f"/providers/{tenant.connections[1].public_id}",
        "models in trouble": "/models",
    }
    for width, prefix in ((1360, ""), (390, "phone ")):
        page.set_viewport_size({"width": width, "height": 900})
        for name, address in addresses.items():
            page.goto(address)
            page.wait_for_function("document.fonts.status === 'loaded'")
            keep(page, f"{prefix}{name} {theme} {language}")
            if found := violations(page) + (["overflow"] if overflows(page) else []):
                faults[f"{prefix}{name}"] = found
    assert not faults


def test_a_model_is_taken_out_of_use_and_reset_by_a_click(page, sign_in, tenant):
    sign_in()
    page.goto(f"/providers/{tenant.connections[0].public_id}")
    page.get_by_role("button", name="Take out of use").click()
    expect(page.locator("#provider-models")).to_contain_text("Out of use by hand")
    page.get_by_role("button", name="Reset").click()
    expect(page.locator("#provider-models")).to_contain_text("In use")
    expect(page.locator("#provider-changes")).to_contain_text("set by hand")
