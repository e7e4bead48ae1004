#!/usr/bin/env python3
"""The peer that most machines run: dockerd, spoken to over its own socket. It takes one request a line on stdin and
answers each with the nanoseconds that it took, so that worker and peer can take turns in one run.

    image ROOTFS                 makes the image that all containers are made of
    life ID BYTES ARGS           a container from its creation to its deletion; BYTES of output must come
    start ID ARGS                a container that stays, for execs
    exec ID ARGS                 an exec from its creation to its end
    input ID BYTES ARGS          bytes written to a container's stdin, until it has ended
    remove ID

ARGS is a JSON array. Usage: docker.py SOCKET
"""
import http.client
import json
import socket
import struct
import subprocess
import sys
import time

path = sys.argv[1]
IMAGE = "bench"


class Connection(http.client.HTTPConnection):
    def __init__(self):
        super().__init__("localhost")

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(path)


kept = Connection()


def call(method, url, body=None, expect=(200, 201, 204, 304)):
    payload = None if body is None else json.dumps(body)
    kept.request(method, url, payload, {"Content-Type": "application/json"} if payload else {})
    answer = kept.getresponse()
    data = answer.read()
    if answer.status not in expect:
        raise RuntimeError(f"{method} {url}: {answer.status} {data[:300]!r}")
    return json.loads(data) if data else None


def hijack(url, body=None):
    """A stream of its own, over which stdio goes."""
    stream = socket.socket(socket.AF_UNIX)
    stream.connect(path)
    payload = json.dumps(body or {}).encode()
    stream.sendall(
        f"POST {url} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(payload)}\r\n\r\n".encode() + payload
    )
    head = b""
    while b"\r\n\r\n" not in head:
        more = stream.recv(1)
        if not more:
            raise RuntimeError(f"{url}: {head!r}")
        head += more
    if b" 101 " not in head.split(b"\r\n")[0]:
        raise RuntimeError(f"{url}: {head!r}")
    return stream


def drain(stream):
    """Reads to the end; the bytes that were output, without the 8 bytes before each piece of it."""
    buffer = bytearray(1 << 20)
    view = memoryview(buffer)
    total = 0
    left = 0  # of the piece under way
    have = 0  # bytes of an incomplete header at the start of the buffer
    while True:
        count = stream.recv_into(view[have:])
        if count == 0:
            return total
        end = have + count
        at = 0
        while at < end:
            if left == 0:
                if end - at < 8:
                    break
                left = struct.unpack_from(">I", buffer, at + 4)[0]
                total += left
                at += 8
            step = min(left, end - at)
            at += step
            left -= step
        have = end - at
        if have:
            buffer[:have] = buffer[at:end]


def create(name, args, stdin=False):
    call("POST", f"/containers/create?name={name}", {
        "Image": IMAGE, "Cmd": args, "OpenStdin": stdin, "StdinOnce": stdin, "AttachStdin": stdin,
        "HostConfig": {"NetworkMode": "none", "LogConfig": {"Type": "none"}},
    })


def life(name, args, expected=None, given=0):
    create(name, args, stdin=given > 0)
    stream = hijack(f"/containers/{name}/attach?stream=1&stdout=1&stderr=1" + ("&stdin=1" if given else ""))
    call("POST", f"/containers/{name}/start")
    chunk = b"0123456789abcde\n" * 32768
    left = given
    while left > 0:
        stream.sendall(chunk[:left])
        left -= len(chunk)
    if given:
        stream.shutdown(socket.SHUT_WR)
    count = drain(stream)
    stream.close()
    if expected is not None and count != expected:
        raise RuntimeError(f"{count} bytes instead of {expected}")
    call("POST", f"/containers/{name}/wait")
    call("DELETE", f"/containers/{name}")


def execute(name, args):
    made = call("POST", f"/containers/{name}/exec", {"Cmd": args, "AttachStdout": True, "AttachStderr": True})
    stream = hijack(f"/exec/{made['Id']}/start", {"Detach": False})
    drain(stream)
    stream.close()
    call("GET", f"/exec/{made['Id']}/json")


def image(rootfs):
    archive = subprocess.run(["tar", "-C", rootfs, "-c", "."], check=True, capture_output=True).stdout
    kept.request("POST", f"/images/create?fromSrc=-&repo={IMAGE}", archive, {"Content-Type": "application/x-tar"})
    answer = kept.getresponse()
    if answer.status != 200:
        raise RuntimeError(answer.read())
    answer.read()


def do(line):
    words = line.split(" ")
    if words[0] == "image":
        image(words[1])
    elif words[0] == "life":
        life(words[1], json.loads(" ".join(words[3:])), expected=int(words[2]))
    elif words[0] == "start":
        create(words[1], json.loads(" ".join(words[2:])))
        call("POST", f"/containers/{words[1]}/start")
    elif words[0] == "exec":
        execute(words[1], json.loads(" ".join(words[2:])))
    elif words[0] == "input":
        life(words[1], json.loads(" ".join(words[3:])), given=int(words[2]))
    elif words[0] == "remove":
        call("DELETE", f"/containers/{words[1]}?force=1")
    else:
        raise RuntimeError(f"what is {line!r}?")


for request in sys.stdin:
    began = time.perf_counter_ns()
    try:
        do(request.rstrip("\n"))
        print(time.perf_counter_ns() - began, flush=True)
    except Exception as error:  # whatever it is, the caller wants to know it
        print("error", " ".join(str(error).split()), flush=True)
