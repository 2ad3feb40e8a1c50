"""A command that ends in the way that its argument names."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

if __name__ == "__main__":
    how = sys.argv[1]
    print(f"to do: {how}")
    if how == "refuse":
        print("error: --how refuse: name another", file=sys.stderr)
    if how in ("refuse", "wordless"):
        sys.exit(2)
    if how == "fail":
        raise ValueError("our fault")
    if how == "crash":
        os.kill(os.getpid(), signal.SIGTERM)
    if how == "hang":
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        print(child.pid, flush=True)
        time.sleep(600)
