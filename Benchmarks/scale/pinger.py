#!/usr/bin/env python3
"""Pings a worker until SIGTERM, from as soon as it listens on, and prints [when sent, milliseconds until the answer] of each.

A program of its own: in another one the times would be those of that one's work.
"""
import json
import signal
import socket
import sys
import time

PAUSE = 0.001


def connect(path):
    while True:
        client = socket.socket(socket.AF_UNIX)
        if client.connect_ex(path) == 0:
            return client
        client.close()
        time.sleep(PAUSE)


def ping(path, times):
    """Appends to `times` before it waits, so that the last one counts with the time it has waited."""
    client = connect(path)
    lines = client.makefile("rb")
    # The greeting says that the connection was taken, so it counts like an answer.
    times.append([time.time(), None])
    while line := lines.readline():
        if b'"event"' in line[:10]:
            continue
        settle(times)
        time.sleep(PAUSE)
        times.append([time.time(), None])
        client.sendall(b'{"command":"ping","id":1}\n')


def settle(times):
    if times and times[-1][1] is None:
        times[-1][1] = (time.time() - times[-1][0]) * 1000


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    times = []
    try:
        ping(sys.argv[1], times)
    finally:
        settle(times)
        json.dump(times, sys.stdout)


if __name__ == "__main__":
    main()
