"""The life of one container with its execs: each step is asked for until it is done, or nobody can know."""
import asyncio
import itertools

from connection import Lost
from plan import Plan
from process import Process
from stdin import Stdin


class Life:
    """`disturb` gives what else a command is sent with: a short deadline, or a cancel behind it."""

    def __init__(self, orchestrator, name, chance, noise, shared, rootfs, disturb):
        self.orchestrator, self.name, self.chance = orchestrator, name, chance
        self.disturb, self.rootfs, self.shared = disturb, str(rootfs), str(shared)
        self.keys = itertools.count()
        # A container with execs has to outlive them.
        self.execs = chance.choice((0, 0, 1, 2, 3, 5))
        self.init = self.process("init", Plan(f"{name}/init", chance, noise, stays=self.execs > 0))
        self.others = [self.process(f"e{i}", Plan(f"{name}/e{i}", chance, noise)) for i in range(self.execs)]

    def process(self, name, plan):
        process = Process(self.name, name, plan, self.orchestrator.complain)
        self.orchestrator.processes[self.name, name] = process
        return process

    @property
    def shim_killed(self):
        return self.init.shim_killed

    async def run(self):
        if await self.create():
            if await self.start(self.init):
                await asyncio.gather(*(self.execute(process) for process in self.others))
                await self.end(self.init)
            await self.remove()

    # Steps

    async def create(self):
        mount = {"destination": "/chaos", "type": "bind", "source": self.shared, "options": ["rbind", "rw"]}
        arguments = {"container": self.name, "rootfs": self.rootfs, "args": self.init.plan.arguments(), "mounts": [mount]}
        return await self.insist("container.create", arguments, "already_exists")

    async def execute(self, process):
        await asyncio.sleep(self.chance.uniform(0, 2))
        if not self.init.exited and await self.start(process):
            await self.end(process)

    async def end(self, process):
        """Waits for all that is to come of a process, and helps it to end."""
        stdin = asyncio.create_task(Stdin(self.orchestrator, process).write_all()) if process.plan.stdin is not None else None
        if process.plan.ends == "killed":
            await process.ready.wait()
            process.kill_asked = True
            await self.insist("process.kill", {**process.target(), "signal": "KILL"}, "not_found")
        await process.ended.wait()
        if stdin:
            await stdin

    async def remove(self):
        if self.chance.random() < 0.6:
            unsure = self.init.started != "yes"
            await self.insist("task.delete", {"container": self.name, "force": unsure}, "not_found", before=unsure)
        await self.insist("container.delete", {"container": self.name, "force": True}, "not_found")

    # How a step is done

    async def insist(self, command, arguments, done="", before=False):
        """Until it is done; `done` is the error that says so where an earlier attempt, or what was `before`, may have
        done it."""
        for attempt in itertools.count():
            error = await self.attempt(command, arguments)
            if error is None or error["code"] == done and (attempt or before or self.shim_killed) or verdict(error) == "done":
                return True
            if verdict(error) == "refused":
                if not self.shim_killed:
                    self.orchestrator.complain(self.name, command, "a result", str(error))
                return False
            await asyncio.sleep(error.get("retry_after_ms", 100) / 1000)

    async def attempt(self, command, arguments):
        """None, or the error. Each attempt has its key, with which it is repeated over every loss."""
        key = f"{self.name}/{next(self.keys)}/{command}"
        try:
            reply = await self.orchestrator.call(command, arguments, key=key, **self.disturb())
        except Lost:
            return {"code": "lost", "effect": "unknown"}
        error = reply.get("error")
        if error:
            self.orchestrator.numbers[f"error {error['code']}"] += 1
            if error.get("effect") == "unknown":
                self.orchestrator.numbers["effect unknown"] += 1
        return error

    async def start(self, process):
        """Whether it was started for certain."""
        command, arguments = self.start_command(process)
        for attempt in itertools.count():
            process.started = "asked"
            connection = self.orchestrator.connection
            error = await self.attempt(command, arguments)
            answer = self.judge(process, error, attempt)
            if answer == "look":
                answer = await self.look(process, error)
            if answer != "again":
                process.started = answer
                if answer == "yes" and (error or connection is not self.orchestrator.connection):
                    await self.orchestrator.attach(self.orchestrator.connection, process)
                return answer == "yes"
            await asyncio.sleep(0.05)

    def start_command(self, process):
        plan = process.plan
        options = {"stdin": plan.stdin is not None, "attach": plan.attach()}
        if plan.drop:
            options["stdio"] = {"overflow": "drop", "backlog": 65536}
        if process is self.init:
            return "task.start", {"container": self.name, **options}
        return "process.exec", {**process.target(), "args": plan.arguments(), **options}

    def judge(self, process, error, attempt):
        kind = "done" if error is None else verdict(error)
        if kind == "done":
            return "yes"
        if self.shim_killed:
            return "unknown"
        if kind == "refused":
            if error["code"] == "already_exists" and attempt:
                return "look"
            if not (self.init.exited and process is not self.init):
                self.orchestrator.complain(process.name, "start", "a result", str(error))
            return "unknown"
        return "again" if kind == "none" else "look"

    async def look(self, process, error):
        """Whether the process is there, after a start of which nobody knows whether it was done."""
        reply = await self.orchestrator.ask("process.status", process.target())
        status = reply.get("result", {}).get("status")
        if status in ("running", "stopped", "paused"):
            return "yes"
        if status == "created":
            await self.take_back(process)
            return "again"
        if {"task.started", "process.started"} & set(process.told):
            return "yes"
        # An exec may have run and be forgotten; a task is only deleted by us.
        return "unknown" if process is not self.init and error.get("effect") == "unknown" else "again"

    async def take_back(self, process):
        """It was made, but never ran. The worker may be about to do the same."""
        if process is self.init:
            await self.insist("task.delete", {"container": self.name, "force": True}, "not_found", before=True)
        else:
            await self.insist("process.delete", process.target(), "not_found", before=True)


def verdict(error):
    """What an error says of the effect: none, done, unknown, or that it is refused."""
    if "effect" in error:
        return error["effect"]
    if error["code"] in ("busy", "shutting_down"):
        return "none"
    return "unknown" if error["code"] in ("unavailable", "cancelled", "deadline_exceeded") else "refused"
