"""How much memory there is, how much of it a process that works on a model may take, and how amounts are written."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

from onnxctl.errors import UsageError

MEMORY_SHARE = 0.9
"""How much of the available memory a model may use."""

BYTE_UNITS: Mapping[str, float] = {
    "B": 1,
    "kB": 1e3,
    "MB": 1e6,
    "GB": 1e9,
    "KiB": 1 << 10,
    "MiB": 1 << 20,
    "GiB": 1 << 30,
}
"""The units that options take amounts in, and how many bytes each is."""

_AMOUNT = re.compile(r"\s*(?P<number>\d{1,15}(?:\.\d+)?)\s*(?P<unit>[a-zA-Z]*)\s*")
_NO_LIMIT = 1 << 60
_CONTROL_GROUP = "/sys/fs/cgroup"


def usual_memory_bytes() -> int | None:
    """How much private memory a child that works on a model may use; None where the system does not say."""
    available = available_memory_bytes()
    return None if available is None else int(available * MEMORY_SHARE)


def parse_bytes(option: str, text: str) -> int:
    """What an option gives as a number of bytes, as in "2GB" or "512MiB". Raises UsageError."""
    found = _AMOUNT.fullmatch(text)
    count = 0 if found is None else int(float(found["number"]) * BYTE_UNITS.get(found["unit"] or "B", 0))
    if not count:
        known = ", ".join(BYTE_UNITS)
        raise UsageError(f"{option} {text!r}: not a size", hint=f"write it like 2GB or 512MiB; units are {known}")
    return count


def available_memory_bytes() -> int | None:
    """Memory that a new process could use without swapping, within the limit of this container; None where unknown."""
    limits = [_meminfo_bytes("MemAvailable"), _control_group_room_bytes()]
    known = [each for each in limits if each is not None]
    return min(known) if known else None


def total_memory_bytes() -> int:
    """The memory of this machine; 0 where the system does not say."""
    total = _meminfo_bytes("MemTotal")
    if total is None and hasattr(os, "sysconf"):
        total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return total or 0


def read_of_system(path: str) -> str:
    """The text of a file in which the system tells about itself; "" where it has none."""
    try:
        with open(path, errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def _meminfo_bytes(key: str) -> int | None:
    for line in read_of_system("/proc/meminfo").splitlines():
        if line.startswith(f"{key}:"):
            return int(line.split()[1]) << 10
    return None


def _control_group_room_bytes() -> int | None:
    """What the container's memory limit leaves; None where there is no limit (cgroup version 1 or 2)."""
    for limit, usage in (
        ("memory.max", "memory.current"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
    ):
        most = read_of_system(f"{_CONTROL_GROUP}/{limit}").strip()
        used = read_of_system(f"{_CONTROL_GROUP}/{usage}").strip()
        if most.isdigit() and used.isdigit() and int(most) < _NO_LIMIT:
            return max(0, int(most) - int(used))
    return None
