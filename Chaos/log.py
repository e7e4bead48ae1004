"""Every line and every fault with its time, for whoever looks for a reason."""
import json
import time


class Log:
    def __init__(self, path):
        self.file, self.began = (open(path, "w") if path else None), time.monotonic()

    def __call__(self, mark, line):
        if self.file:
            if isinstance(line, dict):
                line = json.dumps(self.short(line))
            print(f"{time.monotonic() - self.began:9.4f} {mark} {line}", file=self.file, flush=True)

    def short(self, line):
        return {key: self.short(value) if isinstance(value, dict)
                else f"{value[:40]}… {len(value)}" if isinstance(value, str) and len(value) > 300 else value
                for key, value in line.items()}
