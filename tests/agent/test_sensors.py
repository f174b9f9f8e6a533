"""What the systems' own words mean, and that a sensor which cannot read says so."""

from __future__ import annotations

import os
import plistlib
import sys
from pathlib import Path

import pytest

from shareai_node import gpus, sensors, vitals
from shareai_node.sensors import linux, macos, windows


@pytest.fixture
def commands(tmp_path: Path, monkeypatch):
    """Executables that stand first in PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")

    def add(name: str, script: str) -> None:
        file = folder / name
        file.write_text(f"#!/bin/sh\n{script}\n")
        file.chmod(0o755)

    return add


@pytest.mark.parametrize(("text", "quiet_s"), [("(uint64 12345,)\n", 12.345), ("", None), ("(uint32 1,)", None)])
def test_what_mutter_says_of_idleness(text, quiet_s):
    assert linux.mutter_from(text) == quiet_s


@pytest.mark.parametrize(
    ("text", "quiet_s"),
    [
        ("IdleHint=no\nIdleSinceHint=0\n", 0.0),
        ("IdleHint=yes\nIdleSinceHint=1700000000000000\n", 60.0),
        ("IdleHint=yes\nIdleSinceHint=0\n", 5.0),
        ("IdleHint=yes\nIdleSinceHint=1700000999000000\n", 0.0),
        ("IdleHint=yes\n", None),
        ("", None),
    ],
)
def test_what_logind_says_of_idleness(text, quiet_s):
    assert linux.logind_from(text, now_s=1_700_000_060.0, uptime_s=5.0) == quiet_s


@pytest.mark.skipif(sys.platform != "linux", reason="the commands of Linux")
def test_linux_asks_the_desktop_first_and_then_logind(commands, monkeypatch):
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nowhere")
    commands("gdbus", "echo '(uint64 4000,)'")
    commands("loginctl", "echo IdleHint=no; echo IdleSinceHint=0")
    assert sensors.quiet_s() == 4.0
    commands("gdbus", "exit 1")
    assert sensors.quiet_s() == 0.0
    commands("loginctl", "exit 1")
    assert sensors.quiet_s() is None


@pytest.mark.skipif(sys.platform != "linux", reason="the commands of Linux")
def test_a_command_that_hangs_is_left(commands, monkeypatch):
    monkeypatch.setattr("shareai_node.sensors.commands._WITHIN_S", 0.1)
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("DBUS_SESSION_BUS_ADDRESS", raising=False)
    commands("loginctl", "exec sleep 60")
    assert sensors.quiet_s() is None


@pytest.mark.parametrize(
    ("registry", "quiet_s"),
    [('    | "HIDIdleTime" = 2500000000\n    | "HIDClickTime" = 1', 2.5), ("", None)],
)
def test_what_macos_says_of_idleness(registry, quiet_s):
    assert macos.quiet_from(registry) == quiet_s


@pytest.mark.parametrize(
    ("text", "on_battery"),
    [
        ("Now drawing from 'Battery Power'\n -InternalBattery-0 80%", True),
        ("Now drawing from 'AC Power'\n", False),
        ("", None),
    ],
)
def test_battery_of_macos(text, on_battery):
    assert macos.battery_from(text) is on_battery


@pytest.mark.parametrize(
    ("input_ms", "now_ms", "quiet_s"), [(1000, 61_000, 60.0), (2**32 - 1000, 2000, 3.0), (5, 5, 0.0)]
)
def test_windows_counts_across_its_overflow(input_ms, now_ms, quiet_s):
    assert windows.quiet_between(input_ms, now_ms) == quiet_s


def supply(folder: Path, name: str, **values: str) -> None:
    (folder / name).mkdir()
    for key, value in values.items():
        (folder / name / key).write_text(value + "\n")


@pytest.mark.parametrize(
    ("supplies", "on_battery"),
    [
        ({}, False),
        ({"BAT0": {"type": "Battery", "status": "Discharging"}, "AC": {"type": "Mains", "online": "0"}}, True),
        ({"BAT0": {"type": "Battery", "status": "Charging"}, "AC": {"type": "Mains", "online": "1"}}, False),
        ({"BAT0": {"type": "Battery", "status": "Discharging"}}, True),
        ({"BAT0": {"type": "Battery", "status": "Full"}}, False),
        ({"mouse": {"type": "Battery", "scope": "Device", "status": "Discharging"}}, False),
    ],
)
def test_battery_of_linux(tmp_path, supplies, on_battery):
    for name, values in supplies.items():
        supply(tmp_path, name, **values)
    assert vitals.on_battery_from(tmp_path) is on_battery


def test_memory_of_linux():
    text = "MemTotal:       16000 kB\nMemFree:  1 kB\nMemAvailable:    4000 kB\nHugePages_Total:       0\n"
    assert vitals.memory_from(text) == (16000 * 1024, 12000 * 1024)
    assert vitals.memory_from("") == (None, None)


def test_vitals_of_this_machine():
    reader = vitals.VitalsReader()
    sum(range(300_000))
    seen = reader.read()
    reader.close()
    assert seen.ram_total_bytes
    assert seen.ram_used_bytes
    assert 0 < seen.ram_used_bytes < seen.ram_total_bytes
    assert seen.cpu_load is None or 0 <= seen.cpu_load <= 1


@pytest.mark.skipif(not Path("/proc/stat").exists(), reason="/proc")
def test_vitals_without_psutil(monkeypatch):
    monkeypatch.setattr(vitals, "psutil", None)
    total, used = vitals.memory()
    assert total
    assert used
    processor = vitals.ProcessorTime()
    sum(range(3_000_000))
    load = processor.load()
    assert load is None or 0 <= load <= 1


def test_load_is_the_busiest_cards_or_the_processors():
    card = gpus.Gpu("A", 1, 1, 0.1)
    seen = vitals.Vitals((card, gpus.Gpu("B", 1, 1, 0.7)), 0.9, None, None, False)
    assert seen.load == 0.7
    assert vitals.Vitals((), 0.9, None, None, False).load == 0.9
    assert vitals.Vitals((gpus.Gpu("A", None, None, None),), 0.9, None, None, False).load is None


def test_nvidia_by_its_command(commands):
    commands("nvidia-smi", "echo 'NVIDIA GeForce RTX 4090, 24564, 1024, 37'; echo 'Odd, Name, 100, 5, [N/A]'")
    assert gpus.nvidia_by_command() == (
        gpus.Gpu("NVIDIA GeForce RTX 4090", 24564 << 20, 1024 << 20, 0.37),
        gpus.Gpu("Odd, Name", 100 << 20, 5 << 20, None),
    )


def test_amd_as_linux_shows_it(tmp_path):
    device = tmp_path / "card0" / "device"
    device.mkdir(parents=True)
    (device / "gpu_busy_percent").write_text("42\n")
    (device / "mem_info_vram_total").write_text("1000\n")
    (device / "mem_info_vram_used").write_text("10\n")
    assert gpus.amd(tmp_path) == (gpus.Gpu("AMD", 1000, 10, 0.42),)
    assert gpus.amd(tmp_path / "none") == ()


def test_what_macos_says_of_its_gpu():
    plist = plistlib.dumps(
        [{"model": "Apple M3", "PerformanceStatistics": {"Device Utilization %": 12, "In use system memory": 99}}]
    ).decode()
    assert gpus.apple_from(plist) == (gpus.Gpu("Apple M3", None, 99, 0.12),)
    assert gpus.apple_from("") == gpus.apple_from("no plist") == ()
