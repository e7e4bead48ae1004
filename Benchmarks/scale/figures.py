"""What the kernel says of a process, and the middle of many numbers."""
import os
import pathlib

TICKS = os.sysconf("SC_CLK_TCK")


class Usage:
    """A process at one moment. Memory is in KiB and PSS: what others map too counts in part."""

    def __init__(self, pid):
        rollup = fields(f"/proc/{pid}/smaps_rollup")
        # Its own memory with the kernel's tables for it, and the pages of files that it has mapped: the streams'.
        self.private = rollup["Pss_Anon"] + fields(f"/proc/{pid}/status")["VmPTE"]
        self.mapped = rollup["Pss_File"] + rollup["Pss_Shmem"]
        self.descriptors = len(os.listdir(f"/proc/{pid}/fd"))
        self.mappings = pathlib.Path(f"/proc/{pid}/maps").read_text().count("\n")


def cpu_seconds(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def fields(path):
    found = {}
    for line in pathlib.Path(path).read_text().splitlines():
        name, _, value = line.partition(":")
        if value.endswith("kB"):
            found[name] = int(value.split()[0])
    return found


def quantile(numbers, part):
    ordered = sorted(numbers)
    return ordered[min(len(ordered) - 1, int(len(ordered) * part))] if ordered else float("nan")
