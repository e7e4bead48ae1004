"""Everything that is not ours to test: a directory, a containerd, a root file system, and the worker's process."""
import asyncio
import hashlib
import os
import pathlib
import shutil
import signal
import socket
import stat
import subprocess
import tempfile
import time

SCRIPTS = pathlib.Path(__file__).resolve().parent.parent / "scripts"


class World:
    def __init__(self, worker, name, log=None):
        self.program = os.path.abspath(worker)
        # Short: the kernel takes 108 bytes for a socket's path.
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix=f"cw-{name}-", dir="/tmp"))
        self.directory.chmod(0o711)
        # What mkdtemp makes up is no name for a namespace.
        self.namespace = f"cw-{name}-{os.urandom(4).hex()}"
        self.state = self.directory / "state"
        self.shared = self.directory / "shared"
        self.rootfs = self.directory / "rootfs"
        self.socket = str(self.directory / "w.sock")
        self.containerd_socket = str(self.directory / "c" / "c.sock")
        self.worker, self.guard, self.keep = None, None, log

    # Set-up and end

    def set_up(self):
        # Whatever ends us, a SIGKILL too: the guard sees the end of its stdin and takes everything away.
        self.guard = subprocess.Popen(
            [SCRIPTS / "private-containerd", "guard", self.directory], stdin=subprocess.PIPE, start_new_session=True)
        subprocess.run([SCRIPTS / "busybox-rootfs", self.rootfs], check=True)
        self.shared.mkdir()
        self.start_containerd()
        self.start_worker()

    def tear_down(self):
        if self.worker and self.worker.poll() is None:
            self.worker.terminate()
            try:
                self.worker.wait(10)
            except subprocess.TimeoutExpired:
                self.kill_worker()
        if self.keep:
            os.makedirs(self.keep, exist_ok=True)
            for file in (self.directory / "worker.log", self.directory / "c" / "containerd.log"):
                if file.exists():
                    shutil.copy(file, self.keep)
        if self.guard:
            self.guard.stdin.close()
            self.guard.wait()
        else:
            shutil.rmtree(self.directory)

    # Worker

    def start_worker(self):
        # The guard knows it by its name.
        command = ["containerd-worker", "--listen", self.socket, "--containerd-address", self.containerd_socket,
                   "--state-dir", self.state, "--namespace", self.namespace, "--log-level", "debug" if self.keep else "warning"]
        with open(self.directory / "worker.log", "ab") as log:
            # A session of its own: a ^C is for us, and we end it when we are ready.
            self.worker = subprocess.Popen(command, executable=self.program, stdin=subprocess.DEVNULL, stdout=log,
                                           stderr=log, start_new_session=True)

    def kill_worker(self):
        self.worker.kill()
        self.worker.wait()

    async def worker_listens(self):
        for _ in range(1000):
            if self.worker.poll() is not None:
                raise RuntimeError("the worker has ended: " + read(self.directory / "worker.log")[-500:])
            with socket.socket(socket.AF_UNIX) as probe:
                if probe.connect_ex(self.socket) == 0:
                    return
            await asyncio.sleep(0.02)
        raise TimeoutError("the worker does not listen")

    # containerd

    def start_containerd(self):
        subprocess.run([SCRIPTS / "private-containerd", "start", self.directory / "c"], check=True, stdout=subprocess.DEVNULL)

    def kill_containerd(self):
        for pid, arguments in processes():
            if os.path.basename(arguments[0]) == "containerd" and str(self.directory / "c" / "config.toml") in arguments:
                kill(pid)

    def remove_sockets(self, containers):
        """Those of killed shims, which nobody else takes away: their names are made of where containerd listens."""
        for container in containers:
            path = f"{self.containerd_socket}/{self.namespace}/{container}"
            pathlib.Path("/run/containerd/s", hashlib.sha256(path.encode()).hexdigest()).unlink(missing_ok=True)

    def ctr(self, *arguments):
        """containerd's own answer; the worker is not asked."""
        command = ["ctr", "--address", self.containerd_socket, "--namespace", self.namespace, *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()

    # What there is in the machine

    def shims(self):
        """Pids of the shims by the id of their container."""
        return {value(arguments, "-id"): pid for pid, arguments in processes()
                if os.path.basename(arguments[0]).startswith("containerd-shim") and self.namespace in arguments}

    def contained(self):
        """Pids of processes in our containers: those in a cgroup below the namespace."""
        return [pid for pid in pids() if f"/{self.namespace}/" in read(f"/proc/{pid}/cgroup")]

    def mounts(self):
        return [line.split()[4] for line in read("/proc/self/mountinfo").splitlines() if f"{self.directory}/" in line]

    def files(self):
        """(path, size, whether it is a FIFO) of everything below the state directory that is no directory."""
        found = []
        for folder, _, names in os.walk(self.state):
            for name in names:
                path = os.path.join(folder, name)
                try:
                    status = os.lstat(path)
                except FileNotFoundError:
                    continue
                found.append((path, status.st_size, stat.S_ISFIFO(status.st_mode)))
        return found

    def fifos(self):
        return [path for path, _, is_fifo in self.files() if is_fifo]

    def bundles(self):
        return sorted(str(path) for path in self.state.glob("bundles/*"))

    def stored_bytes(self):
        """Journal and whatever else is kept in files."""
        return sum(size for _, size, is_fifo in self.files() if not is_fifo)


def pids():
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def read(path):
    try:
        return pathlib.Path(path).read_text(errors="replace")
    except OSError:
        return ""


def processes():
    """(pid, arguments) of all that have any: zombies and the kernel's have none."""
    for pid in pids():
        arguments = read(f"/proc/{pid}/cmdline").split("\0")
        if arguments[0]:
            yield pid, arguments


def value(arguments, option):
    return arguments[arguments.index(option) + 1] if option in arguments else None


def kill(pid):
    """SIGKILL, and waits until it is gone."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    for _ in range(500):
        if not read(f"/proc/{pid}/cmdline"):
            return
        time.sleep(0.005)
