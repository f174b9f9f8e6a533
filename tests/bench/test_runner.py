"""The whole run, with the mock upstream itself in the gateway's place, and with nginx where it is installed."""

import json
import shutil
import sys
from pathlib import Path

import pytest

from bench import results
from bench.__main__ import main
from bench.cases import CASES
from bench.gateways import GATEWAYS, Endpoint, Gateway
from bench.processes import GatewayError
from bench.runner import Settings, compare
from bench.soak import soak


class Direct(Gateway):
    """No gateway at all: a second mock upstream."""

    name = "nginx"
    models = {"unary": "bench", "stream": "bench"}

    @property
    def folder(self) -> Path:
        return self.home

    home: Path

    def start(self, upstream_url: str) -> Endpoint:
        log = self.folder / "output.log"
        child = self.spawn([sys.executable, "-m", "bench.upstream"])
        child.wait_until(lambda: log.read_text().endswith("}\n"), self.name)
        return Endpoint(json.loads(log.read_text())["port"], self.models)


class Wrong(Direct):
    name = "litellm"
    models = {"unary": "bench-broken"}


class Mortal(Direct):
    """Dies as soon as it answers, the first time it is started."""

    starts = 0

    def start(self, upstream_url: str) -> Endpoint:
        endpoint = super().start(upstream_url)
        Mortal.starts += 1
        if Mortal.starts == 1:
            self.children[0].stop()
        return endpoint


class Unbuildable(Direct):
    name = "portkey"

    def install(self) -> None:
        self.run_step([sys.executable, "-c", "raise SystemExit('no such package')"])


@pytest.fixture(autouse=True)
def gateways(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for gateway in (Direct, Wrong, Unbuildable):
        monkeypatch.setattr(gateway, "home", tmp_path / gateway.name, raising=False)
        monkeypatch.setitem(GATEWAYS, gateway.name, gateway)


def test_measures_what_it_can_and_names_what_it_cannot() -> None:
    names = ["nginx", "litellm", "portkey"]
    found = compare(Settings(names, [CASES["unary"], CASES["stream"]], rounds=2, connections=4, requests=40))
    assert [(row.gateway, row.case, row.requests, row.failed) for row in found.rows] == [
        ("nginx", "unary", 80, 0),
        ("nginx", "stream", 80, 0),
    ]
    assert all(row.cpu_us > 0 and row.rps > 0 and row.rss_mb > 5 for row in found.rows)
    assert "status 500" in found.missing["litellm"]
    assert "no such package" in found.missing["portkey"]
    assert results.parse(found.as_json()).rows == found.rows


def test_a_gateway_that_died_is_started_once_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(GATEWAYS, "nginx", Mortal)
    monkeypatch.setattr(Mortal, "starts", 0)
    found = compare(Settings(["nginx"], [CASES["unary"]], rounds=2, connections=4, requests=40))
    assert [(row.requests, row.failed) for row in found.rows] == [(80, 0)]
    assert (found.missing, Mortal.starts) == ({}, 2)


def test_a_failed_build_is_tried_again_and_a_finished_one_is_kept(tmp_path: Path) -> None:
    with pytest.raises(GatewayError):
        Unbuildable().build()
    with pytest.raises(GatewayError):
        Unbuildable().build()
    Direct().build()
    kept = tmp_path / "nginx" / "kept"
    kept.touch()
    Direct().build()
    assert kept.exists()


def test_a_change_of_pins_builds_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Direct().build()
    stale = tmp_path / "nginx" / "stale"
    stale.touch()
    monkeypatch.setattr(Direct, "pins", ("other==2",))
    Direct().build()
    assert not stale.exists()


def test_the_command_writes_both_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--gateways", "nginx", "--cases", "unary", "--requests", "40", "--rounds", "1", "--out", str(tmp_path)]
    assert main(words) == 0
    assert results.parse((tmp_path / "results.json").read_text()).rows[0].requests == 40
    assert (tmp_path / "results.md").read_text() in capsys.readouterr().out


def test_the_command_fails_when_a_gateway_is_missing(tmp_path: Path) -> None:
    words = ["--gateways", "portkey", "--cases", "unary", "--requests", "40", "--out", str(tmp_path)]
    assert main(words) == 1
    assert "no such package" in (tmp_path / "results.md").read_text()


def test_a_soak_tells_memory_and_failures() -> None:
    seen = soak("nginx", requests=400, connections=4)
    assert (seen.requests, seen.failed) == (400, 0)
    assert 5 < seen.start_mb < 200
    assert seen.flat == (seen.growth_mb <= 5)


def test_a_soak_of_a_broken_gateway_is_an_error() -> None:
    with pytest.raises(GatewayError):
        soak("portkey", requests=10)


@pytest.mark.skipif(shutil.which("nginx") is None, reason="nginx is not installed")
def test_the_real_nginx(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    found = compare(Settings(["nginx"], [CASES["unary"], CASES["stream"]], rounds=1, connections=4, requests=40))
    assert found.missing == {}
    assert [row.failed for row in found.rows] == [0, 0]
