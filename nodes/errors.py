"""What this room refuses, as leaves of the tree in `common.errors`.

InvalidRequest 400
├── InvalidField                of accounts: forms and the API show the sentence beside the field
│   └── InvalidNode             a field of a node, of its models or of a token is wrong
├── ProofInvalid 400            what was signed is not this token, this console and this key
├── ClockSkew 400               the machine's clock is too far off
└── VersionUnsupported 426      the agent is too old for this console
TokenUnknown 401                no such enrolment token, or a withdrawn one
Conflict 409
├── TokenUsed 409               the token let in as many machines as it may
└── NodeRevoked 409             a revoked node is not paused, resumed or changed
TokenExpired 410
TooManyEnrolments 429           too many failed tries from one address
"""

from __future__ import annotations

from django.utils.translation import gettext as _

from accounts.errors import Conflict, InvalidField
from common.errors import CodedError, InvalidRequest, Throttled


class InvalidNode(InvalidField):
    """One field is wrong: `name`, `calendar`, `models.2.input_price`, …"""

    CODE = "invalid_node"

    def __init__(self, field: str, message: str) -> None:
        super().__init__({field: [message]})


class ProofInvalid(InvalidRequest):
    CODE = "proof_invalid"
    MESSAGE = "The proof was not signed by this key for this token at this console."


class ClockSkew(InvalidRequest):
    CODE = "clock_skew"

    def __init__(self, ahead_s: float) -> None:
        """Args: ahead_s: how much the machine's clock is ahead of the console's; negative when it is behind."""
        side = "ahead of" if ahead_s > 0 else "behind"
        super().__init__(
            f"The clock of this machine is {abs(ahead_s):.0f} seconds {side} the console's. Set it and try again.",
            metadata={"ahead_s": round(ahead_s)},
        )


class VersionUnsupported(InvalidRequest):
    CODE, STATUS = "version_unsupported", 426

    def __init__(self, least: str) -> None:
        super().__init__(
            f"This console works with version {least} of shareai-node or newer. Install it again from the console.",
            metadata={"least": least},
        )


class TokenUnknown(CodedError):
    """A withdrawn token is not told apart from one that never was."""

    CODE, TYPE, STATUS, SHOULD_RETRY = "token_unknown", "invalid_request_error", 401, False
    MESSAGE = "This enrolment token is not known here. Make a new one in the console, and copy all of it."


class TokenUsed(Conflict):
    CODE = "token_used"
    MESSAGE = "This enrolment token is used up. Make a new one in the console."


class TokenExpired(CodedError):
    CODE, TYPE, STATUS, SHOULD_RETRY = "token_expired", "invalid_request_error", 410, False
    MESSAGE = "This enrolment token has expired. Make a new one in the console."


class TooManyEnrolments(Throttled):
    CODE = "too_many"
    MESSAGE = "Too many failed tries from this address. Wait a little."


class NodeRevoked(Conflict):
    CODE = "node_revoked"

    def __init__(self) -> None:
        super().__init__(_("This machine is revoked. Enrol it anew to use it again."))
