"""How far a machine has come, and why it gets no work."""

from __future__ import annotations

import pytest

from nodes.fleet import STATED_REASONS, Presence
from nodes.ladder import DONE, FAILED, RUNGS, WAITING, Facts, ModelFacts, ladder, why_not_routable
from nodes.precedence import Job, giving_way

HERE = Presence("node_1")
MODEL = ModelFacts("a", advertised=True, present=True, trial_ok=True)
GOOD = {"presence": HERE, "was_connected": True, "local_server_ok": True, "models": (MODEL,)}


def states(facts: Facts | None) -> dict[str, str]:
    return {rung.code: rung.state for rung in ladder(facts)}


def codes(facts: Facts) -> list[str]:
    return [reason.code for reason in why_not_routable(facts)]


def changed(**facts) -> Facts:
    return Facts(**GOOD | facts)


def without_trial(ok: bool | None) -> tuple[ModelFacts, ...]:
    return (ModelFacts("a", advertised=True, present=True, trial_ok=ok, trial_error="timed out"),)


def test_before_anything_happened_everything_waits():
    assert states(None) == dict.fromkeys(RUNGS, WAITING)
    assert ladder(None)[0].fix


def test_a_machine_that_serves_has_climbed_all():
    assert states(Facts(**GOOD)) == dict.fromkeys(RUNGS, DONE)
    assert codes(Facts(**GOOD)) == []


@pytest.mark.parametrize(
    ("facts", "rung", "state", "reasons"),
    [
        (Facts(), "authenticated", WAITING, ["offline"]),
        (changed(presence=None), "authenticated", FAILED, ["offline"]),
        (changed(revoked=True, presence=None), "authenticated", FAILED, ["revoked"]),
        (changed(version="0.0.1"), "version", FAILED, []),
        (changed(local_server_ok=None), "local_server", WAITING, []),
        (changed(local_server_ok=False), "local_server", FAILED, ["no_local_server"]),
        (
            changed(local_server_ok=False, local_server_trouble="wants_key", local_server_url="http://x:1"),
            "local_server",
            FAILED,
            ["local_server_wants_key"],
        ),
        (changed(models=()), "models", FAILED, ["no_models"]),
        (changed(models=(ModelFacts("a", True, False),)), "models", FAILED, ["no_models"]),
        (changed(models=(ModelFacts("a", False, True),)), "models", FAILED, ["none_offered"]),
        (changed(models=without_trial(None)), "trial", WAITING, []),
        (changed(models=without_trial(False)), "trial", FAILED, ["trial_failed"]),
        (changed(models=(ModelFacts("a", True, True, True, in_use=False),)), "routable", FAILED, ["out_of_use"]),
        (changed(paused=True), "routable", FAILED, ["paused"]),
        (changed(paused=True, draining=True), "routable", FAILED, ["draining"]),
        (changed(presence=Presence("n", accepting=False, reason="gpu_busy")), "routable", FAILED, ["gpu_busy"]),
        (changed(presence=Presence("n", accepting=False)), "routable", FAILED, ["not_accepting"]),
    ],
)
def test_the_rung_that_is_not_climbed_is_named_with_its_fix(facts, rung, state, reasons):
    found, at = ladder(facts), RUNGS.index(rung)
    assert [one.state for one in found] == [DONE] * at + [state] + [WAITING] * (len(RUNGS) - at - 1)
    assert found[at].fix
    assert codes(facts) == reasons
    assert all(reason.message and reason.fix for reason in why_not_routable(facts))


def test_several_reasons_are_told_at_once():
    assert codes(changed(paused=True, local_server_ok=False, models=())) == ["paused", "no_local_server"]
    assert codes(changed(paused=True, models=())) == ["paused", "no_models"]


def test_every_word_of_a_node_has_its_sentence():
    other = why_not_routable(changed(presence=Presence("n", accepting=False, reason="odd")))[0].message
    for word in STATED_REASONS:
        [reason] = why_not_routable(changed(presence=Presence("n", accepting=False, reason=word)))
        assert reason.message != other


@pytest.mark.parametrize(
    ("jobs", "slots", "stream"),
    [
        ([], 1, None),
        ([Job(1, True, 0.0)], 2, None),
        ([Job(1, False, 0.0)], 1, None),
        ([Job(1, True, 0.0), Job(3, False, 1.0)], 2, 1),
        ([Job(1, True, 0.0), Job(3, True, 5.0), Job(5, True, 2.0)], 3, 3),
        ([Job(1, True, 0.0), Job(3, True, 5.0, delivered=True)], 2, 1),
    ],
)
def test_who_gives_way_to_the_owner(jobs, slots, stream):
    assert giving_way(jobs, slots) == stream


def test_a_server_that_wants_a_key_is_found_and_named():
    facts = changed(local_server_ok=False, local_server_trouble="wants_key", local_server_url="http://10.0.0.2:8000")
    [reason] = why_not_routable(facts)
    assert "http://10.0.0.2:8000 wants a key" in reason.message
    assert "--key-file" in reason.fix


@pytest.mark.parametrize("trouble", ["silent", "wants_key", "no_models", ""])
def test_nothing_is_said_of_the_models_of_a_server_that_cannot_be_asked(trouble):
    facts = changed(models=(), local_server_ok=False, local_server_trouble=trouble, local_server_url="http://x:1")
    [reason] = why_not_routable(facts)
    assert reason.code.endswith(trouble or "no_local_server")


def test_what_an_older_agent_says_of_its_server_stands_alone():
    told = "http://x:1 wants a key: shareai-node server add http://x:1 --key-file FILE"
    [reason] = why_not_routable(
        changed(local_server_ok=False, local_server_error=told, local_server_url="http://x:1")
    )
    assert (reason.code, reason.fix) == ("no_local_server", told)
    assert "finds no" not in reason.message


def test_that_nothing_listens_is_told_once_and_in_the_words_of_the_console():
    told = "No model server was found at the usual ports."
    [reason] = why_not_routable(
        changed(local_server_ok=False, local_server_trouble="silent", local_server_error=told, local_server_url="")
    )
    assert (reason.code, reason.message) == ("no_local_server", "The agent finds no model server.")
    assert "shareai-node server add" in reason.fix


@pytest.mark.parametrize("trouble", ["silent", "no_models"])
def test_what_ails_a_named_server_is_told_in_the_words_of_the_console(trouble):
    facts = changed(
        local_server_ok=False,
        local_server_trouble=trouble,
        local_server_error="As the agent says it",
        local_server_url="http://x:1",
    )
    reason = why_not_routable(facts)[0]
    assert "http://x:1" in reason.message
    assert "As the agent" not in reason.message + reason.fix


def test_what_is_merely_not_ticked_is_no_trouble_of_the_server():
    unticked = (ModelFacts("a", False, True),)
    facts = changed(local_server_ok=False, local_server_trouble="not_ticked", models=unticked)
    assert codes(facts) == ["none_offered"]


def test_no_server_is_told_once():
    silent = Presence("n", accepting=False, reason="no_local_server")
    assert codes(changed(local_server_ok=False, presence=silent)) == ["no_local_server"]


def test_one_model_in_use_is_enough():
    both = (ModelFacts("a", True, True, True, in_use=False), ModelFacts("b", True, True, True))
    assert codes(changed(models=both)) == []
