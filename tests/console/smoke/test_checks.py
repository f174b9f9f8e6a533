"""The five checks against real processes: what each sees, and that nothing is left of it."""

from __future__ import annotations

import pytest

from accounts.keys import active_keys
from accounts.limits import find_limits
from accounts.models import ApiKey, AuditEvent, Limit
from accounts.scopes import KEY
from console.models import SmokeRun
from console.smoke import runs
from console.smoke.asking import Gateway
from console.smoke.report import CHECKS, FAILED, PASSED, SKIPPED
from routing.cache_services import put_policy
from routing.drills import running_drills, start_drill
from routing.models import CachePolicy
from routing.services import put_route
from tests.console.smoke.conftest import sentences, told
from tests.routing.hearing import let_all_hear
from tests.stack import Tenant


def steps(run: SmokeRun) -> list[str]:
    return [step.name for report in told(run).values() for step in report.steps]


def nothing_is_left(tenant: Tenant, run: SmokeRun) -> bool:
    keys = active_keys(tenant.org).filter(is_ephemeral=True)
    policies = CachePolicy.objects.of(tenant.org).filter(scope=KEY)
    limits = Limit.objects.of(tenant.org).filter(scope=KEY)
    left = [keys.exists(), policies.exists(), limits.exists(), running_drills(tenant.org).exists(), run.undo != []]
    return not any(left)


def test_all_five_pass_and_leave_nothing(routed, run):
    done = run()
    assert {name: report.verdict for name, report in told(done).items()} == dict.fromkeys(CHECKS, PASSED), sentences(
        done
    )
    assert (done.verdict, done.is_over) == (PASSED, True)
    assert nothing_is_left(routed, done)
    assert ApiKey.objects.of(routed.org).filter(is_ephemeral=True, revoked_at__isnull=False).count() == len(CHECKS)


def test_each_route_is_asked(run, upstreams):
    done = run("answers")
    assert [s.facts["model"] for s in told(done)["answers"].steps if s.name == "answered"] == ["fast", "plain"]


def test_a_route_that_does_not_answer_fails_with_its_code(run, upstreams):
    upstreams[1].fail("500")
    done = run("answers")
    assert (done.verdict, steps(done)[:3]) == (FAILED, ["key_made", "answered", "not_answered"])
    assert any("plain" in said and "502" in said for said in sentences(done))


def test_an_outage_is_answered_by_the_other(routed, run):
    done = run("outage")
    assert steps(done) == [
        *("key_made", "answered", "drill_begun", "rerouted", "drill_ended", "back_again", "taken_back")
    ]
    rerouted = told(done)["outage"].steps[3].facts
    assert (rerouted["target"], rerouted["passed_by"]) == ("upstream-b/sim-chat", "upstream-a/sim-chat: drill")
    actions = AuditEvent.objects.of(routed.org).filter(object_type="drill").values_list("action", flat=True)
    assert sorted(actions) == ["drill.ended", "drill.started"]


def test_an_outage_that_nobody_catches_fails_and_is_still_over(routed, run, upstreams):
    upstreams[1].fail("500")
    done = run("outage", route="fast")
    assert (done.verdict, "not_rerouted" in steps(done)) == (FAILED, True)
    assert nothing_is_left(routed, done)


def test_a_route_without_a_second_target_has_nothing_to_check(run):
    assert run("outage", route="plain").verdict == SKIPPED


def test_a_drill_that_runs_is_why_nobody_is_left_to_turn_to(gateway, routed, run):
    start_drill(routed.org, routed.actor, "upstream-b", 60)
    let_all_hear(gateway, routed)
    done = run("outage", route="fast")
    assert (done.verdict, steps(done)) == (SKIPPED, ["key_made", "drill_is_on", "taken_back"])


def test_costs_are_compared_and_found_in_the_report(run):
    done = run("costs", prompt="How high is the sky?")
    compared, found = told(done)["costs"].steps[3:5]
    assert (compared.name, compared.facts["model"], compared.facts["dearest"]) == ("compared", "fast", "plain")
    assert compared.facts["most_cost_nanos"] == 3 * compared.facts["cost_nanos"] > 0
    assert (found.name, found.facts["requests"]) == ("in_report", 2)
    assert found.facts["cost_nanos"] == 4 * compared.facts["cost_nanos"]


def test_a_policy_of_before_stays_as_it_was(routed, run):
    kept = put_policy(routed.org, routed.actor, scope="organization", ttl_s=60)
    done = run("cache")
    assert done.verdict == PASSED, sentences(done)
    assert list(CachePolicy.objects.of(routed.org)) == [kept]


def test_a_hit_costs_nothing_in_either_form(run):
    done = run("cache")
    by_name = {step.name: step.facts for step in told(done)["cache"].steps}
    assert (by_name["cache_miss"]["cache"], by_name["cache_hit"]["cache"]) == ("MISS", "HIT")
    assert (by_name["cache_hit"]["cost_nanos"], by_name["cache_hit_streamed"]["cache"]) == (0, "HIT")
    assert by_name["cache_hit"]["saved_nanos"] > 0


def test_limit_and_quota_name_their_scope(run):
    done = run("limits")
    by_name = {step.name: step.facts for step in told(done)["limits"].steps}
    assert by_name["rate_limited"] == {
        "passed": 3,
        "limit": 3,
        "status": 429,
        "code": "rate_limit_exceeded",
        "scope": "key",
    }
    assert by_name["budget_kept"] == {"status": 402, "code": "budget_exceeded", "scope": "key"}
    assert by_name["quota_used_up"] == {"status": 429, "code": "quota_exceeded", "scope": "key"}


def test_what_the_organisation_limits_is_left_as_it_is(routed, run):
    before = find_limits(routed.org, "organisation")
    run("limits")
    assert find_limits(routed.org, "organisation") == before


def test_nobody_there_fails_every_step_and_leaves_nothing(routed, run, settings):
    settings.GATEWAY_URL = "http://127.0.0.1:1"
    done = run("answers", "limits")
    assert done.verdict == FAILED
    assert any("unreachable" in said for said in sentences(done))
    assert nothing_is_left(routed, done)


def test_without_routes_models_are_asked_by_their_names(tenant):
    done = runs.carry_out(runs.begin(tenant.org, tenant.actor, ["answers", "outage"]), tenant.actor)
    assert done.verdict == PASSED, sentences(done)


@pytest.mark.parametrize("check", CHECKS)
def test_what_goes_wrong_in_the_middle_is_taken_back(routed, run, check, monkeypatch):
    """As if the process ran out of memory at any call after the first."""
    asked = []

    def break_down(self, *args, **options):
        if len(asked) == 1:
            raise MemoryError
        asked.append(args)
        return honest(self, *args, **options)

    honest = Gateway.ask
    put_route(routed.org, routed.actor, "fast", {"targets": [{"target": "sim-chat"}]})
    monkeypatch.setattr(Gateway, "ask", break_down)
    with pytest.raises(MemoryError):
        run(check)
    done = SmokeRun.objects.of(routed.org).get()
    assert (done.verdict, done.is_over) == (FAILED, True)
    assert nothing_is_left(routed, done)
