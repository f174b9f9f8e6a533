"""The fault server's own address, for tests that run it as a process.

POST   /_control  {"fault": "500@0.3" | null, "model": "*", "keys": [...], "models_status": 500,
                   "manners": {"delay_s": 1}}, each optional
GET    /_log      the exchanges, those in flight too
DELETE /_log      forgets those that have ended
"""

from typing import TYPE_CHECKING, Any

import orjson

from demo.answers import Refused, parse
from tests.fakes.wirelog import Exchange

if TYPE_CHECKING:
    from tests.fakes.upstream import FaultUpstream


def control(upstream: "FaultUpstream", exchange: Exchange) -> Any:
    """Do what is asked.

    Returns:
        the answer, as a JSON value.

    Raises:
        Refused: nothing of that name is here, or a value is wrong.
    """
    match exchange.method, exchange.path:
        case "POST", "/_control":
            _change(upstream, parse(exchange.raw))
            return {"rules": upstream.rules.as_dict(), "keys": sorted(upstream.keys)}
        case "GET", "/_log":
            return [orjson.loads(known.as_json()) for known in upstream.log]
        case "DELETE", "/_log":
            upstream.log.clear()
            return []
    raise Refused("Not here.", status=404)


def _change(upstream: "FaultUpstream", wish: dict[str, Any]) -> None:
    try:
        if "fault" in wish:
            upstream.fail(wish["fault"] or "ok", wish.get("model", "*"))
        for name, value in wish.get("manners", {}).items():
            setattr(upstream.manners, name, value)
    except (ValueError, AttributeError) as error:
        raise Refused(str(error)) from error
    upstream.keys = set(wish.get("keys", upstream.keys))
    upstream.models_status = wish.get("models_status", upstream.models_status)
