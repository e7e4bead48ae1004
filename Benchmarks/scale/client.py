"""A client that has all containers, and has them again after the worker was killed."""
import asyncio

import places  # noqa: F401  (knows the way to the next one)
from connection import Connection

# Commands at a time; a connection may have 64.
LANES = 48


class Client:
    def __init__(self, place):
        self.place, self.connection = place, None
        # By container: the next byte to come.
        self.offsets = {}
        self.silent, self.all_spoke = set(), asyncio.Event()
        self.lines, self.last, self.wrong = 0, None, []
        self.connected = asyncio.get_running_loop().create_future()

    async def connect(self):
        while True:
            try:
                self.connection = await Connection.open(self.place.socket, self.event)
                return
            except (ConnectionRefusedError, FileNotFoundError):
                await asyncio.sleep(0.001)

    async def call(self, command, **arguments):
        reply = await self.connection.request(command, arguments)
        if "error" in reply:
            raise RuntimeError(f"{command} {arguments}: {reply['error']}")
        return reply["result"]

    async def for_all(self, body):
        names = iter(list(self.offsets))

        async def lane():
            for name in names:
                await body(name)

        self.silent = set(self.offsets)
        self.all_spoke.clear()
        await asyncio.gather(*(lane() for _ in range(LANES)))
        # Until each has said something to us.
        await asyncio.wait_for(self.all_spoke.wait(), 60)

    async def start(self, count):
        self.offsets = {f"s{number}": 0 for number in range(count)}
        about = self.place.container()

        async def start(name):
            await self.call("container.create", container=name, **about)
            await self.call("task.start", container=name, attach={})

        await self.for_all(start)

    async def attach_again(self):
        """From where each output was, so that what came meanwhile comes first."""
        await self.for_all(lambda name: self.call(
            "stdio.attach", container=name, streams=["stdout"], **{"from": self.offsets[name]}))

    async def await_adoption(self):
        """The worker tells that it is connected when it has compared everything with containerd."""
        self.connected = asyncio.get_running_loop().create_future()
        await self.connect()
        await self.call("events.subscribe", **{"from": self.last})
        return await asyncio.wait_for(self.connected, 120)

    def event(self, connection, event):
        name = event["event"]
        if name == "stdio.data":
            self.data(event["container"], event["offset"], len(event["text"].encode()))
        elif "seq" in event:
            self.last = {"epoch": self.connection.greeting.result()["epoch"] if self.connection else None, "seq": event["seq"]}
            if name == "containerd.connected" and not self.connected.done():
                self.connected.set_result(event)
        elif name in ("stdio.gap", "stdio.eof") and event["stream"] == "stdout":
            self.wrong.append(f"unexpected: {event}")

    def data(self, container, offset, size):
        self.lines += 1
        if offset != self.offsets[container]:
            self.wrong.append(f"{container}: expected byte {self.offsets[container]}, came {offset}")
        self.offsets[container] = offset + size
        if container in self.silent:
            self.silent.remove(container)
            if not self.silent:
                self.all_spoke.set()
