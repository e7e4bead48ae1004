"""Writes all of a process's stdin, by offset, over every loss."""
import asyncio
import base64

from connection import Lost

CHUNK = 40_000


class Stdin:
    def __init__(self, orchestrator, process):
        self.orchestrator, self.process = orchestrator, process
        self.content, self.position = process.plan.stdin, 0

    async def write_all(self):
        while not self.process.exited:
            try:
                while self.position < len(self.content):
                    if not await self.write():
                        return
                reply = await self.orchestrator.call(
                    "stdio.close", {**self.process.target(), "offset": len(self.content)}, repeat=False)
                if "result" in reply or await self.give_up("stdio.close", reply["error"]):
                    return
            except Lost:
                await self.find()

    async def write(self):
        chunk = base64.b64encode(self.content[self.position:self.position + CHUNK]).decode()
        arguments = {**self.process.target(), "offset": self.position, "base64": chunk}
        reply = await self.orchestrator.call("stdio.write", arguments, repeat=False)
        if "result" in reply:
            self.position = reply["result"]["offset"]
            return True
        return not await self.give_up("stdio.write", reply["error"])

    async def find(self):
        """The byte from which on the worker, which may be a new one, has nothing."""
        reply = await self.orchestrator.ask("stdio.attach", {**self.process.target(), "streams": ["stdin"]})
        if "result" in reply:
            self.position = reply["result"]["stdin"]["offset"]
        else:
            await self.give_up("stdio.attach", reply["error"])

    async def give_up(self, command, error):
        if error["code"] in ("unavailable", "shutting_down"):
            await asyncio.sleep(error.get("retry_after_ms", 100) / 1000)
            return False
        if not (self.process.exited or self.process.shim_killed):
            self.process.complain(command, "a result", str(error))
        return True
