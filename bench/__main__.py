"""`python -m bench`: measures the gateways, prints the tables, and writes results.json and results.md."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from bench import results, runner
from bench.cases import CASES
from bench.gateways import GATEWAYS
from bench.gateways.base import ENVIRONMENTS
from bench.processes import GatewayError
from bench.progress import say
from bench.soak import LIMIT_MB, soak

_HERE = Path(__file__).resolve().parent
_QUICK_SCALE = 0.25


def _arguments(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--gateways", nargs="+", choices=list(GATEWAYS), default=list(GATEWAYS))
    parser.add_argument("--cases", nargs="+", choices=list(CASES), default=list(CASES))
    parser.add_argument("--requests", type=_positive, help="per round, case and gateway; default: by case")
    parser.add_argument("--connections", type=_positive, default=16)
    parser.add_argument("--rounds", type=_positive, default=7, help="the figures are the median of these")
    parser.add_argument("--quick", action="store_true", help="one round of a quarter; does not touch the results")
    parser.add_argument("--out", type=Path, help="folder for results.json and results.md; default: bench/")
    parser.add_argument(
        "--soak", type=_positive, metavar="N", help="instead: N requests at one gateway (ours), and its memory"
    )
    return parser.parse_args(words)


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return number


def main(words: Sequence[str] | None = None) -> int:
    """Returns 1 if a chosen gateway could not be measured, an answer was wrong or memory grew."""
    chosen = _arguments(words)
    # The gateways live in sessions of their own: a bench that is told to stop must still stop them.
    signal.signal(signal.SIGTERM, lambda signum, frame: sys.exit(128 + signum))
    return _soak(chosen) if chosen.soak else _compare(chosen)


def _compare(chosen: argparse.Namespace) -> int:
    settings = runner.Settings(
        gateways=chosen.gateways,
        cases=[CASES[name] for name in chosen.cases],
        rounds=1 if chosen.quick else chosen.rounds,
        connections=chosen.connections,
        requests=chosen.requests,
        scale=_QUICK_SCALE if chosen.quick else 1.0,
    )
    found = runner.compare(settings)
    folder = chosen.out or (ENVIRONMENTS / "quick" if chosen.quick else _HERE)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "results.json").write_text(found.as_json())
    (folder / "results.md").write_text(results.markdown(found))
    print("\n" + results.markdown(found))
    say(f"written to {folder}/results.json and results.md")
    return 1 if found.missing or any(row.failed for row in found.rows) else 0


def _soak(chosen: argparse.Namespace) -> int:
    name = chosen.gateways[0] if len(chosen.gateways) == 1 else "shareai"
    try:
        seen = soak(name, chosen.soak, chosen.connections)
    except GatewayError as error:
        print(f"not measured: {error}", file=sys.stderr)
        return 1
    print(
        f"{name}: RSS {seen.start_mb:.1f} MB at the start, {seen.end_mb:.1f} MB after {seen.requests:,} requests "
        f"({seen.growth_mb:+.1f} MB, limit {LIMIT_MB:g} MB), {seen.failed:,} failed"
    )
    return 0 if seen.flat else 1


if __name__ == "__main__":
    sys.exit(main())
