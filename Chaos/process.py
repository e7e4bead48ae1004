"""What is known of one process: what was asked, what was told, and whether both fit."""
import asyncio
import base64

from stream import Stream

# Their order in the life of a process.
ORDER = {"task.created": 0, "process.added": 0, "task.started": 1, "process.started": 1,
         "process.exited": 2, "process.closed": 3, "task.deleted": 4}

# How runc's own process, in the container's place until the start, complains on its stderr that the start was killed.
CUT_START = b"write exec fifo "


class Process:
    def __init__(self, container, process, plan, complain):
        self.container, self.process, self.plan = container, process, plan
        self.name = f"{container}/{process}"
        self.complain = lambda what, expected, came: complain(self.name, what, expected, came)
        expected = plan.output if plan else {"stdout": None, "stderr": None}
        self.streams = {name: Stream(name, content, self.complain) for name, content in expected.items()}
        # Whether it was started: "no", "asked", "yes", or "unknown" where the worker could not tell.
        self.started = "no"
        self.told, self.exited, self.closed = [], None, None
        # Starts of which it was said that nobody knows whether they were done, and after which another one was asked for.
        self.unsure_starts = 0
        # What was done to it.
        self.shim_killed, self.worker_killed, self.disturbed, self.kill_asked = False, False, False, False
        # The shim may also be killed after its end; then its task is gone all the same.
        self.shim_gone = False
        # containerd may forget the exit of a task that ends while it is down.
        self.forgettable = False
        self.refused = None
        # Its stderr has what runc said, not yet what it says itself.
        self.is_cut = False
        self.ready, self.ended = asyncio.Event(), asyncio.Event()

    def target(self):
        return {"container": self.container, "process": self.process}

    # What comes

    def lifecycle(self, event):
        name = event["event"]
        if name not in ORDER:
            return
        if name in ("task.created", "process.added") and self.failed_start():
            self.told.clear()
            self.restart_streams()
        if name in self.told:
            self.complain(name, "once", f"again with seq {event['seq']}")
        elif self.told and ORDER[name] < ORDER[self.told[-1]]:
            self.complain(name, f"before {self.told[-1]}", f"behind it with seq {event['seq']}")
        if name == "task.started" and self.is_cut:
            self.complain(name, "none, runc gave up before", str(event))
        self.told.append(name)
        if name == "task.deleted" and self.failed_start():
            self.restart_streams()
        if name == "process.exited":
            self.exited = event
            self.check_end()
        if name == "process.closed":
            self.closed = event
            if self.exited and event["exit_code"] != self.exited["exit_code"]:
                self.complain("process.closed", f"exit code {self.exited['exit_code']}", str(event["exit_code"]))
        self.look()

    def failed_start(self):
        """A start that failed, or was stopped half-way, begins again from the beginning."""
        return self.told in (["process.added"], ["task.created", "task.deleted"])

    def restart_streams(self):
        for stream in self.streams.values():
            stream.restart()
        self.is_cut = False

    def check_end(self):
        if self.plan and self.plan.ends == "killed" and not self.kill_asked and not self.shim_killed:
            self.complain("process.exited", "only once it is killed", f"exit code {self.exited['exit_code']}")

    def output(self, event):
        stream = self.streams[event["stream"]]
        if event["event"] == "stdio.data":
            data = event["text"].encode() if "text" in event else base64.b64decode(event["base64"])
            if self.told == ["task.created"] and data.startswith(CUT_START):
                self.is_cut, stream.position = True, event["offset"] + len(data)
            else:
                stream.data(event["offset"], data)
        elif event["event"] == "stdio.gap":
            if stream.gap(event["from"], event["to"]) and self.plan and not self.may_have_gaps():
                self.complain(f"{stream.name}: stdio.gap", "none, nothing was done that excuses it", str(event))
        elif event["event"] == "stdio.eof":
            stream.end(event["offset"])
        self.look()

    def may_have_gaps(self):
        if self.shim_killed or self.worker_killed:
            return True
        # Of an exec that is closed the worker keeps only what it has not sent.
        return self.disturbed and (self.plan.drop or not self.plan.window or self.process != "init")

    def look(self):
        """Whether enough has come to go on."""
        stdout = self.streams["stdout"]
        if self.plan and stdout.position >= len(stdout.expected):
            self.ready.set()
        if self.closed and (self.refused or all(self.has_all(name) for name in self.streams)):
            self.ended.set()
        if self.exited:
            self.ready.set()

    def has_all(self, name):
        return self.streams[name].position >= (self.closed.get(name) or {}).get("bytes", 0)

    # The end

    def ran(self, runs):
        if self.started == "yes" or {"task.started", "process.started"} & set(self.told):
            return True
        # Killed in the middle of a start that was answered with an error: not one that ran for anybody.
        return bool(runs) and not self.shim_killed

    def outcome(self, runs):
        if not self.ran(runs):
            return "never started"
        if not self.exited:
            return "not ended"
        if self.exited["exit_code"] is None:
            return "lost"
        if not self.plan or self.exited["exit_code"] != self.plan.code:
            return "killed with its shim"
        short = any(stream.position < len(stream.expected) for stream in self.streams.values())
        return "as expected, but for lost output" if short else "as expected"

    def settle(self, runs):
        """The account of it, when nothing more can come."""
        if runs > 1 + self.unsure_starts:
            self.complain("runs", str(1 + self.unsure_starts), str(runs))
        if self.started == "no" and runs:
            self.complain("runs", "0, it was not started", str(runs))
        if not self.ran(runs):
            return
        if self.started != "yes" and not {"task.started", "process.started"} & set(self.told):
            # Nobody could tell whether it was started, and that was said.
            return
        for name in ("process.exited", "process.closed"):
            if name not in self.told:
                self.complain(name, "once", f"none; {self.state()}")
        # Of which nobody knew whether it was started, nobody waited for its output or its end.
        if self.exited and self.started == "yes":
            self.settle_exit(runs)
        if self.closed and self.started == "yes":
            for name in self.streams:
                self.settle_stream(name)

    def settle_exit(self, runs):
        code = self.exited["exit_code"]
        # 255 is what containerd says where cleaning up behind a shim fails.
        if self.shim_killed and code in (None, 137, 255) or self.forgettable and code is None:
            return
        if code != self.plan.code:
            self.complain("exit code", str(self.plan.code), f"{code}, source {self.exited['source']}")
        elif not runs:
            self.complain("runs", "1", "0")

    def settle_stream(self, name):
        stream, told = self.streams[name], self.closed.get(name) or {}
        if self.shim_killed:
            # What was in its pipes went with it, and the task with its output once it was closed.
            return
        if stream.position != told.get("bytes"):
            self.complain(f"{name} in process.closed", f"{stream.position} bytes", str(told))
        if stream.position != len(stream.expected):
            self.complain(f"{name}", f"{len(stream.expected)} bytes", f"{stream.position}, {told}")
        if told.get("end") != "eof" and not stream.gaps:
            self.complain(f"{name}: end", "eof", str(told.get("end")))

    def state(self):
        streams = ", ".join(f"{s.name} {s.position} of {len(s.expected or b'')}" for s in self.streams.values())
        refused = f", stdio.attach refused: {self.refused}" if self.refused else ""
        return f"start {self.started}, told {' '.join(self.told) or 'nothing'}, {streams}{refused}"
