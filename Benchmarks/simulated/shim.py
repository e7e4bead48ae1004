"""What shims do for stdio: FIFOs that are held open, and processes that print a line now and then. One thread for all."""
import os
import threading
import time

# So often the thread wakes up, with a share of the tasks each time.
STEP = 0.01


class Stdio:
    """A task's ends of its FIFOs. Like a shim's they are there to read, too, so that a worker may come and go."""

    def __init__(self, request):
        self.lines, self.fds = 0, []
        try:
            self.stdout = self.open(request.stdout)
            for path in (request.stdin, request.stderr):
                self.open(path)
        except OSError:
            self.close()
            raise

    def open(self, path):
        if not path:
            return None
        fd = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        self.fds.append(fd)
        return fd

    def say(self):
        """One line, or nothing while nobody reads: a process would wait."""
        if self.stdout is None:
            return
        try:
            os.write(self.stdout, b"line %d of a container that has something to say\n" % self.lines)
            self.lines += 1
        except BlockingIOError:
            pass

    def close(self):
        self.stdout = None
        for fd in self.fds:
            os.close(fd)
        self.fds = []


class Printer(threading.Thread):
    """Each task that was added prints a line in every interval, not all at once."""

    def __init__(self, interval):
        super().__init__(daemon=True)
        self.interval, self.lock, self.talking = interval, threading.Lock(), []

    def add(self, stdio):
        with self.lock:
            self.talking.append(stdio)

    def remove(self, stdio):
        with self.lock:
            if stdio in self.talking:
                self.talking.remove(stdio)
            # Under the lock: a descriptor that is closed could be another one's when it is written to.
            stdio.close()

    def run(self):
        began, said = time.monotonic(), 0.0
        while True:
            time.sleep(STEP)
            with self.lock:
                count = len(self.talking)
                due = (time.monotonic() - began) / self.interval * count
                if not said <= due <= said + count:
                    # There are more or fewer now, or it was held up: it doesn't catch up.
                    said = max(0.0, due - STEP / self.interval * count)
                for number in range(int(said), int(due)):
                    self.talking[number % count].say()
                said = due
