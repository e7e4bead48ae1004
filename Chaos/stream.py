"""One output of one process, checked as it comes."""


class Stream:
    """`expected` is None for a process that we know nothing about. `complain(what, expected, came)`."""

    def __init__(self, name, expected, complain):
        self.name, self.expected, self.complain = name, expected, complain
        self.position, self.gaps, self.missing, self.repeated = 0, 0, 0, 0
        self.wrong = False
        # How often the worker was killed while it may have been writing to the process, which sends it back.
        self.kills = 0
        # Up to where the worker may send.
        self.granted = 0

    def data(self, offset, data):
        if offset > self.position:
            self.fail("bytes that follow", f"at {self.position}", f"at {offset}, and no stdio.gap")
            self.position = offset
        known = min(self.position - offset, len(data))
        self.repeated += known
        self.compare(offset, data)
        self.position = max(self.position, offset + len(data))

    def compare(self, offset, data):
        """All of it: what was there before must be the same again."""
        if self.expected is None:
            return
        expected = self.expected[offset:offset + len(data)]
        if data != expected and not self.wrong:
            at = next((i for i, (a, b) in enumerate(zip(data, expected)) if a != b), len(expected))
            if self.kills and self.repeat(offset + at, data[at:at + 24]):
                return self.compare(offset, data)
            self.wrong = True
            self.fail(f"bytes at {offset + at}", repr(bytes(expected[at:at + 24])), repr(data[at:at + 24]))

    def repeat(self, offset, data):
        """At a kill the bytes of one write may come to the process twice, no more than a pipe holds."""
        start = self.expected.rfind(data, max(0, offset - 65536), offset)
        if start < 0:
            return False
        self.kills -= 1
        self.expected = self.expected[:offset] + self.expected[start:]
        return True

    def restart(self):
        """It begins anew, of a process that took the place of one that was taken back."""
        self.position = 0

    def gap(self, start, end):
        """Whether there is something in it that has not come."""
        if start > self.position:
            self.fail("a gap that follows", f"at {self.position}", f"from {start}")
        self.gaps += 1
        self.missing += max(0, end - max(self.position, start))
        had_all = end <= self.position
        self.position = max(self.position, end)
        return not had_all

    def end(self, offset):
        if offset != self.position:
            self.fail("stdio.eof", f"at {self.position}", f"at {offset}")

    def fail(self, what, expected, came):
        self.complain(f"{self.name}: {what}", expected, came)
