"""What is done to the worker and everything around it, one thing after another, as the seed has it."""
import asyncio

from bystander import Bystanders
from world import kill

KINDS = {"worker": 3, "containerd": 1, "shim": 2, "client": 4, "stall": 2, "cancel": 0}


class Faults:
    def __init__(self, orchestrator, world, kinds, chance, forgets):
        self.orchestrator, self.world, self.kinds, self.chance = orchestrator, world, kinds, chance
        # Whether this containerd forgets tasks that end while it is down.
        self.forgets = forgets
        self.bystanders = Bystanders(world)
        self.over = False

    async def run(self, seconds):
        end = asyncio.get_running_loop().time() + seconds
        kinds = [kind for kind in self.kinds if KINDS[kind]]
        if "client" in kinds:
            self.bystanders.start(2)
        while kinds:
            left = end - asyncio.get_running_loop().time()
            await asyncio.sleep(min(self.chance.expovariate(1 / 0.8), max(left, 0)))
            if asyncio.get_running_loop().time() >= end:
                break
            kind = self.chance.choices(kinds, [KINDS[kind] for kind in kinds])[0]
            self.orchestrator.log("*", kind)
            await getattr(self, kind)()
            self.orchestrator.numbers[f"fault: {kind}"] += 1
        await asyncio.sleep(max(0, end - asyncio.get_running_loop().time()))
        self.over = True
        self.bystanders.kill_all()

    def disturb(self, chance):
        """What a command is sent with so that it may be stopped half-way."""
        if self.over or "cancel" not in self.kinds or chance.random() > 0.2:
            return {}
        self.orchestrator.numbers["fault: cancel"] += 1
        if chance.random() < 0.5:
            return {"deadline_ms": chance.choice((0, 1, 3, 10, 30, 100))}
        return {"cancel_after": chance.choice((0, 0.001, 0.003, 0.01, 0.03, 0.1))}

    def unfinished(self):
        return [process for process in self.orchestrator.processes.values() if not process.ended.is_set()]

    def mark(self, **what):
        for process in self.unfinished():
            vars(process).update(what)

    # The kinds

    async def worker(self):
        self.mark(disturbed=True, worker_killed=True)
        for process in self.orchestrator.processes.values():
            if process.plan and process.plan.stdin is not None and not process.closed:
                process.streams["stdout"].kills += 1
        self.orchestrator.cut_off |= set(self.orchestrator.connection.concerned.values())
        self.world.kill_worker()
        await asyncio.sleep(self.chance.choice((0, 0.1, 0.5, 1.5)))
        self.world.start_worker()

    async def containerd(self):
        self.mark(disturbed=True, forgettable=self.forgets)
        self.world.kill_containerd()
        await asyncio.sleep(self.chance.choice((0, 0.2, 1, 3)))
        await asyncio.to_thread(self.world.start_containerd)

    async def shim(self):
        told = self.orchestrator.containers
        # One whose container is gone containerd has left behind, and its death would leave its process.
        shims = {name: pid for name, pid in self.world.shims().items() if told.get(name, [])[-1:] != ["container.deleted"]}
        if not shims:
            return
        container = self.chance.choice(sorted(shims))
        for process in self.orchestrator.processes.values():
            if process.container == container:
                process.shim_gone = True
                process.shim_killed = process.shim_killed or not process.exited
        self.orchestrator.log("*", f"shim of {container}")
        kill(shims[container])

    async def client(self):
        if self.chance.random() < 0.4:
            self.bystanders.replace(self.chance)
            return
        self.mark(disturbed=True)
        await self.orchestrator.up.wait()
        # A command without its LF is none, even if it is whole otherwise.
        half = b'{"command":"container.create","arguments":{"container":"never","rootfs":"/","args":["true"]}}'
        rest = half[:self.chance.choice((0, 0, 20, len(half)))]
        self.orchestrator.connection.break_off(rest)

    async def stall(self):
        self.mark(disturbed=True)
        await self.orchestrator.up.wait()
        self.orchestrator.connection.stall(self.chance.choice((0.2, 1, 3, 5)))
