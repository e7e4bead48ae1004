"""One command that changes something, until it is known what it did."""
import asyncio

from connection import Lost


TRIES = 5


class Step:
    """It is repeated with its key, over every loss: with a key it is done once, however often it is sent."""

    def __init__(self, orchestrator, command, arguments, key):
        self.orchestrator, self.command, self.arguments, self.key = orchestrator, command, arguments, key
        self.attempts = 0

    async def run(self, disturbance):
        """"done", "refused" or "unknown", and the error. Only the first attempt is disturbed."""
        looked_into = False
        while True:
            error = await self.attempt(disturbance)
            kind = "done" if error is None else verdict(error)
            if kind in ("done", "refused"):
                return kind, error
            if left_behind(error) and self.attempts > TRIES:
                self.orchestrator.numbers["ids that containerd blocks"] += 1
                return "blocked", error
            if kind == "unknown":
                # A key that the worker has looked into and knows nothing about stays so.
                if not self.orchestrator.keys or looked_into and error["code"] != "unavailable":
                    return kind, error
                looked_into = error["code"] != "unavailable"
            disturbance = {}
            await pause(error)

    async def attempt(self, disturbance):
        """None, or the error."""
        numbers = self.orchestrator.numbers
        self.attempts += 1
        try:
            reply = await self.orchestrator.call(self.command, self.arguments, key=self.key, **disturbance)
        except Lost:
            return {"code": "lost", "effect": "unknown"}
        error = reply.get("error")
        if error:
            numbers[f"error {error['code']}"] += 1
            numbers["effect unknown"] += error.get("effect") == "unknown"
        return error


def left_behind(error):
    """containerd was killed between making a directory and writing the first file to it: it never clears that away, and
    takes nothing of this id any more."""
    return error["code"] == "unavailable" and ": file exists" in error["message"]


async def pause(error):
    await asyncio.sleep(error.get("retry_after_ms", 50) / 1000)


def verdict(error):
    """What an error says of the effect: none, done, unknown, or that it is refused."""
    if "effect" in error:
        return error["effect"]
    if error["code"] in ("busy", "shutting_down"):
        return "none"
    return "unknown" if error["code"] in ("unavailable", "cancelled", "deadline_exceeded") else "refused"
