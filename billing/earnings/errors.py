"""What this room refuses, as leaves of the tree in `common.errors`.

Conflict 409
└── CaseClosed    it was decided already
"""

from __future__ import annotations

from accounts.errors import Conflict


class CaseClosed(Conflict):
    CODE = "case_closed"
    MESSAGE = "This case was decided already."
