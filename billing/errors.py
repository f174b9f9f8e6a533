"""What this room refuses, as leaves of the tree in `common.errors`.

InvalidRequest 400
└── InvalidRerating   no such price, or not the platform's to change
"""

from __future__ import annotations

from common.errors import InvalidRequest


class InvalidRerating(InvalidRequest):
    CODE = "invalid_rerating"
    MESSAGE = "There is no such price of a connection of the platform."
