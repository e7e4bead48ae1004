#!/usr/bin/env python3
"""A small client of containerd-worker in Python, with nothing but its standard library.

    cw.py [--socket PATH] exec -it CONTAINER PROGRAM [ARG...]   an interactive process in a running container
    cw.py [--socket PATH] exec CONTAINER PROGRAM [ARG...]       the same without a terminal; stdin goes through
    cw.py [--socket PATH] follow CONTAINER                      its output, over every loss of the connection
    cw.py [--socket PATH] take CONTAINER                        its output from the FIFO's own descriptor

It ends with the exit code of the process. Each function shows one thing; see protocol.md for what the lines mean.
"""
import argparse
import array
import base64
import contextlib
import json
import os
import select
import signal
import socket
import sys
import termios
import time
import tty


class Worker:
    """One connection: a line out, lines in."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(path)
        self.buffer = b""
        self.descriptors = []
        self.greeting = self.read()["hello"]

    def send(self, command, id=None, **arguments):
        line = {"command": command, "arguments": arguments}
        if id is not None:
            line["id"] = id
        self.socket.sendall(json.dumps(line).encode() + b"\n")

    def receive(self):
        """What has come, descriptors too; False at the end of the connection."""
        room = array.array("i")
        data, ancillary, _, _ = self.socket.recvmsg(65536, socket.CMSG_LEN(8 * room.itemsize))
        for level, kind, content in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                room.frombytes(content[: len(content) - len(content) % room.itemsize])
        self.descriptors += room
        self.buffer += data
        return bool(data)

    def lines(self):
        """The whole lines that have come."""
        *lines, self.buffer = self.buffer.split(b"\n")
        return [json.loads(line) for line in lines]

    def read(self):
        """Waits for one line; only before anything else is under way."""
        while b"\n" not in self.buffer:
            if not self.receive():
                raise ConnectionError("the worker has closed the connection")
        line, self.buffer = self.buffer.split(b"\n", 1)
        return json.loads(line)

    def call(self, command, **arguments):
        """Sends a command and waits for its result; what comes before is dropped."""
        self.send(command, id="call", **arguments)
        while True:
            line = self.read()
            if line.get("id") == "call":
                return result_of(line)


def result_of(line):
    if "error" in line:
        raise SystemExit(f"{line['error']['code']}: {line['error']['message']}")
    return line["result"]


def payload(event):
    return event["text"].encode() if "text" in event else base64.b64decode(event["base64"])


def write_all(descriptor, data):
    while data:
        data = data[os.write(descriptor, data) :]


class Terminal:
    """The terminal of whoever runs this: every key goes to the process, also ^C, and comes back as it was at the end."""

    def __enter__(self):
        self.saved = termios.tcgetattr(0) if os.isatty(0) else None
        if self.saved:
            tty.setraw(0)
        return self

    def __exit__(self, *_):
        if self.saved:
            termios.tcsetattr(0, termios.TCSADRAIN, self.saved)

    @staticmethod
    def size():
        size = os.get_terminal_size(0) if os.isatty(0) else os.terminal_size((80, 24))
        return {"columns": max(size.columns, 1), "rows": max(size.lines, 1)}


class Input:
    """Our stdin on its way to the process: a few writes at a time, and no more is read until they are answered."""

    # Far fewer than limits.inflight, beyond which a write is lost (`busy`), and small enough to fit into the socket's
    # buffer together: sending never waits.
    MOST, SIZE = 8, 16384

    def __init__(self, worker, target):
        self.worker, self.target = worker, target
        self.unanswered, self.ended = 0, False

    def has_room(self):
        return not self.ended and self.unanswered < self.MOST

    def forward(self):
        """Sends what there is; its end too, which takes effect after all bytes before it."""
        if data := os.read(0, self.SIZE):
            self.worker.send("stdio.write", id="write", **self.target, base64=base64.b64encode(data).decode())
            self.unanswered += 1
        else:
            self.worker.send("stdio.close", **self.target)
            self.ended = True

    def answered(self, line):
        self.unanswered -= 1
        if line.get("error", {}).get("code") in ("io", "wrong_state", "not_found"):
            # Nobody reads it any more, which is no failure: the exit code says what became of the process.
            self.ended = True
        else:
            result_of(line)


def execute(worker, container, args, terminal):
    """A process whose stdio is ours."""
    process = f"cw-{os.getpid()}-{time.monotonic_ns()}"
    target = {"container": container, "process": process}
    start = dict(target, args=args, stdin=True, terminal=terminal, attach={}, on_disconnect="kill")
    if terminal:
        start["size"] = Terminal.size()
        signal.signal(signal.SIGWINCH, lambda *_: worker.send("process.resize", **target, **Terminal.size()))
    worker.send("process.exec", id="exec", **start)
    stdin = Input(worker, target)
    with Terminal() if terminal else contextlib.nullcontext():
        while True:
            # Unlike epoll, select takes a regular file too: it can be read at any time.
            readable, _, _ = select.select([worker.socket, 0] if stdin.has_room() else [worker.socket], [], [])
            if 0 in readable:
                stdin.forward()
            if worker.socket not in readable:
                continue
            if not worker.receive():
                raise SystemExit("the worker has closed the connection")
            for line in worker.lines():
                code = handle(line, process, stdin)
                if code is not None:
                    return code


def handle(line, process, stdin):
    """Shows output; the exit code once there is one."""
    if line.get("id") == "exec":
        result_of(line)
    if line.get("id") == "write":
        stdin.answered(line)
    if line.get("process") != process:
        return None
    if line.get("event") == "stdio.data":
        write_all(1 if line["stream"] == "stdout" else 2, payload(line))
    if line.get("event") == "process.closed":
        return 255 if line["exit_code"] is None else line["exit_code"]
    return None


def follow(path, container):
    """Output that survives the connection: it goes on at the byte where it was lost."""
    offsets = {"stdout": 0, "stderr": 0}
    while True:
        try:
            worker = Worker(path)
            worker.send("stdio.attach", id="attach", container=container, **{"from": offsets})
            ended = set()
            while worker.receive():
                for line in worker.lines():
                    code = follow_line(line, container, offsets)
                    if code is not None:
                        return code
                    if ends(line, container, offsets, ended):
                        # Where this comes late process.closed has been told already.
                        worker.send("process.status", id="status", container=container)
        except (ConnectionError, FileNotFoundError):
            pass
        time.sleep(0.2)


def ends(line, container, offsets, ended):
    """Whether a line is the end of the last stream. A terminal has one only."""
    if line.get("id") == "attach" and "result" in line:
        ended.update(offsets.keys() - line["result"].keys())
    if line.get("event") != "stdio.eof" or line["container"] != container or line["process"] != "init":
        return False
    ended.add(line["stream"])
    return ended == offsets.keys()


def follow_line(line, container, offsets):
    """Shows output; the exit code once there is one."""
    if line.get("error", {}).get("code") in ("unavailable", "shutting_down"):
        raise ConnectionError("to be tried again")
    if line.get("id") == "attach":
        result_of(line)
    if line.get("id") == "status" and result_of(line)["status"] == "stopped":
        return 255 if line["result"]["exit_code"] is None else line["result"]["exit_code"]
    if line.get("container") != container or line.get("process") != "init":
        return None
    if line.get("event") == "stdio.data":
        data = payload(line)
        write_all(1 if line["stream"] == "stdout" else 2, data)
        offsets[line["stream"]] = line["offset"] + len(data)
    if line.get("event") == "stdio.gap":
        print(f"[{line['to'] - line['from']} bytes of {line['stream']} are gone]", file=sys.stderr)
        offsets[line["stream"]] = line["to"]
    if line.get("event") == "process.closed":
        return 255 if line["exit_code"] is None else line["exit_code"]
    return None


def take(worker, container):
    """The FIFO's own end: the worker has nothing to do with these bytes any more."""
    worker.call("hello", client="cw.py", accept=["attach.fd"])
    worker.send("stdio.attach", id="take", container=container, mode="fd", streams=["stdout"])
    while True:
        line = worker.read()
        if line.get("event") == "stdio.data":
            # What the worker had read before.
            write_all(1, payload(line))
        if line.get("id") == "take":
            names = result_of(line).get("fds", [])
            break
    if not names:
        # It had ended before: what was left of it comes as lines.
        while line.get("event") != "stdio.eof":
            line = worker.read()
            if line.get("event") == "stdio.data":
                write_all(1, payload(line))
        return worker.call("process.status", container=container)["exit_code"]
    descriptor = worker.descriptors[names.index("stdout")]
    os.set_blocking(descriptor, True)
    while data := os.read(descriptor, 65536):
        write_all(1, data)
    while True:
        line = worker.read()
        if line.get("event") == "process.closed" and line["container"] == container:
            return 255 if line["exit_code"] is None else line["exit_code"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--socket", default="/run/containerd-worker/worker.sock")
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("exec")
    run.add_argument("-i", action="store_true", help="accepted for people who are used to it")
    run.add_argument("-t", action="store_true", help="with a terminal")
    run.add_argument("container")
    run.add_argument("args", nargs=argparse.REMAINDER)
    for name in ("follow", "take"):
        commands.add_parser(name).add_argument("container")
    options = parser.parse_args()
    if options.command == "exec":
        code = execute(Worker(options.socket), options.container, options.args, options.t)
    elif options.command == "follow":
        code = follow(options.socket, options.container)
    else:
        code = take(Worker(options.socket), options.container)
    sys.exit(code)


if __name__ == "__main__":
    main()
