"""Streams of processes as dockerd hands them over, for docker.py."""

import http.client
import selectors
import socket

CHUNK = b"0123456789abcde\n" * (32 << 10)


class Connection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path):
        super().__init__("docker")
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.connect(self.path)


class Failure(Exception):
    """What dockerd or a container did otherwise than wanted."""


class Stream:
    """A connection that dockerd has handed over to a process's stdio."""

    # Shared, for a new one would be cleared each time. Nothing stays in it from one read to the next.
    buffer = memoryview(bytearray(1 << 20))

    def __init__(self, connection, response):
        self.connection = connection
        # Kept, for a response that nobody has closes what it reads from.
        self.response = response
        # Its buffer may hold the beginning already; larger reads than that go straight to the socket.
        self.reader = response.fp
        self.head, self.left, self.is_stdout = bytearray(), 0, False
        # The bytes of stdout that came, and the beginning of them.
        self.stdout, self.first = 0, b""

    def drain(self):
        """Reads to the end: how many bytes of stdout came, and the beginning of them."""
        while self.read():
            pass
        return self.stdout, self.first

    def read(self):
        """Reads what is there; False at the end.

        Payloads come in frames with heads of 8 bytes: the stream's number, three zeros, a big-endian length. No
        payload is copied.
        """
        count, at = self.reader.readinto1(self.buffer), 0
        while at < count:
            if self.left:
                part = min(self.left, count - at)
                if self.is_stdout:
                    self.first = self.first or bytes(self.buffer[at : at + min(part, 64)])
                    self.stdout += part
                self.left -= part
            else:
                part = min(8 - len(self.head), count - at)
                self.head += self.buffer[at : at + part]
                if len(self.head) == 8:
                    self.is_stdout, self.left = self.head[0] == 1, int.from_bytes(self.head[4:], "big")
                    self.head.clear()
            at += part
        if not count:
            self.response.close()
            self.connection.close()
            if self.left or self.head:
                raise Failure("the stream ended within a frame")
        return count > 0

    def feed(self, size):
        """Writes so many bytes, then end-of-file."""
        for start in range(0, size, len(CHUNK)):
            self.connection.sock.sendall(CHUNK[: size - start])
        self.connection.sock.shutdown(socket.SHUT_WR)


def drain_all(streams):
    """Reads streams of which nothing has come yet, all at once, to their ends.

    Fair to dockerd: one thread that waits for all and takes whatever a socket holds in one large read, with no work on
    the payload, leaves dockerd more of the processors than a thread for each would, which all wait for the same lock.
    """
    with selectors.DefaultSelector() as selector:
        for stream in streams:
            selector.register(stream.connection.sock, selectors.EVENT_READ, stream)
        while selector.get_map():
            for key, _ in selector.select():
                if not key.data.read():
                    selector.unregister(key.fileobj)
