import os
import re
import uuid
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common import ids


def test_public_ids_name_their_kind():
    assert re.fullmatch(r"node_[0-9a-f]{32}", ids.new_id("node"))
    assert ids.new_request_id().startswith("req_")
    assert ids.new_key_id().startswith("key_")


def test_public_ids_fit_their_columns():
    assert len(ids.new_request_id()) <= 40


def test_ids_do_not_repeat_and_sort_by_making():
    made = [ids.new_request_id() for _ in range(20_000)]
    assert len(set(made)) == len(made)
    moments = [name[: len("req_") + 12] for name in made]
    assert moments == sorted(moments)


def test_a_uuid_is_the_standard_librarys_and_version_7():
    made = ids.new_uuid()
    assert type(made) is uuid.UUID
    assert made.version == 7


def test_a_uuid_knows_when_it_was_made():
    before = datetime.now(UTC)
    at = ids.made_at(ids.new_uuid())
    assert before - timedelta(milliseconds=2) <= at <= datetime.now(UTC) + timedelta(milliseconds=2)


def test_the_uuid_inside_a_public_id_is_found():
    name = ids.new_id("node")
    assert ids.find_uuid(name, "node").hex == name.removeprefix("node_")


@pytest.mark.parametrize(
    "other",
    [
        "",
        "node_",
        "node",
        "key_" + "0" * 32,
        "node_" + "0" * 32,
        "node_d535ed759944447b9eda244e13eaa11e",
        "node_" + "٣" * 32,
    ],
)
def test_what_is_no_id_of_this_kind_is_not_found(other: str):
    assert ids.find_uuid(other, "node") is None


def test_capital_digits_are_another_id():
    assert ids.find_uuid("node_019A" + ids.new_id("node")[9:].upper(), "node") is None


@given(st.text())
def test_no_text_makes_finding_raise(text: str):
    assert ids.find_uuid(text, "node") is None


def test_forked_workers_do_not_repeat_each_other():
    ids.new_uuid()

    def random_part_made_in_a_child() -> bytes:
        reading, writing = os.pipe()
        if (child := os.fork()) == 0:
            os.write(writing, ids.new_uuid().bytes[6:])
            os._exit(0)
        os.waitpid(child, 0)
        try:
            return os.read(reading, 64)
        finally:
            os.close(reading)
            os.close(writing)

    first, second = random_part_made_in_a_child(), random_part_made_in_a_child()
    assert first != second
    assert ids.new_uuid().bytes[6:] not in (first, second)
