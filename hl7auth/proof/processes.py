"""What the system tells of processes: their children, time, memory and open files; None where there is no /proc.

Imports the standard library only.
"""

import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path


def cpu_seconds(process: int) -> float | None:
    """User and system time of a process so far, of all its threads; None where there is no /proc."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
    except OSError:
        return None
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def children(process: int) -> list[int]:
    """The processes that a process has started, as far as /proc tells."""
    try:
        listed = Path(f"/proc/{process}/task/{process}/children").read_text(encoding="ascii")
    except OSError:
        return []
    return [int(child) for child in listed.split()]


def together(figure: Callable[[int], float | None], processes: Sequence[int]) -> float | None:
    """The sum of a figure over processes; None where one can not be told."""
    known = [value for process in processes if (value := figure(process)) is not None]
    return round(sum(known), 3) if len(known) == len(processes) else None


def memory_mb(process: int, name: str) -> float | None:
    """VmRSS or VmHWM of a process in MB; None where there is no /proc."""
    try:
        status = Path(f"/proc/{process}/status").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    found = re.search(rf"(?m)^{name}:\s*(\d+) kB", status)
    return round(int(found[1]) * 1024 / 1e6, 1) if found else None


def open_files(process: int) -> float | None:
    """How many descriptors a process holds."""
    try:
        return float(len(os.listdir(f"/proc/{process}/fd")))
    except OSError:
        return None
