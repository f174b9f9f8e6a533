"""What the agent says when it cannot go on: one line each, which also says what to do.

    AgentError 1
    ├── NotEnrolled 3        no console knows this machine (yet, or any more)
    ├── NotRunning 4         the verb needs a running agent
    ├── ConsoleUnreachable 5 network, proxy, TLS or the console itself
    └── UpgradeFailed 6      nothing was changed, or the former version is back

The number is the process's exit code; 0 is success, 2 a command that was written wrongly. No message holds a secret.
"""

from __future__ import annotations


class AgentError(Exception):
    EXIT_CODE = 1


class NotEnrolled(AgentError):
    EXIT_CODE = 3


class NotRunning(AgentError):
    EXIT_CODE = 4


class ConsoleUnreachable(AgentError):
    EXIT_CODE = 5


class UpgradeFailed(AgentError):
    EXIT_CODE = 6
