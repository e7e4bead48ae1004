"""Clients that look on, each a process of its own, so that SIGKILL can end them: every one has a `run` that must end
with it, observes the output of others, and at times reads nothing.

    bystander.py SOCKET ROOTFS NAME
"""
import json
import random
import socket
import subprocess
import sys
import time


class Bystanders:
    """Those of one chaos test."""

    def __init__(self, world):
        self.world, self.running, self.count = world, [], 0

    def start(self, number):
        for _ in range(number):
            self.count += 1
            command = [sys.executable, __file__, self.world.socket, self.world.rootfs, f"by-{self.count}"]
            self.running.append(subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True))

    def replace(self, chance):
        victim = self.running.pop(chance.randrange(len(self.running)))
        victim.kill()
        victim.wait()
        self.start(1)

    def kill_all(self):
        for process in self.running:
            process.kill()
            process.wait()
        self.running.clear()


def connect(path):
    connection = socket.socket(socket.AF_UNIX)
    for _ in range(200):
        try:
            connection.connect(path)
            return connection
        except OSError:
            time.sleep(0.05)
    sys.exit(1)


def watch(path, rootfs, name):
    chance = random.Random(name)
    connection = connect(path)

    def send(command, **arguments):
        connection.sendall(json.dumps({"command": command, "id": command, "arguments": arguments}).encode() + b"\n")

    send("run", container=name, rootfs=rootfs, args=["sleep", "100000"])
    lines = connection.makefile("rb")
    for line in lines:
        if not line.endswith(b"\n"):
            # The worker was killed in the middle of it.
            break
        line = json.loads(line)
        if line.get("event") in ("task.started", "process.started") and line["container"] != name:
            send("stdio.attach", container=line["container"], process=line.get("process", "init"), role="observer")
        if chance.random() < 0.002:
            time.sleep(chance.uniform(0, 4))


if __name__ == "__main__":
    try:
        watch(*sys.argv[1:])
    except OSError:
        # The worker has gone; whoever started us starts another.
        pass
