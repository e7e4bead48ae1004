"""One connection to the worker: JSON lines out, JSON lines in."""
import asyncio
import json


class Lost(Exception):
    """The connection went before the reply came: nobody knows what the command did."""


class Connection(asyncio.Protocol):
    """Replies go to who asked, events to `on_event`, every line to `log`."""

    def __init__(self, on_event, log=None):
        loop = asyncio.get_running_loop()
        self.on_event, self.log = on_event, log or (lambda *_: None)
        self.greeting, self.lost = loop.create_future(), asyncio.Event()
        self.transport, self.buffer = None, []
        # Whether its lifecycle events are those to go by.
        self.counts = False
        self.last_id, self.waiting = 0, {}
        # Containers of commands without a reply, by id.
        self.concerned = {}

    @classmethod
    async def open(cls, path, on_event, log=None):
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_unix_connection(lambda: cls(on_event, log), path)
        await connection.greeting
        return connection

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        if b"\n" not in data:
            self.buffer.append(data)
            return
        first, *lines = data.split(b"\n")
        lines.insert(0, b"".join(self.buffer) + first)
        self.buffer = [lines.pop()]
        for line in lines:
            self.take(json.loads(line))

    def connection_lost(self, error):
        self.lost.set()
        for future, _ in self.waiting.values():
            if not future.done():
                future.set_exception(Lost())
        self.waiting.clear()
        if not self.greeting.done():
            self.greeting.set_exception(Lost())

    def take(self, line):
        self.log("<", line)
        if "event" in line:
            self.on_event(self, line)
        elif "hello" in line:
            self.greeting.set_result(line["hello"])
        elif line.get("id") in self.waiting:
            future, first = self.waiting.pop(line["id"])
            self.concerned.pop(line["id"])
            if first:
                first(line)
            if not future.done():
                future.set_result(line)

    def send(self, command, arguments, **envelope):
        line = {"command": command, **envelope, "arguments": arguments}
        self.log(">", line)
        if not self.transport.is_closing():
            self.transport.write(json.dumps(line).encode() + b"\n")

    async def request(self, command, arguments, first=None, cancel_after=None, **envelope):
        """The reply, a result or an error. `first` sees it before any line that comes behind it."""
        if self.lost.is_set():
            raise Lost()
        self.last_id += 1
        number = self.last_id
        future = asyncio.get_running_loop().create_future()
        self.waiting[number] = future, first
        self.concerned[number] = arguments.get("container")
        self.send(command, arguments, id=number, **envelope)
        if cancel_after is not None:
            asyncio.get_running_loop().call_later(cancel_after, self.cancel, number)
        return await future

    def cancel(self, number):
        if number in self.waiting and not self.lost.is_set():
            self.last_id += 1
            self.send("cancel", {"target": number}, id=self.last_id)

    def stall(self, seconds):
        """Reads nothing for some time."""
        if not self.lost.is_set():
            self.transport.pause_reading()
            asyncio.get_running_loop().call_later(seconds, self.go_on)

    def go_on(self):
        if not self.lost.is_set():
            self.transport.resume_reading()

    def break_off(self, rest=b""):
        """Closes at once, behind bytes that are no whole line."""
        if rest:
            self.transport.write(rest)
        self.transport.abort()

    def close(self):
        self.transport.close()
