"""Which requests count as the same prompt, and that nobody learns from the number what it said."""

from __future__ import annotations

import pytest

from metering.models import Usage
from routing.prompts import PART_BYTES, UNKNOWN, Fingerprint
from tests.routing.conftest import MODELS
from tests.routing.test_cache import rows_of

HELLO = {"model": "m", "messages": [{"role": "user", "content": "hello"}], "temperature": 0}
OF = Fingerprint("secret").of


@pytest.mark.parametrize("extra", [{"user": "u"}, {"stream": True}, {"metadata": {"a": "b"}}])
def test_what_means_nothing_to_the_answer_does_not_count(extra):
    assert OF(1, HELLO) == OF(1, {**extra, **dict(reversed(HELLO.items()))})


@pytest.mark.parametrize("other", [{"model": "n"}, {"temperature": 1}, {"messages": []}])
def test_what_changes_the_answer_does(other):
    assert OF(1, HELLO) != OF(1, HELLO | other)


def test_the_number_is_of_one_organisation_and_one_deployment():
    assert len({OF(1, HELLO), OF(2, HELLO), Fingerprint("another").of(1, HELLO)}) == 3
    assert Fingerprint("secret").of(1, HELLO) == OF(1, HELLO) != UNKNOWN


def long(*parts: str) -> dict:
    return {"model": "m", "input": "".join(parts)}


def test_of_a_long_prompt_beginning_end_and_length_are_looked_at():
    part = "x" * PART_BYTES
    whole = OF(1, long(part, part, part))
    assert whole == OF(1, long(part, "y" * PART_BYTES, part))
    assert whole != OF(1, long("y", part[1:], part, part))
    assert whole != OF(1, long(part, part, part[1:], "y"))
    assert whole != OF(1, long(part, part, part, "x"))


def test_answered_requests_carry_it_and_refused_ones_do_not(tenant, http, upstreams):
    tenant.connect(upstreams.a.base_url, MODELS)
    body = {"model": MODELS[0], "messages": [{"role": "user", "content": "hello"}]}
    http.post("/v1/chat/completions", json=body)
    http.post("/v1/chat/completions", json={**body, "stream": True, "user": "u"})
    http.post("/v1/chat/completions", json=body | {"model": "unheard-of"})
    rows_of(tenant, 3)
    rows = Usage.objects.filter(org_id=tenant.org.pk)
    answered = set(rows.filter(status=200).values_list("prompt_hash", flat=True))
    assert len(answered) == 1
    assert UNKNOWN not in answered
    assert set(rows.exclude(status=200).values_list("prompt_hash", flat=True)) == {UNKNOWN}
