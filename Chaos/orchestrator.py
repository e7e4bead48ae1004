"""A client that goes on after every loss: of its connection, of the worker, of a reply."""
import asyncio
import collections

from connection import Connection, Lost
from process import Process


class Orchestrator:
    """Holds one connection, the account of all processes, and the numbers."""

    def __init__(self, world, log):
        self.world, self.log = world, log
        self.violations, self.numbers, self.gaps = [], collections.Counter(), collections.Counter()
        self.processes, self.containers = {}, collections.defaultdict(list)
        # Those that a command was under way for when the worker was killed.
        self.cut_off = set()
        self.connection, self.up, self.stopping = None, asyncio.Event(), False
        self.listener = None
        # The last event that was seen.
        self.epoch, self.seq, self.acknowledged = None, None, 0
        self.replay, self.keys = False, False

    def complain(self, who, what, expected, came):
        line = f"{who}: {what}: expected {expected}, came {came}"
        self.log("!", line)
        self.violations.append(line)

    # The connection

    async def keep_connected(self):
        while not self.stopping:
            try:
                connection = await Connection.open(self.world.socket, self.take, self.log)
                await self.resume(connection)
            except (OSError, Lost):
                await asyncio.sleep(0.02)
                continue
            self.connection = connection
            self.up.set()
            await connection.lost.wait()
            self.up.clear()

    async def resume(self, connection):
        """Events go on behind the last one; streams of what has not ended are attached again."""
        greeting = connection.greeting.result()
        self.replay = "replay" in greeting["features"]
        if not self.replay:
            await self.listen(greeting)
        elif self.epoch is None:
            await self.subscribe(connection, "now")
        else:
            await self.subscribe(connection, {"epoch": self.epoch, "seq": self.seq})
        self.numbers["connections"] += 1
        for process in list(self.processes.values()):
            if process.plan and process.started == "yes" and not process.ended.is_set():
                connection.task = asyncio.create_task(self.attach(connection, process))

    async def listen(self, greeting):
        """Without replay events come over a second connection, which nothing is done to."""
        if self.listener is None or self.listener.lost.is_set():
            self.listener = await Connection.open(self.world.socket, self.take)
            self.listener.counts = True
            self.epoch = greeting["epoch"]
            self.seq = self.listener.greeting.result()["events"]["last"]

    async def subscribe(self, connection, start):
        reply = await connection.request(
            "events.subscribe", {"from": start}, first=lambda line: self.subscribed(connection, start, line))
        if "error" in reply:
            raise Lost()

    def subscribed(self, connection, start, line):
        """What came before this line was not asked for; what comes behind it counts."""
        if "error" in line:
            self.complain("events.subscribe", "what", f"events from {start}", str(line["error"]))
            return
        cursor = line["result"]["cursor"]
        if start == "now":
            self.epoch, self.seq = cursor["epoch"], cursor["seq"]
        elif cursor["epoch"] != self.epoch or cursor["seq"] != self.seq:
            self.complain("events.subscribe", "cursor", str(start), str(cursor))
        connection.counts = True

    async def attach(self, connection, process):
        """From the byte where we are; a busy worker is asked again."""
        while not process.ended.is_set():
            offsets = {name: stream.position for name, stream in process.streams.items()}
            arguments = {**process.target(), **process.plan.attach(), "from": offsets}
            for stream in process.streams.values():
                stream.granted = stream.position + (process.plan.window or 0)
            try:
                reply = await connection.request("stdio.attach", arguments)
            except Lost:
                return
            error = reply.get("error")
            if not error:
                self.numbers["attached again"] += 1
                return
            if error["code"] not in ("busy", "unavailable"):
                # Whether anything is missing shows in the account.
                self.log("!", f"{process.name}: stdio.attach from {offsets}: {error}")
                process.refused = error["code"]
                process.look()
                return
            await asyncio.sleep(error.get("retry_after_ms", 100) / 1000)

    # Events

    def take(self, connection, event):
        process = (event.get("container"), event.get("process", "init"))
        if "seq" in event:
            if connection.counts:
                self.lifecycle(event, process)
        elif process in self.processes:
            if event["event"] == "stdio.gap":
                self.gaps[event["reason"]] += event["to"] - event["from"]
                self.numbers["gaps"] += 1
            if "stream" in event:
                self.processes[process].output(event)
                self.credit(connection, self.processes[process], event["stream"])

    def credit(self, connection, process, name):
        """Half a window ahead, so that the worker need not wait."""
        window, stream = process.plan and process.plan.window, process.streams[name]
        if window and stream.position + window >= stream.granted + window // 2 and not process.ended.is_set():
            stream.granted = stream.position + window
            self.tell(connection, "stdio.credit", {**process.target(), "stream": name, "offset": stream.granted})

    def tell(self, connection, command, arguments):
        """A command whose reply nobody waits for."""
        connection.last_id += 1
        connection.send(command, arguments, id=connection.last_id)

    def lifecycle(self, event, key):
        if event["seq"] != self.seq + 1:
            self.complain("events", "seq", str(self.seq + 1), str(event))
        self.seq = event["seq"]
        self.numbers["events"] += 1
        self.acknowledge()
        if event["event"].startswith("container."):
            self.containers[event["container"]].append(event["event"])
        elif key[0] is not None:
            if key not in self.processes:
                self.processes[key] = Process(*key, None, self.complain)
            self.processes[key].lifecycle(event)

    def acknowledge(self):
        if self.replay and self.seq >= self.acknowledged + 200 and self.up.is_set():
            self.acknowledged = self.seq
            self.tell(self.connection, "events.ack", {"seq": self.seq})

    # Commands

    async def call(self, command, arguments, repeat=True, **envelope):
        """The reply, over however many connections; with a `key` only where the worker knows what that means."""
        if not self.keys and envelope.pop("key", None):
            repeat = False
        while True:
            await self.up.wait()
            self.numbers["commands"] += 1
            connection = self.connection
            try:
                reply = await connection.request(command, arguments, **envelope)
            except Lost:
                if connection is self.connection:
                    self.up.clear()
                self.numbers["replies lost"] += 1
                if not repeat:
                    raise
                self.numbers["repeated"] += 1
                continue
            if reply.get("error", {}).get("code") != "busy":
                return reply
            await asyncio.sleep(reply["error"].get("retry_after_ms", 100) / 1000)

    async def ask(self, command, arguments):
        """A command that changes nothing, until the worker can answer it."""
        while True:
            reply = await self.call(command, arguments)
            error = reply.get("error", {})
            if error.get("code") not in ("unavailable", "deadline_exceeded", "shutting_down"):
                return reply
            await asyncio.sleep(error.get("retry_after_ms", 100) / 1000)

    async def find_keys(self):
        """Whether the worker knows keys: then one is in conflict with another command of the same key."""
        for name in ("probe1", "probe2"):
            arguments = {"container": name, "rootfs": str(self.world.rootfs), "args": ["true"]}
            reply = await self.connection.request("container.create", arguments, key="probe")
            self.keys = reply.get("error", {}).get("code") == "key_conflict"
            await self.connection.request("container.delete", {"container": name})

    def close(self):
        self.stopping = True
        for connection in (self.connection, self.listener):
            if connection:
                connection.close()
