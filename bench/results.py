"""What a run leaves behind: results.json for machines, results.md for people."""

from __future__ import annotations

import json
import os
import platform
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from bench.interpreters import fastest

GATEWAY_NAMES = ("shareai", "litellm", "portkey", "sglang-router", "nginx")
CASE_NAMES = ("unary", "stream", "paced", "cache_hit", "governed", "tunnel")

# (over, under, case → what the ratio of CPU should be). A factor of ours over a peer is a limit above, a
# factor of a peer over ours one below.
RATIOS: tuple[tuple[str, str, dict[str, str]], ...] = (
    ("litellm", "shareai", {"unary": "≥ 70"}),
    ("portkey", "shareai", {"unary": "≥ 3.5", "paced": "≥ 2.5"}),
    ("shareai", "sglang-router", {"unary": "≤ 3.6", "stream": "≤ 1.0", "paced": "≤ 1.2"}),
    ("shareai", "nginx", {}),
)


@dataclass(frozen=True, slots=True)
class Row:
    """One gateway in one case. cpu_us is per request; rss_mb the peak of its largest process."""

    gateway: str
    case: str
    cpu_us: float
    rps: float
    p50_ms: float
    p99_ms: float
    rss_mb: float
    requests: int
    failed: int

    def __post_init__(self) -> None:
        if self.gateway not in GATEWAY_NAMES or self.case not in CASE_NAMES:
            raise ValueError(f"no such gateway or case: {self.gateway} {self.case}")


@dataclass(frozen=True, slots=True)
class Results:
    date: str  # ISO 8601, UTC
    machine: str
    rows: list[Row]
    missing: dict[str, str]  # gateway → why it was not measured; in results.md alone

    def row(self, gateway: str, case: str) -> Row | None:
        return next((row for row in self.rows if (row.gateway, row.case) == (gateway, case)), None)

    def as_json(self) -> str:
        value = {"date": self.date, "machine": self.machine, "rows": [asdict(row) for row in self.rows]}
        return json.dumps(value, indent=1) + "\n"


def median_row(rounds: Sequence[Row]) -> Row:
    """The median of each figure; requests and failures are added up."""

    def middle(name: str) -> float:
        return round(float(statistics.median(getattr(row, name) for row in rounds)), 2)

    return Row(
        gateway=rounds[0].gateway,
        case=rounds[0].case,
        cpu_us=middle("cpu_us"),
        rps=middle("rps"),
        p50_ms=middle("p50_ms"),
        p99_ms=middle("p99_ms"),
        rss_mb=middle("rss_mb"),
        requests=sum(row.requests for row in rounds),
        failed=sum(row.failed for row in rounds),
    )


def machine() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "CPU")
    cores = len(os.sched_getaffinity(0))
    return f"{cores} cores of {model}, {platform.system()}, Python {fastest().version}"


def parse(text: str) -> Results:
    """Reads results.json.

    Raises:
        ValueError: a field is missing, unknown or of the wrong kind.
    """
    value = json.loads(text)
    if not isinstance(value, dict) or value.keys() != {"date", "machine", "rows"}:
        raise ValueError("results.json has exactly date, machine and rows")
    return Results(str(value["date"]), str(value["machine"]), [_parse_row(row) for row in value["rows"]], {})


def _parse_row(value: dict[str, object]) -> Row:
    kinds = {field.name: field.type for field in fields(Row)}
    if value.keys() != kinds.keys():
        raise ValueError(f"a row has exactly {', '.join(kinds)}")
    wanted: dict[str, tuple[type, ...]] = {"str": (str,), "int": (int,), "float": (int, float)}
    for name, kind in kinds.items():
        if isinstance(value[name], bool) or not isinstance(value[name], wanted[str(kind)]):
            raise ValueError(f"{name} is not {kind}: {value[name]!r}")
    return Row(**value)  # type: ignore[arg-type]


def markdown(results: Results) -> str:
    parts = [
        "# Measured against peers",
        f"{results.date}, {results.machine}. Written by `make bench`.",
        "One process of each gateway in front of the same mock upstream. CPU is user and system time of the "
        "gateway's processes per request, the figure that a busy machine disturbs least; each figure is the "
        "median of the rounds. RSS is the peak of the gateway's largest process.",
        *(_case_table(results, case) for case in CASE_NAMES if any(row.case == case for row in results.rows)),
        _ratio_table(results),
    ]
    if results.missing:
        lines = [f"- {gateway}: {' '.join(why.split())}" for gateway, why in results.missing.items()]
        parts.append("## Not measured\n" + "\n".join(lines))
    return "\n\n".join(part for part in parts if part) + "\n"


_CASE_TITLES = {
    "unary": "Unary",
    "stream": "Stream of 100 chunks, sent at once",
    "paced": "Stream of 100 chunks, one every 10 ms",
    "cache_hit": "Cache hit",
    "governed": "Unary under limits of three scopes and a budget",
    "tunnel": "Through the tunnel to a node",
}


def _case_table(results: Results, case: str) -> str:
    lines = [
        f"## {_CASE_TITLES[case]}",
        "| gateway | CPU µs/request | requests/s | p50 ms | p99 ms | RSS MB | requests | failed |",
        "|---|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for row in sorted((row for row in results.rows if row.case == case), key=lambda row: row.cpu_us):
        lines.append(
            f"| {row.gateway} | {row.cpu_us:,.0f} | {row.rps:,.0f} | {row.p50_ms:,.1f} | {row.p99_ms:,.1f} "
            f"| {row.rss_mb:,.0f} | {row.requests:,} | {row.failed:,} |"
        )
    return lines[0] + "\n" + "\n".join(lines[1:])


def ratios(results: Results) -> list[tuple[str, str, float, str]]:
    """(what, case, ratio of CPU, goal or nothing) for each pair that was measured."""
    found = []
    for over, under, goals in RATIOS:
        for case in CASE_NAMES:
            above, below = results.row(over, case), results.row(under, case)
            if above and below and below.cpu_us > 0:
                found.append((f"{over} ÷ {under}", case, above.cpu_us / below.cpu_us, goals.get(case, "")))
    return found


def _ratio_table(results: Results) -> str:
    lines = [f"| {what} | {case} | {ratio:.2f} | {goal} |" for what, case, ratio, goal in ratios(results)]
    if not lines:
        return ""
    return "\n".join(["## Ratios of CPU", "| what | case | ratio | goal |", "|---|---|--:|---|", *lines])
