"""`N COMMAND...`: run a command N times side by side, as `srun` does once on each of N nodes.

Unlike srun it stops none when another fails: what is left must end by itself.
"""

from __future__ import annotations

import signal
import subprocess
import sys

PREFIX = f"{sys.executable} -m tests.core.each_node {{nodes}}"


def main(nodes: int, command: list[str]) -> int:
    """The largest return code in size."""
    processes = [subprocess.Popen(command) for _ in range(nodes)]

    def pass_on(number: int, _: object) -> None:
        for process in processes:
            process.send_signal(number)

    signal.signal(signal.SIGTERM, pass_on)
    return max(abs(process.wait()) for process in processes)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), sys.argv[2:]))
