#!/usr/bin/env python3
"""Measures how what the worker costs grows with the number of containers: a row of a table for each number.

Each container prints lines, and one client follows all of them. Then the worker is killed, and another one takes everything
over. With --simulate the containers are those of a simulated containerd. Wants root.
"""
import argparse
import asyncio
import datetime
import json
import os
import pathlib
import resource
import signal
import subprocess
import sys
import time

from client import Client
from figures import Usage, cpu_seconds, quantile
from places import RealPlace, SimulatedPlace

COLUMNS = [
    "containers", "memory at rest, MiB", "KiB a container", "… and of files mapped", "descriptors", "mappings", "start all, s",
    "lines/s", "CPU, %", "`ping`, ms", "p99", "adoption, s", "CPU, s", "calls to containerd", "`ping`, ms", "p99", "output again, s"]

LEGEND = """
Memory is PSS: a container's own with the kernel's tables for it, and beside that the pages of the files in which its last output
is kept for the next worker, which grow with output up to 448 KiB a stream. All containers print lines, which one client reads;
`ping` is another client's, one at a time. Then the worker is killed and started again: adoption is the time from there until it
tells that it has compared everything with containerd; the pings and the CPU after it are of that time, the pings from the first
connection on. The last column is when a client has output of all of them again, each from the byte where it was.
"""


class Pings:
    def __init__(self, path):
        self.process = subprocess.Popen(
            [sys.executable, pathlib.Path(__file__).with_name("pinger.py"), path], stdout=subprocess.PIPE, start_new_session=True)

    def stop(self):
        """Milliseconds of each."""
        self.process.terminate()
        return [time for _, time in json.loads(self.process.communicate()[0])]


async def row(place, count, seconds):
    await place.worker_listens()
    client = Client(place)
    await client.connect()
    await asyncio.sleep(1)
    rest = Usage(place.worker.pid)
    began = time.monotonic()
    await client.start(count)
    start = time.monotonic() - began
    await asyncio.sleep(1)

    cpu, lines, began = cpu_seconds(place.worker.pid), client.lines, time.monotonic()
    pings = Pings(place.socket)
    await asyncio.sleep(seconds)
    pings, took = pings.stop(), time.monotonic() - began
    cpu, lines = cpu_seconds(place.worker.pid) - cpu, client.lines - lines
    full = Usage(place.worker.pid)

    adoption, adoption_cpu, adoption_pings, calls = await adopt(place, client, count)
    began = time.monotonic()
    await client.attach_again()
    again = adoption + time.monotonic() - began
    for line in client.wrong[:10]:
        print(f"VIOLATION {line}")
    client.connection.close()
    return client.wrong == [], [
        f"{count} {place.name}", f"{(rest.private + rest.mapped) / 1024:.1f}", f"{(full.private - rest.private) / count:.1f}",
        f"{(full.mapped - rest.mapped) / count:.1f}", full.descriptors, full.mappings, f"{start:.1f}", f"{lines / took:.0f}",
        f"{cpu / took * 100:.0f}", f"{quantile(pings, 0.5):.2f}", f"{quantile(pings, 0.99):.2f}", f"{adoption:.2f}",
        f"{adoption_cpu:.2f}", calls, f"{quantile(adoption_pings, 0.5):.2f}", f"{quantile(adoption_pings, 0.99):.2f}",
        f"{again:.2f}"]


async def adopt(place, client, count):
    """Kills the worker and starts another one. The time is the worker's own, of its word that everything is taken over."""
    place.kill_worker()
    client.connection.close()
    pings = Pings(place.socket)
    await asyncio.sleep(0.5)
    began = time.time()
    place.start_worker()
    event = await client.await_adoption()
    cpu = cpu_seconds(place.worker.pid)
    pings = pings.stop()
    status = await client.call("worker.status")
    if event["tasks"] != count or event["exits"] != 0 or status["processes"] != count:
        client.wrong.append(f"of {count} tasks {status['processes']} are taken over: {event}")
    told = datetime.datetime.fromisoformat(event["time"][:26] + "+00:00").timestamp()
    return told - began, cpu, pings, sum(status["rpc"].values())


def measure(options, count, simulate, terminal):
    place = SimulatedPlace(options.worker, "scale", options.log, terminal=terminal) if simulate else RealPlace(
        options.worker, "scale", options.log)
    try:
        place.set_up()
        return asyncio.run(row(place, count, options.seconds))
    finally:
        place.tear_down()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--worker", default=os.environ.get("WORKER"), required="WORKER" not in os.environ)
    parser.add_argument("--seconds", type=float, default=10, help="how long each runs (10)")
    parser.add_argument("--real", type=int, nargs="*", default=[10, 100, 300], metavar="N")
    parser.add_argument("--simulate", type=int, nargs="*", default=[300, 10_000], metavar="N")
    parser.add_argument("--log", help="a directory for the logs of worker and containerd")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    # As a shell of Debian has it.
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(1024, hard), hard))
    if options.simulate and not SimulatedPlace.is_there():
        print("Without the simulated containerd: apt-get install python3-grpcio python3-protobuf protobuf-compiler")
        options.simulate = []
    # With a terminal a process has one stream instead of two.
    terminal = hard < 2 * max(options.simulate, default=0) + 200
    if terminal:
        print(f"{hard} descriptors are allowed: the simulated containers have a terminal, so one stream each")
    print(LEGEND)
    print("| " + " | ".join(COLUMNS) + " |\n|" + " --- |" * len(COLUMNS), flush=True)
    good = True
    for simulate, counts in ((False, options.real), (True, options.simulate)):
        for count in counts:
            is_good, cells = measure(options, count, simulate, terminal)
            good = good and is_good
            print("| " + " | ".join(map(str, cells)) + " |", flush=True)
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
