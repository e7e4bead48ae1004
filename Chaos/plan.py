"""What a process is to do: the script that it runs, and what must come of it, to the byte."""
NOISE = 4 << 20

# Most are small, some are nothing, a few are more than any buffer on the way.
SIZES = (0, 1, 7, 100, 1000, 4096, 20_000, 70_000, 300_000, 1_500_000)
WEIGHTS = (2, 1, 1, 4, 6, 4, 4, 3, 2, 1)


class Plan:
    """`ends` is "itself" or "killed": then somebody has to, once "ready" has come."""

    def __init__(self, name, chance, noise, stays=False):
        self.name, self.chance, self.noise = name, chance, noise
        self.output = {"stdout": bytearray(), "stderr": bytearray()}
        self.stdin, self.code, self.ends = None, None, "itself"
        # Who has run twice has written twice.
        self.script = [f"echo {name} >>/chaos/started"]
        for part in range(chance.choice((0, 1, 1, 2, 3, 5))):
            self.add(part)
        self.finish(stays)
        self.drop = chance.random() < 0.1
        # Credit: so many bytes are under way at most. As the worker keeps as many, none is lost with a connection.
        self.window = chance.choice((None, 4096, 65536, 262144))
        del self.chance, self.noise

    def size(self):
        return self.chance.choices(SIZES, WEIGHTS)[0]

    def add(self, part):
        stream = self.chance.choice(("stdout", "stderr"))
        kind = self.chance.choice((self.lines, self.bytes, self.pause))
        kind(part, stream, " >&2" if stream == "stderr" else "")

    def lines(self, part, stream, redirection):
        text = f"{self.name} part {part} line "
        count = self.size() // len(text)
        self.script.append(f"awk 'BEGIN {{ for (i = 1; i <= {count}; i++) print \"{text}\" i }}'{redirection}")
        self.output[stream] += "".join(f"{text}{i}\n" for i in range(1, count + 1)).encode()

    def bytes(self, part, stream, redirection):
        """A piece of the noise that lies in the shared directory."""
        size = self.size()
        start = self.chance.randrange(NOISE - size)
        self.script.append(
            f"dd if=/chaos/noise bs=65536 iflag=skip_bytes,count_bytes skip={start} count={size}{redirection} 2>/dev/null")
        self.output[stream] += self.noise[start:start + size]

    def pause(self, part, stream, redirection):
        self.script.append(f"sleep {self.chance.choice((0.01, 0.1, 0.5, 2))}")

    def finish(self, stays):
        """`stays`: it lives until it is told to end, by the end of its stdin or by SIGKILL."""
        if stays and self.chance.random() < 0.5:
            self.ends, self.code = "killed", 137
            self.script.append("echo ready; exec sleep 100000")
            self.output["stdout"] += b"ready\n"
            return
        if stays or self.chance.random() < 0.3:
            start, size = self.chance.randrange(NOISE // 2), self.size()
            self.stdin = self.noise[start:start + size]
            self.script.append("cat")
            self.output["stdout"] += self.stdin
        self.code = self.chance.choice((0, 0, 1, 2, 42, 126, 127, 128, 137, 254, 255, self.chance.randrange(256)))
        self.script.append(f"exit {self.code}")

    def attach(self):
        return {"window": self.window} if self.window else {}

    def arguments(self):
        return ["sh", "-c", "\n".join(self.script)]
