"""The counts of all processes of a host."""

from __future__ import annotations

from pathlib import Path

from metering.peers import Peers
from metering.tallies import Moment, Tallies
from tests.metering.test_tally import attempt, record

ONE = record(attempt("a/m", "ok"))
LABELS = ("chat/completions", 200, "")


def tallies(folder: Path, count: int) -> tuple[Peers, Tallies]:
    peers = Peers(folder)
    made = Tallies(peers)
    made.count([ONE] * count)
    made.post(Moment(requests=count))
    return peers, made


def test_whoever_is_asked_tells_of_all(tmp_path: Path) -> None:
    (_, first), (_, second) = tallies(tmp_path, 2), tallies(tmp_path, 3)
    for asked in (first, second):
        counted, moments = asked.all()
        assert counted.requests == {LABELS: 5}
        assert sorted(moment.requests for moment in moments.values()) == [2, 3]


def test_counts_outlive_who_counted_while_another_lives(tmp_path: Path) -> None:
    (gone, _), (_, stays) = tallies(tmp_path, 2), tallies(tmp_path, 3)
    gone.close()
    counted, moments = stays.all()
    assert counted.requests == {LABELS: 5}
    assert list(moments.values()) == [Moment(requests=3)]


def test_the_first_after_all_have_ended_begins_anew(tmp_path: Path) -> None:
    before, _ = tallies(tmp_path, 2)
    before.close()
    _, after = tallies(tmp_path, 1)
    assert after.all()[0].requests == {LABELS: 1}


def test_what_cannot_be_read_is_passed_over(tmp_path: Path) -> None:
    _, only = tallies(tmp_path, 1)
    (tmp_path / "1-00.tally").write_bytes(b"of another version")
    assert only.all()[0].requests == {LABELS: 1}
