"""What the figures were measured on."""

import os
import platform
import statistics
import tempfile
import time
from pathlib import Path

# Enough for a median of something that takes from microseconds to tens of milliseconds.
SYNCS = 50


def describe(directory):
    directory.mkdir(parents=True, exist_ok=True)
    return {
        "CPU": processor(),
        "Cores": str(os.cpu_count()),
        "Memory": memory(),
        "System": f"{platform.system()} {platform.release()}, {platform.machine()}",
        "Load before the start": f"{os.getloadavg()[0]:.2f}",
        "Syncing 4 KiB to the disk": f"{sync_milliseconds(directory):.2f} ms",
    }


def processor():
    for line in lines_of("/proc/cpuinfo"):
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def memory():
    for line in lines_of("/proc/meminfo"):
        if line.startswith("MemTotal:"):
            return f"{int(line.split()[1]) / 1024 / 1024:.1f} GiB"
    return "unknown"


def lines_of(path):
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []


def sync_milliseconds(directory):
    """The median of appending a block and syncing it, which every synced write pays for."""
    times = []
    with tempfile.NamedTemporaryFile(dir=directory) as file:
        for _ in range(SYNCS):
            began = time.perf_counter()
            file.write(bytes(4096))
            file.flush()
            os.fsync(file.fileno())
            times.append(time.perf_counter() - began)
    return statistics.median(times) * 1000
