"""The life of one container with its execs: each step is asked for until it is done, or nobody can know."""
import asyncio
import itertools

from plan import Plan
from process import Process
from stdin import Stdin
from step import Step, pause

# More than the drain deadline, the longest stall and the longest script together.
PATIENCE = 40


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
        return self.init.shim_gone

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
        try:
            await asyncio.wait_for(process.ended.wait(), PATIENCE)
        except TimeoutError:
            # What is missing shows in the account; the rest of this life goes on.
            self.orchestrator.log("!", f"{process.name}: {process.state()}")
        if stdin:
            stdin.cancel()
            await asyncio.gather(stdin, return_exceptions=True)

    async def remove(self):
        if self.chance.random() < 0.6:
            unsure = self.init.started != "yes"
            await self.insist("task.delete", {"container": self.name, "force": unsure}, "not_found", unsure=unsure)
        await self.insist("container.delete", {"container": self.name, "force": True}, "not_found")

    # How a step is done

    def step(self, command, arguments):
        return Step(self.orchestrator, command, arguments, f"{self.name}/{next(self.keys)}/{command}")

    async def insist(self, command, arguments, done="", unsure=False):
        """Until it is done; `done` is the error that says so where that is `unsure`, or the task has gone by itself:
        containerd from 1.7 on forgets one that ends while it is down."""
        while True:
            kind, error = await self.step(command, arguments).run(self.disturb())
            if kind == "done" or kind == "refused" and error["code"] == done and (
                unsure or self.shim_killed or "task.deleted" in self.init.told
            ):
                return True
            if kind == "refused":
                if not self.shim_killed:
                    self.orchestrator.complain(self.name, command, "a result", str(error))
                return False
            unsure = True
            await pause(error)

    async def start(self, process):
        """Whether it was started for certain."""
        command, arguments = self.start_command(process)
        unsure, answer = False, "again"
        while answer == "again":
            process.started = "asked"
            connection, step = self.orchestrator.connection, self.step(command, arguments)
            kind, error = await step.run(self.disturb())
            answer = self.judge(process, kind, error, unsure)
            if answer == "look":
                answer = await self.look(process, error)
            unsure = True
        process.started = answer
        if answer == "yes" and (step.attempts > 1 or error or connection is not self.orchestrator.connection):
            # Whether the attach that was sent with it took effect here is not known.
            await self.orchestrator.attach(self.orchestrator.connection, process)
        return answer == "yes"

    def start_command(self, process):
        plan = process.plan
        options = {"stdin": plan.stdin is not None, "attach": plan.attach()}
        if plan.drop:
            options["stdio"] = {"overflow": "drop", "backlog": 65536}
        if process is self.init:
            return "task.start", {"container": self.name, **options}
        return "process.exec", {**process.target(), "args": plan.arguments(), **options}

    def judge(self, process, kind, error, unsure):
        if kind == "done":
            return "yes"
        if self.shim_killed or kind == "blocked":
            return "unknown"
        if kind == "unknown" or error["code"] == "already_exists" and unsure:
            return "look"
        if process is self.init or not self.init.exited:
            self.orchestrator.complain(process.name, "start", "a result", str(error))
        return "unknown"

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
        if error.get("effect") != "unknown":
            return "again"
        # An exec may have run and be forgotten. A task that may have run is taken back: another start is another run.
        if process is self.init:
            process.unsure_starts += 1
            return "again"
        return "unknown"

    async def take_back(self, process):
        """It was made, but never ran. The worker may be about to do the same."""
        if process is self.init:
            await self.insist("task.delete", {"container": self.name, "force": True}, "not_found", unsure=True)
        else:
            await self.insist("process.delete", process.target(), "not_found", unsure=True)
