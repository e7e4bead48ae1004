#!/usr/bin/env python3
"""Soak test of containerd-worker: thousands of containers and execs, and the worker is where it was.

Descriptors, threads, memory and state directory are looked at when it is new, when it is warm, and at the end. Wants root.
"""
import argparse
import asyncio
import os
import signal
import sys
import time

from connection import Connection
from world import World, read

# What may come on top of what it was when warm.
BOUNDS = {"fds": 4, "threads": 2, "memory": 16 << 20, "files": 8, "stored": 32 << 20, "fifos": 0, "containers": 0,
          "processes": 0, "shims": 0}
# Enough for every buffer, cache and thread to be there; a journal has its full size only much later.
WARM = 200


class Soak:
    def __init__(self, options):
        self.options, self.world = options, World(options.worker, "soak", options.log)
        self.waiting, self.wrong = {}, []
        self.lives, self.execs, self.seq, self.acknowledged = 0, 0, 0, 0

    async def run(self):
        await self.world.worker_listens()
        self.connection = await Connection.open(self.world.socket, self.event)
        self.replay = "replay" in self.connection.greeting.result()["features"]
        if self.replay:
            await self.call("events.subscribe", **{"from": "now"})
        table = [("new", await self.numbers())]
        await self.batch(min(WARM, self.options.lives // 4), min(WARM * 4, self.options.execs // 4))
        table.append(("warm", await self.numbers()))
        await self.batch(self.options.lives, self.options.execs)
        table.append(("end", await self.numbers()))
        return table

    async def batch(self, lives, execs):
        """Until so many are done; the execs are shared out among the lives."""
        self.left, self.execs_left = lives, execs
        await asyncio.gather(*(self.lane(lane) for lane in range(self.options.containers)))

    async def lane(self, lane):
        while self.left > 0:
            share = -(-self.execs_left // self.left)
            self.left -= 1
            self.execs_left -= share
            self.lives += 1
            await self.life(f"s{self.lives}", share)
            if self.lives % 500 == 0:
                print(f"# {self.lives} lives, {self.execs} execs", flush=True)

    async def life(self, name, execs):
        await self.call("container.create", container=name, rootfs=str(self.world.rootfs), args=["sleep", "100000"])
        init = self.closes(name, "init")
        await self.call("task.start", container=name, attach={})
        for number in range(execs):
            self.execs += 1
            code, ended = number % 256, self.closes(name, f"e{number}")
            await self.call("process.exec", container=name, process=f"e{number}", attach={},
                            args=["sh", "-c", f"echo {name}; exit {code}"])
            self.expect(name, await ended, code, len(name) + 1)
        await self.call("process.kill", container=name, signal="KILL")
        self.expect(name, await init, 137, 0)
        await self.call("task.delete", container=name)
        await self.call("container.delete", container=name)

    def expect(self, name, closed, code, size):
        if closed["exit_code"] != code or closed["stdout"] != {"bytes": size, "end": "eof"}:
            self.wrong.append(f"{name}: expected exit code {code} and {size} bytes, came {closed}")

    # The connection

    async def call(self, command, **arguments):
        reply = await self.connection.request(command, arguments)
        if "error" in reply:
            raise RuntimeError(f"{command} {arguments}: {reply['error']}")
        return reply["result"]

    def closes(self, container, process):
        future = asyncio.get_running_loop().create_future()
        self.waiting[container, process] = future
        return future

    def event(self, connection, event):
        if event["event"] == "process.closed":
            self.waiting.pop((event["container"], event["process"])).set_result(event)
        if "seq" in event:
            self.seq = event["seq"]
            if self.replay and self.seq >= self.acknowledged + 200:
                self.acknowledged = self.seq
                self.connection.last_id += 1
                self.connection.send("events.ack", {"seq": self.seq}, id=self.connection.last_id)

    # The numbers

    async def numbers(self):
        # What is still on its way out has the time for it.
        await asyncio.sleep(3)
        status, files = await self.call("worker.status"), self.world.files()
        return {"fds": len(os.listdir(f"/proc/{self.world.worker.pid}/fd")), "fds told": status["fds"],
                "threads": status["threads"], "memory": resident(self.world.worker.pid), "memory told": status["memory_bytes"],
                "containers": status["containers"], "processes": status["processes"], "files": len(files),
                "stored": self.world.stored_bytes(), "fifos": len(self.world.fifos()), "shims": len(self.world.shims())}


def resident(pid):
    for line in read(f"/proc/{pid}/status").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) << 10
    return 0


def report(table, soak, seconds):
    names = list(table[0][1])
    print(f"{'':14}" + "".join(f"{label:>14}" for label, _ in table) + f"{'bound':>14}")
    failed = []
    for name in names:
        bound = table[1][1][name] + BOUNDS[name] if name in BOUNDS else None
        print(f"{name:14}" + "".join(f"{numbers[name]:>14}" for _, numbers in table) + f"{'' if bound is None else bound:>14}")
        if bound is not None and table[-1][1][name] > bound:
            failed.append(f"{name}: {table[-1][1][name]} at the end, at most {bound} expected")
    print(f"{soak.lives} lives and {soak.execs} execs in {seconds:.0f} s")
    for line in failed + soak.wrong[:20]:
        print(f"VIOLATION {line}")
    return not failed and not soak.wrong


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--worker", default=os.environ.get("WORKER"), required="WORKER" not in os.environ)
    parser.add_argument("--lives", type=int, default=5000)
    parser.add_argument("--execs", type=int, default=20000)
    parser.add_argument("--containers", type=int, default=8, help="how many at a time")
    parser.add_argument("--log", help="a directory for the logs of worker and containerd")
    soak = Soak(parser.parse_args())
    # As ^C does it: the way out takes everything away.
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    began = time.monotonic()
    try:
        soak.world.set_up()
        table = asyncio.run(soak.run())
    except KeyboardInterrupt:
        print("# interrupted")
        sys.exit(130)
    finally:
        soak.world.tear_down()
    sys.exit(0 if report(table, soak, time.monotonic() - began) else 1)


if __name__ == "__main__":
    main()
