"""What every refusal is: a status, a code, a sentence, and whether trying again makes sense.

The leaves are in `common.errors`; import these names from there as well.
"""

import math
from collections.abc import Mapping
from typing import Any, ClassVar, Self

LONGEST_USEFUL_WAIT_S = 120
"""The official SDKs do not retry at all when told to wait longer than this."""

_HEADER_OF_RETRY = {True: (b"x-should-retry", b"true"), False: (b"x-should-retry", b"false")}


class ShareAIError(Exception):
    """A refusal with its HTTP status, its code, and whether trying again makes sense.

    Args:
        metadata: further facts for the caller, JSON values only; left out of the body when empty.
        retry_after_s: when trying again may succeed; becomes `retry-after` and `retry-after-ms`.
        should_retry: becomes `x-should-retry`, which SDKs obey above the status; None leaves it to them.
    """

    def __init__(
        self,
        message: str,
        *,
        code: str,
        type: str,
        status: int,
        param: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        retry_after_s: float | None = None,
        should_retry: bool | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.type = type
        self.status = status
        self.param = param
        self.metadata = dict(metadata) if metadata else {}
        self.retry_after_s = retry_after_s
        self.should_retry = should_retry

    def body(self) -> dict[str, Any]:
        error: dict[str, Any] = {
            "message": self.message,
            "type": self.type,
            "param": self.param,
            "code": self.code,
        }
        if self.metadata:
            error["metadata"] = self.metadata
        return {"error": error}

    def headers(self) -> list[tuple[bytes, bytes]]:
        """Rounded up, so that nobody who waits exactly this long comes too early."""
        headers = []
        if self.should_retry is not None:
            headers.append(_HEADER_OF_RETRY[self.should_retry])
        if self.retry_after_s is not None:
            wait_s = max(0.0, self.retry_after_s)
            headers.append((b"retry-after", b"%d" % math.ceil(wait_s)))
            headers.append((b"retry-after-ms", b"%d" % math.ceil(wait_s * 1000)))
        return headers

    def __reduce__(self) -> tuple[Any, ...]:
        # Leaves have required keywords, which the default way of copying an exception would lose.
        return _restore, (type(self), self.args, self.__dict__)


def _restore(kind: type[ShareAIError], args: tuple[str, ...], state: dict[str, Any]) -> ShareAIError:
    error = kind.__new__(kind, *args)
    error.__dict__.update(state)
    return error


class CodedError(ShareAIError):
    """A refusal whose code, type, status and retry advice are fixed by its class."""

    CODE: ClassVar[str]
    TYPE: ClassVar[str]
    STATUS: ClassVar[int]
    SHOULD_RETRY: ClassVar[bool | None] = None
    MESSAGE: ClassVar[str] = ""

    def __init__(
        self,
        message: str = "",
        *,
        param: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        retry_after_s: float | None = None,
        should_retry: bool | None = None,
    ) -> None:
        super().__init__(
            message or self.MESSAGE,
            code=self.CODE,
            type=self.TYPE,
            status=self.STATUS,
            param=param,
            metadata=metadata,
            retry_after_s=retry_after_s,
            should_retry=self.SHOULD_RETRY if should_retry is None else should_retry,
        )

    @classmethod
    def leaves(cls) -> set[type[Self]]:
        """Every class at or below this one that has a code of its own."""
        below = set().union(*(child.leaves() for child in cls.__subclasses__()))
        return below | {cls} if "CODE" in cls.__dict__ else below
