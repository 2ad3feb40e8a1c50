"""A stage: hyperparameters + upstream stages -> one folder of open files, computed once.

A stage is data (a frozen configuration); `run` makes its folder. exca caches it by configuration:
every field and every upstream field enters the key, `runtime` and folders do not. Inside the folder
a stage resumes from its own partial files after a kill; `result.json` comes last and means done.
Folders lie below the stage's name and version, `Curation,1/...`: moving a module empties no cache.
"""

from __future__ import annotations

import logging
import sys
import time
from abc import abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import exca
import filelock
import pydantic
import yaml
from exca.helpers import DiscriminatedModel

from core.clip import MANIFEST_NAME, Manifest
from core.errors import StageBusy, UserError, environment_fault
from core.files import read_json, write_json
from core.runtime import Runtime, commit_of

# exca logs the traceback of every failure, a user's typo included; the command decides instead.
logging.getLogger("exca").setLevel(logging.CRITICAL)

# exca writes each stage's configuration and compares it with the stored one: with PyYAML's own
# parser, a seventh of a command that finds everything in the cache. libyaml's is ten times faster.
yaml.SafeLoader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # type: ignore[misc]
yaml.SafeDumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)  # type: ignore[misc]

RESULT_NAME = "result.json"
RECORD_NAME = "record.json"
QUIET_WAIT_S = 5.0
_MODULES: dict[str, str] = {}  # of every stage, by its name


class StageInfra(exca.TaskInfra):
    """exca's cache, in folders that bear the stage's own name instead of its module's path."""

    def _factory(self) -> str:
        return type(self._obj).__name__


class Stage(DiscriminatedModel, discriminator_key="kind", extra="forbid"):
    """Base of every stage. Subclasses add fields and implement `execute`.

    The class's name is the stage's name: its folder in the cache and its `kind` in a key.

    version: bump it when the code changes what the stage computes; it is part of the key of the
    stage and of everything after it.
    """

    version: ClassVar[str] = "1"
    _exclude_from_cls_uid: ClassVar[tuple[str, ...]] = ("runtime",)

    infra: StageInfra = StageInfra(mode="retry")
    runtime: Runtime = Runtime()

    def __init_subclass__(cls, **options: Any) -> None:
        """Raises: TypeError: if a stage of another module has the name."""
        super().__init_subclass__(**options)
        module = _MODULES.setdefault(cls.__name__, cls.__module__)
        if module != cls.__module__:
            message = f"{cls.__module__}: {module} has a stage {cls.__name__}: name it otherwise"
            raise TypeError(message)

    def model_post_init(self, context: Any, /) -> None:
        super().model_post_init(context)
        self.infra.version = type(self).version

    @abstractmethod
    def execute(self, folder: Path) -> dict[str, Any]:
        """Do the work in `folder` (resuming what lies there) and return a small JSON-able dict."""

    @infra.apply
    def run(self) -> dict[str, Any]:
        """The stage's result, computed at the first call and read from its folder afterwards.

        Raises: StageBusy: if another run holds the folder and `runtime.wait` is off.
        """
        folder = self.folder
        folder.mkdir(parents=True, exist_ok=True)
        with _hold(folder, wait=self.runtime.wait):
            if not self.is_done():
                self.runtime.apply()
                start = time.monotonic()
                result = self.execute(folder)
                seconds = time.monotonic() - start
                commit = commit_of(Path(__file__).parent)
                made = {"seconds": round(seconds, 2), "commit": commit}
                write_json(folder / RECORD_NAME, made)
                write_json(folder / RESULT_NAME, result)
            value: dict[str, Any] = read_json(folder / RESULT_NAME)
            return value

    @property
    def folder(self) -> Path:
        """The stage's own folder, named after its configuration (looking creates none)."""
        folder = self.infra.uid_folder()
        if folder is None:
            raise ValueError(f"{type(self).__name__} has no cache folder: set infra.folder")
        return Path(folder)

    def is_done(self) -> bool:
        """Whether the result is stored."""
        folder = self.infra.uid_folder()
        return folder is not None and (Path(folder) / RESULT_NAME).is_file()

    def is_begun(self) -> bool:
        """Whether a run has left anything in the folder."""
        folder = self.infra.uid_folder()
        return folder is not None and Path(folder).is_dir()

    def record(self) -> dict[str, Any]:
        """`seconds` (wall clock) and `commit` of the run that finished the stage."""
        path = self.folder / RECORD_NAME
        found: dict[str, Any] = read_json(path) if path.is_file() else {}
        return found

    @property
    def ranks(self) -> int:
        """How many processes work on it together, one a GPU; more than one train."""
        return 1

    def is_one_piece(self) -> bool:
        """Whether there is too little of it to spread over processes, so that it is better run
        beside others. Asked when all it reads is done."""
        return False

    def upstream(self) -> Iterator[Stage]:
        """The stages that this one reads directly, in the order of its fields."""
        for name in type(self).model_fields:
            value = getattr(self, name)
            for item in value if isinstance(value, (tuple, list)) else (value,):
                if isinstance(item, Stage):
                    yield item

    def tower(self) -> list[Stage]:
        """This stage and all that it depends on, dependencies first, each configuration once."""
        ordered: dict[str, Stage] = {}
        for stage in self.upstream():
            for below in stage.tower():
                ordered.setdefault(below.infra.uid(), below)
        ordered.setdefault(self.infra.uid(), self)
        return list(ordered.values())

    def cost(self) -> str:
        """What running it takes, for the plan's table (clips, steps, GPU-hours)."""
        return ""


class ClipStage(Stage):
    """A stage that yields a manifest of clips: a dataset, a curated set, a generator's output."""

    def manifest(self) -> Manifest:
        """Run the stage if need be and load its manifest."""
        self.run()
        return Manifest.load(self.folder / MANIFEST_NAME)

    @abstractmethod
    def execute(self, folder: Path) -> dict[str, Any]:
        """As `Stage.execute`; must leave `manifest.jsonl` in `folder`."""


class FolderStage(ClipStage):
    """A stage that lists clips of a folder which a user gave.

    root: where it lies; not part of the key. content_sha256: what it holds (`at` of each makes
    both).
    """

    _exclude_from_cls_uid: ClassVar[tuple[str, ...]] = ("runtime", "root")

    root: Path
    content_sha256: str = pydantic.Field(pattern="^[0-9a-f]{64}$")

    def manifest(self) -> Manifest:
        """As `ClipStage.manifest`; data moved since the stage ran is found at its present root."""
        return super().manifest().model_copy(update={"root": self.root.resolve()})


@contextmanager
def _hold(folder: Path, *, wait: bool) -> Iterator[None]:
    # Trainings side by side share short stages, which is no news; a long wait is.
    # An operating-system lock: it vanishes with the process, so a killed run leaves nothing stale.
    lock = filelock.FileLock(str(folder) + ".lock")
    try:
        lock.acquire(timeout=QUIET_WAIT_S if wait else 0)
    except filelock.Timeout:
        if not wait:
            message = f"another run holds {folder}: wait for it, or leave out --no-wait"
            raise StageBusy(message) from None
        print(f"waiting for another run that holds {folder}", file=sys.stderr, flush=True)
        lock.acquire()
    except OSError as error:  # after Timeout, which is one
        if (fault := environment_fault(error)) is None:
            raise
        raise UserError(f"{lock.lock_file}: {fault}") from None
    try:
        yield
    finally:
        lock.release()
