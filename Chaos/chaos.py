#!/usr/bin/env python3
"""Chaos test of containerd-worker: containers with known output and exit codes, while everything is killed at random.

At the end every process is accounted for: one process.exited and one process.closed, the right exit code or an honest
"lost", every byte of output delivered or named in a stdio.gap, no command run twice, nothing left. Wants root.
"""
import argparse
import asyncio
import os
import random
import signal
import sys
import time

import account
from faults import KINDS, Faults
from life import Life
from log import Log
from orchestrator import Orchestrator
from plan import NOISE
from world import World

# For what is under way when the faults are over.
GRACE = 90


class Chaos:
    def __init__(self, options):
        self.options = options
        self.log = Log(os.path.join(options.log, "lines.log") if options.log else None)
        self.world = World(options.worker, "chaos", options.log)
        self.noise = random.Random(options.seed).randbytes(NOISE)
        self.orchestrator = Orchestrator(self.world, self.log)
        self.faults, self.outcomes, self.lives = None, {}, []

    async def run(self):
        """Bounded in time, whatever happens; what fails in a callback must not go unseen."""
        running, failures = asyncio.create_task(self.run_all()), []

        def failed(loop, context):
            loop.default_exception_handler(context)
            failures.append(str(context.get("exception", context["message"])))
            running.cancel()

        asyncio.get_running_loop().set_exception_handler(failed)
        try:
            await asyncio.wait_for(running, self.options.seconds + 2 * GRACE)
        except asyncio.CancelledError:
            if not failures:
                raise
        except TimeoutError:
            failures.append(f"not over within {self.options.seconds + 2 * GRACE:g} s")
        for failure in failures:
            self.orchestrator.complain("this program", "end", "none before the account", failure)

    async def run_all(self):
        (self.world.shared / "noise").write_bytes(self.noise)
        orchestrator = self.orchestrator
        await self.world.worker_listens()
        keeper = asyncio.create_task(orchestrator.keep_connected())
        await orchestrator.up.wait()
        self.faults = Faults(orchestrator, self.world, self.kinds(), self.chance("faults"), await self.forgets())
        await orchestrator.find_keys()
        if not orchestrator.keys:
            print("# this worker has no keys: what became of a command whose reply is lost has to be looked up")
        await self.life(0)
        before = await self.status()
        deadline = time.monotonic() + self.options.seconds
        lanes = [asyncio.create_task(self.lane(deadline)) for _ in range(self.options.containers)]
        await self.faults.run(self.options.seconds)
        _, late = await asyncio.wait(lanes, timeout=GRACE)
        for lane in late:
            orchestrator.complain("at the end", "lives", f"over within {GRACE} s", "one that is not")
            lane.cancel()
        for lane in set(lanes) - late:
            lane.result()
        await asyncio.to_thread(account.settle_rest, orchestrator, self.world)
        account.settle_worker(orchestrator, self.world, before, await self.status())
        self.outcomes = account.settle_processes(orchestrator, self.world)
        orchestrator.close()
        await keeper

    def kinds(self):
        if not self.orchestrator.replay and "worker" in self.options.faults:
            print("# this worker has no replay: it is not killed")
            return [kind for kind in self.options.faults if kind != "worker"]
        return self.options.faults

    async def forgets(self):
        version = (await self.orchestrator.ask("version", {}))["result"]["containerd"]["version"]
        return not version.startswith("1.6")

    def chance(self, name):
        return random.Random(f"{self.options.seed}/{name}")

    async def lane(self, deadline):
        """One container after another."""
        while time.monotonic() < deadline:
            await self.life(len(self.lives))

    async def life(self, number):
        self.lives.append(number)
        chance = self.chance(f"life {number}")
        disturb = (lambda: {}) if number == 0 else (lambda: self.faults.disturb(chance))
        await Life(self.orchestrator, f"c{number}", chance, self.noise, self.world.shared, self.world.rootfs, disturb).run()

    async def status(self):
        return (await self.orchestrator.ask("worker.status", {}))["result"]

    def tear_down(self):
        if self.faults:
            self.faults.bystanders.kill_all()
        self.world.tear_down()
        self.world.remove_sockets({container for container, _ in self.orchestrator.processes})

    # The report

    def report(self):
        numbers, processes = self.orchestrator.numbers, self.orchestrator.processes.values()
        streams = [stream for process in processes for stream in process.streams.values()]
        rows = [(f"processes {outcome}", count) for outcome, count in sorted(self.outcomes.items())]
        rows += [("containers", len(self.lives)), ("bytes of output", sum(s.position - s.missing for s in streams))]
        rows += [("bytes delivered again", sum(s.repeated for s in streams))]
        rows += [(f"bytes in gaps: {reason}", count) for reason, count in sorted(self.orchestrator.gaps.items())]
        rows += sorted(numbers.items())
        for name, count in rows:
            print(f"{name:32} {count:>12}")
        for violation in self.orchestrator.violations:
            print(f"VIOLATION {violation}")
        print(f"{len(self.orchestrator.violations)} violations, seed {self.options.seed}")


def parse():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--worker", default=os.environ.get("WORKER"), help="the program to test (WORKER)")
    parser.add_argument("--seconds", type=float, default=60, help="how long there are faults")
    parser.add_argument("--seed", type=int, help="repeats what an earlier run did")
    parser.add_argument("--containers", type=int, default=8, help="how many at a time")
    parser.add_argument("--faults", default=",".join(KINDS), help="of these: %(default)s")
    parser.add_argument("--log", help="a directory for all lines and the logs of worker and containerd")
    options = parser.parse_args()
    options.faults = [kind for kind in options.faults.split(",") if kind]
    if not options.worker or not set(options.faults) <= set(KINDS):
        parser.error("needs --worker, and faults out of " + ",".join(KINDS))
    if options.seed is None:
        options.seed = random.SystemRandom().randrange(1 << 32)
    if options.log:
        os.makedirs(options.log, exist_ok=True)
    return options


def main():
    options = parse()
    print(f"# seed {options.seed}, {options.seconds:g} s, faults {','.join(options.faults)}", flush=True)
    # As ^C does it: the way out takes everything away.
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    chaos = Chaos(options)
    try:
        chaos.world.set_up()
        asyncio.run(chaos.run())
    except KeyboardInterrupt:
        print("# interrupted")
        sys.exit(130)
    finally:
        chaos.tear_down()
    chaos.report()
    sys.exit(1 if chaos.orchestrator.violations else 0)


if __name__ == "__main__":
    main()
