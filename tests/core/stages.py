"""Small real stages for the tests of `core.stage`, importable by other processes.

How long a step takes comes from the environment (SECONDS_PER_STEP): it is no hyperparameter.
"""

import os
import sys
import time
from pathlib import Path
from typing import Any

import pydantic

from core.clip import MANIFEST_NAME, Clip, Manifest
from core.distributed import rank
from core.errors import UserError
from core.files import write_text
from core.launching import launch
from core.runtime import Runtime
from core.stage import ClipStage, Stage


class Count(Stage):
    """Writes `steps` files one by one; a restart goes on after the last whole one."""

    steps: int = pydantic.Field(default=5, ge=1)
    offset: int = 0

    def execute(self, folder: Path) -> dict[str, Any]:
        done = len(list(folder.glob("step-*.txt")))
        for step in range(done, self.steps):
            log(folder, f"step {step}")
            time.sleep(float(os.environ.get("SECONDS_PER_STEP", "0")))
            write_text(folder / f"step-{step}.txt", str(step + self.offset))
        return {"total": sum(int(file.read_text()) for file in folder.glob("step-*.txt"))}


class Double(Stage):
    """Twice the total of `count`."""

    count: Count = Count()
    factor: int = 2

    def execute(self, folder: Path) -> dict[str, Any]:
        log(folder, "run")
        return {"value": self.factor * self.count.run()["total"]}


class DoubleV2(Double):
    """The same fields with changed code."""

    version = "2"


class FailOnce(Stage):
    """Fails while the file `broken` lies beside its folder."""

    def execute(self, folder: Path) -> dict[str, Any]:
        log(folder, "run")
        if (folder.parent / "broken").exists():
            raise OSError("disk full")
        return {"ok": True}


class RedClips(ClipStage):
    """`count` clips of one kind."""

    count: int = 2

    def execute(self, folder: Path) -> dict[str, Any]:
        return save_clips(folder, "red", self.count)


class BlueClips(ClipStage):
    """`count` clips of another kind; the same fields as `RedClips`."""

    count: int = 2

    def execute(self, folder: Path) -> dict[str, Any]:
        return save_clips(folder, "blue", self.count)


class Reader(Stage):
    """Reads any source of clips."""

    source: ClipStage
    more: tuple[ClipStage, ...] = ()

    def execute(self, folder: Path) -> dict[str, Any]:
        return {"ids": [clip.clip_id for clip in self.source.manifest().clips]}


def save_clips(folder: Path, colour: str, count: int) -> dict[str, Any]:
    clips = tuple(
        Clip(clip_id=f"{colour}-{k}", video_id=colour, path=f"{colour}/{k}.mp4", source=colour)
        for k in range(count)
    )
    Manifest(root=folder, clips=clips).save(folder / MANIFEST_NAME)
    return {"clips": count}


def log(folder: Path, line: str) -> None:
    """Note that something ran (appended, so that a second run shows)."""
    with (folder / "log.txt").open("a") as file:
        file.write(line + "\n")


def main() -> None:
    """`FOLDER`: run Count(steps=5) in a process of its own."""
    print(Count(steps=5, infra={"folder": sys.argv[1]}).run())


class Together(Stage):
    """Two ranks write a file each; they wait for as long as SECONDS_PER_STEP says."""

    def execute(self, folder: Path) -> dict[str, Any]:
        launch(write_and_wait, folder, runtime=Runtime(), ranks=2)
        return {"files": len(list(folder.glob("rank-*.txt")))}


def write_and_wait(folder: Path) -> None:
    write_text(folder / f"rank-{rank()}.txt", "")
    time.sleep(float(os.environ.get("SECONDS_PER_STEP", "0")))


def refuse(reason: str) -> None:
    """What a rank does that finds a wrong input."""
    raise UserError(reason)
