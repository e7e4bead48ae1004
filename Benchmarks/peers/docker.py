#!/usr/bin/env python3
"""A peer for the benchmarks: container lives by dockerd's HTTP API.

    docker.py SOCKET

It reads commands, one a line, and answers each with a line: the nanoseconds that it took, or "error" and why. ARGS
are a JSON array of strings.

    life NAME IMAGE ARGS           a container from its creation to its deletion, with all output read
    output NAME IMAGE ARGS BYTES   the same, for so many bytes of stdout
    input NAME IMAGE BYTES         so many bytes into `wc -c`: from the first write to its exit and the end of its output
    start NAME IMAGE ARGS          a container that stays
    exec NAME ARGS                 a process in it, from its creation to its exit code, with all output read
    remove NAME                    its end
    flood NAME IMAGE BYTES COUNT FILE ARGS
                                   so many containers, each to print so many bytes once FILE is there, which has its
                                   folder at /signal: from its making to the end of all outputs

    ping                           whether dockerd answers
    image NAME ROOTFS              makes an image out of a folder
    clear                          removes all containers

What was started and still runs at the end of stdin is removed.
"""

import http.client
import json
import os
import subprocess
import sys
import time
import urllib.parse

from dockerstream import Connection, Failure, Stream, drain_all

JSON = {"Content-Type": "application/json"}


class Peer:
    def __init__(self, path):
        self.path = path
        self.connection = Connection(path)
        self.started = set()

    @staticmethod
    def answer(response):
        """The JSON (or text) of a response."""
        body = response.read()
        if response.status >= 400:
            raise Failure(f"{response.status} {body.decode(errors='replace').strip()}")
        return json.loads(body) if response.headers.get_content_type() == "application/json" and body else body

    def call(self, method, path, body=None):
        self.connection.request(method, path, None if body is None else json.dumps(body), JSON)
        return self.answer(self.connection.getresponse())

    def hijack(self, path, body=None):
        connection = Connection(self.path)
        headers = {**JSON, "Connection": "Upgrade", "Upgrade": "tcp"}
        connection.request("POST", path, None if body is None else json.dumps(body), headers)
        response = connection.getresponse()
        if response.status not in (101, 200):
            self.answer(response)
        return Stream(connection, response)

    def create(self, name, image, args, **more):
        body = {"Image": image, "Cmd": args, "HostConfig": {"NetworkMode": "none"}, **more}
        self.call("POST", f"/containers/create?name={name}", body)

    def run(self, name, image, args, size=0):
        """A container's whole life: what it wrote, and the time from its feeding on. With a size it has a stdin."""
        stdin = bool(size)
        self.create(name, image, args, AttachStdin=stdin, OpenStdin=stdin, StdinOnce=stdin)
        try:
            stream = self.hijack(f"/containers/{name}/attach?stream=1&stdout=1&stderr=1&stdin={int(stdin)}")
            self.call("POST", f"/containers/{name}/start")
            began = time.monotonic_ns()
            if stdin:
                stream.feed(size)
            output = stream.drain()
            code = self.call("POST", f"/containers/{name}/wait")["StatusCode"]
            elapsed = time.monotonic_ns() - began
            if code != 0:
                raise Failure(f"exit status {code}")
        except BaseException:
            self.call("DELETE", f"/containers/{name}?force=1")
            raise
        self.call("DELETE", f"/containers/{name}")
        return output, elapsed

    def life(self, name, image, args):
        self.run(name, image, args)

    def output(self, name, image, args, size):
        (total, _), _ = self.run(name, image, args)
        if total != size:
            raise Failure(f"{total} bytes instead of {size}")

    def input(self, name, image, size):
        (_, said), elapsed = self.run(name, image, ["wc", "-c"], size)
        if said != b"%d\n" % size:
            raise Failure(f"wc says {said}")
        return elapsed

    def start(self, name, image, args):
        self.create(name, image, args)
        self.started.add(name)
        self.call("POST", f"/containers/{name}/start")

    def exec(self, name, args):
        body = {"Cmd": args, "AttachStdout": True, "AttachStderr": True}
        process = self.call("POST", f"/containers/{name}/exec", body)["Id"]
        self.hijack(f"/exec/{process}/start", {"Detach": False, "Tty": False}).drain()
        # dockerd can be behind with the exit.
        while (state := self.call("GET", f"/exec/{process}/json"))["Running"]:
            pass
        if state["ExitCode"] != 0:
            raise Failure(f"exit status {state['ExitCode']}")

    def remove(self, name):
        self.call("DELETE", f"/containers/{name}?force=1")
        self.started.discard(name)

    def flood(self, name, image, size, count, file, args):
        host = {"NetworkMode": "none", "Binds": [f"{os.path.dirname(file)}:/signal:ro"]}
        names = [f"{name}-{number}" for number in range(count)]
        streams = []
        try:
            for name in names:
                self.create(name, image, args, HostConfig=host)
                self.started.add(name)
                streams.append(self.hijack(f"/containers/{name}/attach?stream=1&stdout=1&stderr=1"))
                self.call("POST", f"/containers/{name}/start")
            began = time.monotonic_ns()
            os.close(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644))
            drain_all(streams)
            elapsed = time.monotonic_ns() - began
        finally:
            for name in self.started.intersection(names):
                self.remove(name)
            if os.path.exists(file):
                os.unlink(file)
        for stream in streams:
            if stream.stdout != size:
                raise Failure(f"{stream.stdout} bytes instead of {size}")
        return elapsed

    def ping(self):
        self.call("GET", "/_ping")

    def image(self, name, rootfs):
        with subprocess.Popen(["tar", "-C", rootfs, "-c", "."], stdout=subprocess.PIPE) as tar:
            path = f"/images/create?fromSrc=-&repo={urllib.parse.quote(name, safe='')}"
            connection = Connection(self.path)
            connection.request("POST", path, tar.stdout, {"Content-Type": "application/x-tar"})
            response = connection.getresponse()
            body = response.read()
            connection.close()
        if tar.returncode or response.status != 200 or b'"error"' in body:
            raise Failure(f"tar {tar.returncode}, dockerd {response.status} {body.decode(errors='replace').strip()}")

    def clear(self):
        for container in self.call("GET", "/containers/json?all=1"):
            self.remove(container["Id"])


# How the words of a command are to be read.
COMMANDS = {
    "life": (str, str, json.loads),
    "output": (str, str, json.loads, int),
    "input": (str, str, int),
    "start": (str, str, json.loads),
    "exec": (str, json.loads),
    "remove": (str,),
    "flood": (str, str, int, int, str, json.loads),
    "ping": (),
    "image": (str, str),
    "clear": (),
}


def measure(peer, line):
    """Does one command; its time."""
    command, _, rest = line.strip().partition(" ")
    kinds = COMMANDS.get(command)
    if kinds is None:
        raise Failure(f"unknown: {command}")
    # Only ARGS have spaces in them.
    if kinds[-1:] == (int,):
        size = [rest.rpartition(" ")[2]]
        words = rest.rpartition(" ")[0].split(None, len(kinds) - 2) + size
    else:
        words = rest.split(None, max(0, len(kinds) - 1))
    if len(words) != len(kinds):
        raise Failure(f"{command} takes {len(kinds)} words")
    words = [kind(word) for kind, word in zip(kinds, words)]
    began = time.monotonic_ns()
    elapsed = getattr(peer, command)(*words)
    return time.monotonic_ns() - began if elapsed is None else elapsed


def main():
    if len(sys.argv) != 2:
        sys.exit("usage: docker.py SOCKET")
    peer = Peer(sys.argv[1])
    for line in sys.stdin:
        try:
            print(measure(peer, line), flush=True)
        except (Failure, OSError, ValueError, http.client.HTTPException) as error:
            peer.connection.close()
            print("error", " ".join(f"{type(error).__name__}: {error}".split()), flush=True)
    for name in list(peer.started):
        peer.remove(name)


if __name__ == "__main__":
    main()
