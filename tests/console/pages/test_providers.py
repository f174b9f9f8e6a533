import subprocess
import sys

import pytest
from django.urls import reverse

from accounts.models import AuditEvent
from console import faults
from providers.models import Connection, ConnectionKey, ServedModel
from tests.fakes.upstream import FaultUpstream

OPENAI_URL = "https://api.openai.com/v1"
KEY = "sk-upstream-0002-wxyz"


@pytest.fixture(scope="module")
def upstream():
    with FaultUpstream(name="U", models=("sim-chat", "sim-embed"), keys=(KEY,)) as server:
        yield server


@pytest.fixture
def form(upstream, settings):
    settings.EGRESS_ALLOW = f"127.0.0.1:{upstream.port}"
    return {"name": "Lab", "base_url": upstream.base_url, "api_keys": KEY, "priority": "10"}


def new(preset="custom"):
    return reverse("providers-new-preset", args=[preset])


def of(connection, name="providers-detail"):
    return reverse(name, args=[connection.public_id])


def test_a_connection_is_saved_and_then_asks_for_its_models(as_browser, alice, acme, form):
    response = as_browser(alice).post(new(), form)
    saved = Connection.objects.of(acme).get()
    assert response.url == of(saved, "providers-models")
    assert (saved.name, saved.priority, saved.keys.get().hint) == ("Lab", 10, "wxyz")


def test_what_a_provider_is_like_is_said_shown_and_taken_back(as_browser, alice, acme, form):
    browser = as_browser(alice)
    said = {"data_collection": "deny", "quantization": "fp8", "api_version": "2026-01", "dropped_params": "user seed"}
    browser.post(new(), form | said)
    saved = Connection.objects.of(acme).get()
    assert saved.options == said | {"dropped_params": "seed user"}
    edit = of(saved, "providers-edit")
    assert browser.get(edit).context["form"]["quantization"].value() == "fp8"
    browser.post(edit, form | {"api_keys": "", "api_version": "2026-01", "data_collection": "allow"})
    saved.refresh_from_db()
    assert saved.options == {"data_collection": "allow", "api_version": "2026-01"}


def test_options_that_a_form_does_not_show_stay(as_browser, alice, acme):
    browser = as_browser(alice)
    browser.post(new("openai"), {"name": "Vendor", "base_url": OPENAI_URL, "api_keys": KEY, "priority": "10"})
    saved = Connection.objects.of(acme).get()
    Connection.objects.filter(pk=saved.pk).update(options={"api_version": "2026-01"})
    sent = {"name": "Vendor", "base_url": OPENAI_URL, "priority": "20", "quantization": "bf16"}
    browser.post(of(saved, "providers-edit"), sent)
    saved.refresh_from_db()
    assert (saved.priority, saved.options) == (20, {"api_version": "2026-01", "quantization": "bf16"})


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"base_url": "ftp://example.com"}, "base_url"),
        ({"base_url": "http://169.254.169.254/v1"}, "base_url"),
        ({"name": " "}, "name"),
        ({"api_keys": "has a space"}, "api_keys"),
        ({"auth_header": "cookie"}, "auth_header"),
        ({"priority": "0"}, "priority"),
    ],
)
def test_a_wrong_field_is_told_beside_it_and_what_was_typed_stays(as_browser, alice, acme, form, wrong, field):
    response = as_browser(alice).post(new(), form | wrong)
    assert response.status_code == 422
    assert response.context["form"].errors.keys() == {field}
    kept = "Lab" if field != "name" else form["base_url"]
    assert kept in response.content.decode()
    assert not Connection.objects.of(acme).exists()


def test_the_test_button_says_what_it_found_and_saves_nothing(as_browser, alice, acme, form):
    shown = as_browser(alice).post(reverse("providers-test-draft", args=["custom"]), form).content.decode()
    assert "It works" in shown
    assert "sim-chat" in shown
    assert not Connection.objects.of(acme).exists()


def test_the_test_button_says_what_is_wrong(as_browser, alice, acme, form, upstream):
    upstream.fail("401")
    try:
        shown = as_browser(alice).post(reverse("providers-test-draft", args=["custom"]), form).content.decode()
    finally:
        upstream.heal()
    assert "It does not work yet" in shown
    assert "401" in shown


def test_what_is_ticked_is_served_and_what_is_not_is_gone(as_browser, alice, acme, form):
    browser = as_browser(alice)
    browser.post(new(), form)
    saved = Connection.objects.of(acme).get()
    assert "sim-embed" in browser.get(of(saved, "providers-models")).content.decode()
    browser.post(of(saved, "providers-models"), {"model": ["sim-chat", "sim-embed", "by-hand"]})
    assert kinds(saved) == {"sim-chat": "chat", "sim-embed": "embedding", "by-hand": "chat"}
    browser.post(of(saved, "providers-models"), {"model": ["sim-chat"]})
    assert kinds(saved) == {"sim-chat": "chat"}


def kinds(connection):
    return dict(connection.served_models.values_list("model_id", "kind"))


def test_leaving_the_field_for_another_model_empty_adds_none(as_browser, alice, acme, form):
    browser = as_browser(alice)
    browser.post(new(), form)
    saved = Connection.objects.of(acme).get()
    browser.post(of(saved, "providers-models"), {"model": ["sim-chat", ""]})
    assert kinds(saved) == {"sim-chat": "chat"}


def test_a_key_is_parked_used_again_and_removed(as_browser, alice, acme, connection):
    browser, key = as_browser(alice), connection.keys.get()
    address = reverse("providers-key", args=[connection.public_id, key.public_id])
    for wish, state in (("park", ConnectionKey.PARKED), ("unpark", ConnectionKey.ACTIVE)):
        browser.post(address, {"wish": wish})
        key.refresh_from_db()
        assert key.state == state
    browser.post(address, {"wish": "remove"})
    assert not connection.keys.exists()


def test_all_keys_parked_is_told_on_the_list(as_browser, alice, acme, connection):
    browser, key = as_browser(alice), connection.keys.get()
    browser.post(reverse("providers-key", args=[connection.public_id, key.public_id]), {"wish": "park"})
    assert "All keys parked" in browser.get(reverse("providers")).content.decode()


def test_a_stored_key_is_never_shown_again(as_browser, alice, acme, connection):
    browser = as_browser(alice)
    for name in ("providers-detail", "providers-edit"):
        assert "sk-upstream-0001" not in browser.get(of(connection, name)).content.decode()


def test_another_host_forgets_the_keys_and_says_so(as_browser, alice, acme, connection, form):
    shown = as_browser(alice).post(of(connection, "providers-edit"), form | {"api_keys": ""}, follow=True)
    assert "the stored keys were forgotten" in shown.content.decode()
    assert not connection.keys.exists()


def test_prices_are_changed_and_a_wrong_one_is_told(as_browser, alice, acme, connection):
    model = connection.served_models.get(model_id="demo-chat")
    address = reverse("providers-model", args=[connection.public_id, model.public_id])
    typed = {"id": "demo-chat", "upstream_id": "demo-chat", "kind": "chat", "enabled": "on", "weight": "1"}
    wrong = as_browser(alice).post(address, typed | {"input_price": "cheap", "output_price": "2"})
    assert wrong.context["form"].errors.keys() == {"input_price"}
    as_browser(alice).post(address, typed | {"input_price": "0.25", "output_price": "2"})
    model = ServedModel.objects.get(pk=model.pk)
    assert (str(model.input_price), str(model.output_price)) == ("0.250000", "2.000000")


def test_deleting_names_the_models_that_nothing_else_serves(as_browser, alice, acme, connection):
    browser = as_browser(alice)
    asked = browser.get(of(connection, "providers-delete")).content.decode()
    assert "demo-chat" in asked
    assert "aurora/demo-chat" in asked
    browser.post(of(connection, "providers-delete"))
    assert not Connection.objects.of(acme).exists()
    assert AuditEvent.objects.of(acme).filter(action="connection.deleted").exists()


def test_disabling_and_enabling(as_browser, alice, acme, connection):
    browser = as_browser(alice)
    for wish, enabled in (("false", False), ("true", True)):
        browser.post(of(connection, "providers-switch"), {"enabled": wish})
        connection.refresh_from_db()
        assert connection.enabled is enabled


def test_a_platform_connection_is_seen_but_not_changed(as_browser, alice, acme):
    platform = Connection.objects.create(
        public_id="conn_platform", slug="aurora", name="Aurora", base_url="http://127.0.0.1:1/v1", simulated=True
    )
    browser = as_browser(alice)
    assert "simulated" in browser.get(reverse("providers")).content.decode()
    assert browser.get(of(platform)).status_code == 200
    for name in ("providers-edit", "providers-delete", "providers-models"):
        assert browser.get(of(platform, name)).status_code == 404
    assert browser.post(of(platform, "providers-switch"), {"enabled": "false"}).status_code == 404


@pytest.fixture
def simulated(db, settings):
    """A simulated provider of the demo, running."""
    command = [sys.executable, "-m", "demo.simulated", "--port", "0", "--key", "k", "--model", "demo-chat"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    base_url = process.stdout.readline().split()[1]
    settings.DEMO = True
    yield Connection.objects.create(
        public_id="conn_simulated", slug="aurora", name="Aurora", base_url=base_url, simulated=True
    )
    process.terminate()
    process.wait(10)


def test_a_simulated_provider_plays_a_fault_and_stops_it(as_browser, alice, acme, simulated):
    browser = as_browser(alice)
    assert 'name="fault"' in browser.get(of(simulated)).content.decode()
    for fault, share in (("503", "0.3"), ("ok", "1")):
        browser.post(of(simulated, "providers-fault"), {"fault": fault, "share": share})
        state = faults.read(simulated)
        assert (state.current, state.share) == (fault, float(share))
        event = AuditEvent.objects.of(acme).filter(action="connection.fault_played").latest("sequence")
        assert event.after == {"fault": fault, "share": float(share)}
        assert event.before["fault"] != fault


def test_a_viewer_sees_no_switch_for_faults(as_browser, carol, acme, simulated):
    browser = as_browser(carol)
    assert 'name="fault"' not in browser.get(of(simulated)).content.decode()
    assert browser.post(of(simulated, "providers-fault"), {"fault": "503", "share": "1"}).status_code == 403


def test_faults_are_switched_in_the_demo_only(as_browser, alice, acme, settings):
    platform = Connection.objects.create(
        public_id="conn_platform", slug="aurora", name="Aurora", base_url="http://127.0.0.1:1/v1", simulated=True
    )
    address = of(platform, "providers-fault")
    settings.DEMO = False
    assert as_browser(alice).post(address, {"fault": "500", "share": "1"}).status_code == 404
    settings.DEMO = True
    shown = as_browser(alice).post(address, {"fault": "500", "share": "1"}, follow=True)
    assert "does not answer" in shown.content.decode()
