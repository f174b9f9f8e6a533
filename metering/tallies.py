"""The tallies of all processes of this host: each posts its own beside its lock, and whoever is asked adds them up.

A file of a process that has ended stays, so that counts never fall while another one serves; what it said of that
moment no longer counts. The first process after all have ended begins anew, which monitoring takes for a restart.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import msgspec

from metering.peers import Peers
from metering.tally import Tally, sum_of
from metering.usage import UsageRecord

SUFFIX = ".tally"


class Moment(msgspec.Struct, frozen=True):
    """How a process is now.

    Attributes:
        requests: in flight.
        nodes: machines whose connection ends here.
        loop_lag_s: how much longer than meant its event loop last took.
        backlog_bytes: of usage that is not in the database yet.
        failures: of the recorder, in a row.
        set_aside: records since its start that the database can never take.
    """

    requests: int = 0
    nodes: int = 0
    loop_lag_s: float = 0.0
    backlog_bytes: int = 0
    failures: int = 0
    set_aside: int = 0
    resident_bytes: int = 0


class Posted(msgspec.Struct, frozen=True):
    tally: Tally
    moment: Moment


class Tallies:
    """Of this process. `count` may be called from any thread."""

    def __init__(self, peers: Peers) -> None:
        self._peers = peers
        self._folder = peers.directory
        self._own = Tally()
        self._lock = threading.Lock()
        if peers.count() == 1:
            for left in self._folder.glob("*" + SUFFIX):
                left.unlink(missing_ok=True)

    def count(self, records: Sequence[UsageRecord]) -> None:
        with self._lock:
            for record in records:
                self._own.note(record)

    def post(self, moment: Moment) -> None:
        """For whoever is asked. Raises: OSError."""
        with self._lock:
            data = _encode(Posted(self._own, moment))
        draft = self._file_of(self._peers.name).with_suffix(".draft")
        draft.write_bytes(data)
        draft.replace(self._file_of(self._peers.name))

    def all(self) -> tuple[Tally, dict[str, Moment]]:
        """What all have counted, and how each that lives said that it was, by its name among `Peers`. Reads files."""
        living = self._peers.names()
        tallies: list[Tally] = []
        moments: dict[str, Moment] = {}
        for path in sorted(self._folder.glob("*" + SUFFIX)):
            with suppress(OSError, msgspec.MsgspecError):  # of another version, or removed a moment ago
                posted = _decode(path.read_bytes())
                tallies.append(posted.tally)
                if path.stem in living:
                    moments[path.stem] = posted.moment
        return sum_of(tallies), moments

    def _file_of(self, name: str) -> Path:
        return self._folder / (name + SUFFIX)


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Posted).decode
