"""What this room refuses, as leaves of the tree in `common.errors`.

Conflict 409
├── CaseClosed    it was decided already, or the time to answer is over
└── CauseClosed   nobody can choose it any more
"""

from __future__ import annotations

from accounts.errors import Conflict


class CaseClosed(Conflict):
    CODE = "case_closed"
    MESSAGE = "This case was decided already."


class CauseClosed(Conflict):
    CODE = "cause_closed"
    MESSAGE = "This cause is closed and takes nothing more."
