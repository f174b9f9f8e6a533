"""The command `shareai-node`: what may be written, and which verb it starts. `shareai_node.verbs` does the work."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from shareai_node import __version__, verbs
from shareai_node.errors import AgentError

_TOKEN_IN_ARGV = (
    "A token on the command line can be read by every user of this machine and stays in the shell's history. "
    "Put it into a file and add --token-file FILE, or leave it out and paste it when asked."
)
_INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns: the exit code; see `shareai_node.errors`."""
    given = _parser().parse_args(arguments)
    if given.home is not None:
        os.environ["SHAREAI_NODE_HOME"] = os.path.abspath(given.home)
    try:
        code: int = given.do(given)
    except AgentError as error:
        sys.stderr.write(f"{error}\n")
        return error.EXIT_CODE
    except KeyboardInterrupt:
        return _INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has gone, as in `logs | head`; Python would complain once more at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="shareai-node",
        description="Offers the models of this machine to your organisation, through one outbound connection.",
    )
    parser.add_argument("--version", action="version", version=__version__)
    parser.add_argument("--home", metavar="DIR", help="keep all files there (also: SHAREAI_NODE_HOME)")
    under = parser.add_subparsers(title="verbs", metavar="VERB", required=True)
    _add_enroll(under)
    _add_run(under)
    _add_service(under)
    _add_server(under)
    _add_questions(under)
    _add_switches(under)
    _add_upgrade(under)
    return parser


_Under = argparse._SubParsersAction  # argparse gives this type no public name


def _add_enroll(under: _Under[argparse.ArgumentParser]) -> None:
    verb = under.add_parser("enroll", help="make this machine known to a console, with a token from its wizard")
    verb.add_argument("console", metavar="URL", help="the console's address, as its wizard shows it")
    verb.add_argument("token", nargs="?", action=_Refused, help=argparse.SUPPRESS)
    _add_enrollment(verb)
    verb.add_argument("--replace", action="store_true", help="give up a former enrolment of this machine")
    verb.set_defaults(do=verbs.enroll)


def _add_enrollment(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--token-file", metavar="FILE", help="where the token is; - or nothing: standard input")
    verb.add_argument("--name", help="what the console shall call this machine")
    verb.add_argument("--allow-http", action="store_true", help="accept a console that is not encrypted")
    _add_servers(verb)


def _add_servers(verb: argparse.ArgumentParser) -> None:
    verb.add_argument(
        "--server", metavar="URL", action="append", default=[], help="an OpenAI-compatible server; may be repeated"
    )
    verb.add_argument("--server-key-file", metavar="FILE", help="where the key is that those servers want")
    verb.add_argument("--no-discover", action="store_true", help="do not look at the usual ports of this machine")


def _add_run(under: _Under[argparse.ArgumentParser]) -> None:
    verb = under.add_parser("run", help="connect and serve until stopped")
    verb.add_argument("--console", metavar="URL", help="enrol there first, if this machine is not enrolled")
    _add_enrollment(verb)
    verb.set_defaults(do=verbs.run)


def _add_service(under: _Under[argparse.ArgumentParser]) -> None:
    verb = under.add_parser("service", help="run in the background, from the start of this machine or session")
    does = verb.add_subparsers(metavar="install|uninstall|status", required=True)
    install = does.add_parser("install", help="install and start")
    install.add_argument(
        "--boot",
        "--service",
        action="store_true",
        help="Windows: start with the machine, not with the user's session",
    )
    install.add_argument("--no-start", action="store_true", help="install alone")
    install.set_defaults(do=verbs.service_install)
    uninstall = does.add_parser("uninstall", help="stop and remove; files and enrolment stay unless --purge")
    uninstall.add_argument("--purge", action="store_true", help="remove the enrolment, the key and the logs as well")
    uninstall.set_defaults(do=verbs.service_uninstall)
    does.add_parser("status", help="whether it is installed and runs").set_defaults(do=verbs.service_status)


def _add_server(under: _Under[argparse.ArgumentParser]) -> None:
    verb = under.add_parser("server", help="local model servers that are not at a usual port")
    does = verb.add_subparsers(metavar="add|remove|list", required=True)
    add = does.add_parser("add", help="offer an OpenAI-compatible server of this machine or its private network")
    add.add_argument("url")
    add.add_argument("--key-file", metavar="FILE", help="where the key is that it wants")
    add.set_defaults(do=verbs.server_add)
    remove = does.add_parser("remove")
    remove.add_argument("url")
    remove.set_defaults(do=verbs.server_remove)
    does.add_parser("list").set_defaults(do=verbs.server_list)


def _add_questions(under: _Under[argparse.ArgumentParser]) -> None:
    status = under.add_parser("status", help="what the running agent does")
    status.add_argument("--json", action="store_true")
    status.set_defaults(do=verbs.status)
    doctor = under.add_parser("doctor", help="look for what is wrong, and say what to do")
    doctor.add_argument("--json", action="store_true")
    doctor.set_defaults(do=verbs.doctor)
    logs = under.add_parser("logs", help="the end of the agent's log")
    logs.add_argument("-n", "--lines", type=int, default=50)
    logs.add_argument("-f", "--follow", action="store_true", help="go on as lines come")
    logs.set_defaults(do=verbs.logs)


def _add_switches(under: _Under[argparse.ArgumentParser]) -> None:
    pause = under.add_parser("pause", help="take no new requests; those in flight go on")
    pause.set_defaults(do=verbs.pause)
    resume = under.add_parser("resume", help="take requests again")
    resume.set_defaults(do=verbs.resume)
    drain = under.add_parser("drain", help="take no new requests, and wait until those in flight are done")
    drain.add_argument("--timeout", type=float, default=600, metavar="SECONDS")
    drain.set_defaults(do=verbs.drain)


def _add_upgrade(under: _Under[argparse.ArgumentParser]) -> None:
    verb = under.add_parser("upgrade", help="install the console's version, and go back if it does not come up")
    verb.add_argument("--check", action="store_true", help="only say whether there is one")
    verb.set_defaults(do=verbs.upgrade)


class _Refused(argparse.Action):
    """A token written as an argument. It is not repeated in the message."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: object, values: object, option: object = None
    ) -> None:
        if values is not None:
            parser.exit(2, _TOKEN_IN_ARGV + "\n")
