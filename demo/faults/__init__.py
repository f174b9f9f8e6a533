"""The ways an upstream fails, as data.

`catalogue` names them, `rules` decide which request meets which, `scripts` say byte by byte what then
goes over the wire. No input or output here: a server plays the steps.
"""

from demo.faults import early, figures, huge, midway, odd  # each registers its scripts
from demo.faults.catalogue import MENU, OK, Kind, Spec, find_spec, parse_spec
from demo.faults.rules import FaultRules
from demo.faults.scripts import Scene, steps
from demo.faults.wire import Close, Hang, Pause, Reset, Send, Step

__all__ = [
    "MENU",
    "OK",
    "Close",
    "FaultRules",
    "Hang",
    "Kind",
    "Pause",
    "Reset",
    "Scene",
    "Send",
    "Spec",
    "Step",
    "early",
    "figures",
    "find_spec",
    "huge",
    "midway",
    "odd",
    "parse_spec",
    "steps",
]
