"""Where containers run: on a private containerd, or on the simulated one."""
import os
import pathlib
import shutil
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "Chaos"))
from world import World  # noqa: E402  (the path comes first)


class RealPlace(World):
    name, interval = "containerd", 0.1

    def set_up(self):
        super().set_up()
        # What is never written to: to wait for it is a pause that costs no process.
        os.mkfifo(self.rootfs / "never")

    def container(self):
        script = f"exec 3<>/never; n=0; while :; do n=$((n+1)); echo line $n; read -t {self.interval} x <&3; done"
        return {"rootfs": str(self.rootfs), "args": ["sh", "-c", script]}


class SimulatedPlace(World):
    name, interval = "simulated", 1

    @staticmethod
    def is_there():
        python = subprocess.run(["/usr/bin/python3", "-c", "import grpc.aio, google.protobuf"], stderr=subprocess.DEVNULL)
        return python.returncode == 0 and shutil.which("protoc") is not None

    def __init__(self, *arguments, terminal):
        super().__init__(*arguments)
        self.terminal = terminal

    def start_containerd(self):
        (self.directory / "c").mkdir()
        program = HERE.parent / "simulated" / "containerd.py"
        # Debian's Python has gRPC. By this name the guard takes it for a containerd, and ends it.
        self.simulation = subprocess.Popen(
            ["containerd", program, self.containerd_socket, "--interval", str(self.interval)], executable="/usr/bin/python3",
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, start_new_session=True)
        if self.simulation.stdout.readline() != b"ready\n":
            raise RuntimeError("the simulated containerd does not start")

    def tear_down(self):
        super().tear_down()
        self.simulation.wait()

    def container(self):
        return {"rootfs": str(self.rootfs), "args": ["sh"], "terminal": self.terminal}
