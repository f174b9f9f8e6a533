"""An owner's way through its earnings, in a browser: looks, tries a split, answers doubts."""

import pytest
from django.db import connection, transaction
from django.utils import timezone

from accounts.audit import Actor
from accounts.models import User
from billing.credits import give
from billing.earnings import cases, causes, programmes
from billing.earnings.models import Case, Cause
from common.ids import new_request_id
from common.money import NANOS_PER_USD
from nodes.models import COMMUNITY, Node, NodeDoubt, NodeModel
from nodes.recount import INFLATED
from tests.billing.conftest import record
from tests.console.pages import machines
from tests.e2e.conftest import keep, overflows, violations
from tests.metering.records import usage_record
from tests.stack import make_tenant

PAGES = ("/earnings", "/earnings/programme", "/earnings/prices", "/earnings/recognition", "/causes", "/contributors")


@pytest.fixture
def earner(tenant):
    """Its machine answered a guest forty times; a third of what it gives goes to each of two causes."""
    node = machines.new_node(tenant.org, tenant.actor)
    machines.list_models(node)
    Node.objects.filter(pk=node.pk).update(visibility=COMMUNITY)
    model = NodeModel.objects.filter(node=node).first()
    model.input_price_nanos, model.output_price_nanos, model.price_version = NANOS_PER_USD, 4 * NANOS_PER_USD, 2
    model.save()
    guest = make_tenant("Guest")
    give(guest.org, Actor.system("tests"), 10 * NANOS_PER_USD, purpose="welcome", reason="Welcome")
    named = [
        Cause.objects.filter(name=name).first() or causes.add({"name": name, "summary": "Does good."})
        for name in ("Trees for All", "Clean Water")
    ]
    weights = {cause.slug: weight for cause, weight in zip(named, (2, 1), strict=True)}
    programmes.choose(tenant.org, tenant.actor, {"exchanged_percent": 20, "donated_percent": 30, "causes": weights})
    programmes.recognise(tenant.org, tenant.actor, is_public=True, public_name="The Shed")
    for _ in range(4):
        serve(guest, model)
    now = timezone.now()
    NodeDoubt.objects.create(
        org=tenant.org, node=node, upstream_id=model.upstream_id, kind=INFLATED, day=now.date(), times=3,
        said_tokens=900, counted_tokens=250, request_id=new_request_id(), first_at=now, last_at=now,
    )  # fmt: skip
    cases.look(now)
    return tenant


def serve(guest, model) -> None:
    used = {
        "org_id": guest.org.pk, "target_id": -model.pk, "price_version": 2, "input_tokens": 90_000,
        "cached_tokens": 0, "output_tokens": 60_000, "billing_reason": "completed",
        "started_at": timezone.now().isoformat(),
    }  # fmt: skip
    with transaction.atomic(), connection.cursor():
        record(usage_record(new_request_id(), **used))


def test_earnings_are_sound_with_something_in_them(page, sign_in, earner):
    theme, language = "dark", "th"
    sign_in(theme=theme, language=language)
    faults = {}
    case = Case.objects.get(org=earner.org)
    for address in (*PAGES, f"/earnings/cases/{case.public_id}", "/causes/clean-water"):
        page.goto(address)
        page.wait_for_function("document.fonts.status === 'loaded'")
        keep(page, f"earning {address.strip('/')} {theme} {language}"[:60])
        if found := violations(page) + (["overflow"] if overflows(page) else []):
            faults[address] = found
    assert not faults


def test_the_split_follows_what_is_typed_and_nothing_is_saved_until_one_says_so(page, sign_in, earner):
    sign_in()
    page.goto("/earnings/programme")
    page.get_by_label("To causes, in percent").fill("100")
    page.locator("#dollar").get_by_text("it comes to 120 %").wait_for()
    page.get_by_label("As tokens, in percent").fill("0")
    page.locator("#dollar").get_by_text("$0.466666667").wait_for()
    page.get_by_label("To causes, in percent").fill("40")
    page.get_by_role("status").filter(has_text="60 %").wait_for()
    page.locator("[data-slides=id_exchanged_percent]").fill("100")  # no further than there is
    page.locator("#dollar").get_by_text("Yours, as tokens at once").wait_for()
    assert page.get_by_label("As tokens, in percent").input_value() == "60"
    assert programmes.programme_of(earner.org).exchanged_percent == 20
    page.get_by_role("button", name="Save").click()
    page.get_by_text("60 % as tokens at once · 40 % to causes").wait_for()
    page.get_by_role("heading", name="Programme: Mixed").wait_for()


def test_an_owner_answers_what_is_doubted(page, sign_in, earner):
    sign_in()
    page.goto("/earnings")
    page.get_by_role("link", name="Look at it").click()
    page.get_by_label("Your answer").fill("We changed the vocabulary that day.")
    page.get_by_role("button", name="Answer").click()
    page.get_by_text("Answered, being decided").first.wait_for()


def test_enter_in_the_reason_decides_no_case(page, sign_in, earner):
    User.objects.filter(pk=earner.owner.pk).update(is_staff=True)
    case = Case.objects.get(org=earner.org)
    sign_in()
    page.goto("/causes/review")
    box = page.locator(f"article[aria-labelledby={case.public_id}]")
    reason = box.get_by_label("Reason, which the owner reads")
    reason.fill("Counted again")
    reason.press("Enter")
    assert Case.objects.get(pk=case.pk).is_pending
    assert violations(page) == []
    keep(page, "review of a case")
    box.get_by_role("button", name="Nothing was wrong").click()
    page.get_by_text("Decided.").first.wait_for()
    assert Case.objects.get(pk=case.pk).state == Case.DISMISSED
