"""The account at the end: every process, and everything that must be gone."""
import collections
import time

# Beyond what lies idle: SQLite opens files when it first needs them.
SPARE_FDS = 4
# Acknowledged events are dropped; keys are kept for some time.
JOURNAL_BYTES = 16 << 20


def runs(world):
    """How often each process has written its name."""
    file = world.shared / "started"
    return collections.Counter(file.read_text().split()) if file.exists() else collections.Counter()


def settle_processes(orchestrator, world):
    """The outcomes; violations are told to the orchestrator."""
    outcomes, ran = collections.Counter(), runs(world)
    for process in orchestrator.processes.values():
        if process.plan:
            process.settle(ran[process.name])
            outcomes[process.outcome(ran[process.name])] += 1
        elif process.told.count("process.exited") != process.told.count("process.closed"):
            process.complain("process.closed", "once", process.state())
    for name in ran.keys() - {process.name for process in orchestrator.processes.values()}:
        orchestrator.complain(name, "runs", "a process that was asked for", "this one")
    if "never" in orchestrator.containers:
        orchestrator.complain("never", "container.created", "none: its command had no LF", "one")
    for container, events in orchestrator.containers.items():
        if events not in (["container.created", "container.deleted"], ["container.created", "container.deleted"] * 2):
            orchestrator.complain(container, "events", "created, deleted", ", ".join(events))
    return outcomes


def shims(orchestrator, world):
    """A Tasks.Delete whose caller dies in the middle of it makes containerd forget the task and leave its shim: nobody
    can ask for that one any more. It is counted."""
    left = set(world.shims())
    left_by_containerd = {name for name in left if name in orchestrator.cut_off or name.startswith("by-")}
    orchestrator.numbers["shims left by containerd"] = len(left_by_containerd)
    return sorted(left - left_by_containerd)


def settle_rest(orchestrator, world):
    """Nothing may be left; what takes a moment to go has it."""
    remains = {
        "tasks": lambda: world.ctr("tasks", "list", "-q"),
        "containers": lambda: world.ctr("containers", "list", "-q"),
        "shims": lambda: shims(orchestrator, world),
        "processes in containers": world.contained,
        "mounts": world.mounts,
        "FIFOs": world.fifos,
        "bundles": world.bundles,
    }
    end = time.monotonic() + 15
    for name, look in remains.items():
        while (left := look()) and time.monotonic() < end:
            time.sleep(0.2)
        if left:
            orchestrator.complain("at the end", name, "none", f"{len(left)}: {' '.join(map(str, left[:5]))}")


def settle_worker(orchestrator, world, before, after):
    """What the worker says of itself, once everything else is gone."""
    if after["fds"] > before["fds"] + SPARE_FDS:
        orchestrator.complain("at the end", "fds of the worker", f"{before['fds']}", f"{after['fds']}")
    if after["containers"] or after["processes"]:
        orchestrator.complain("at the end", "worker.status", "no containers, no processes", str(after))
    if world.stored_bytes() > JOURNAL_BYTES:
        orchestrator.complain("at the end", "journal", f"at most {JOURNAL_BYTES}", str(world.stored_bytes()))
