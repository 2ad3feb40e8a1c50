"""Do clips show a scene that can be rebuilt in 3D? Generated and real ones, each with its control.

    python -m benchmarks.audits.scene generated=DIR real=DIR

takes folders of videos of any size and writes `scene.md` and `scene.json` into results/scene.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.audits.scene.field import FieldSettings
from benchmarks.audits.scene.splats import Method, SplatSettings, chosen, obstacle
from benchmarks.audits.scene.stages import FEWEST, Filmed, NovelViews, SceneCameras
from benchmarks.tables.render import plain_table
from core.errors import UserError, exit_code
from core.files import try_folder, write_json, write_text
from core.runtime import Runtime

HEADER = (
    "Clips", "n", "in 3D", "without parallax", "not registered", "PSNR, dB", "shuffled",
    "nearest frame", "depth TV, %", "shuffled",
)  # fmt: skip
NONE = "–"


def audit(options: argparse.Namespace) -> dict[str, Any]:
    """What was found of each folder, by its name.  Raises: UserError."""
    runtime = Runtime()
    runtime.apply()
    device = runtime.torch_device()
    settings = _settings(chosen(options.method, device), options.steps)
    cache = options.results / "cache"
    common: dict[str, Any] = {"infra": {"folder": str(cache)}, "runtime": runtime}
    roots = [_named(text) for text in options.folders]
    if len(dict(roots)) < len(roots):
        raise UserError("NAME=DIR: a name is given twice: give each folder its own")
    memory = cache / "hashes.json"
    clips = {name: Filmed.at(root, options.clips, memory, **common) for name, root in roots}
    found = {}
    for name, source in clips.items():
        cameras = SceneCameras(
            clips=source, num_frames=options.frames, seconds=options.seconds, **common
        )
        views = [
            NovelViews(cameras=cameras, settings=settings, shuffled=order, **common)
            for order in (False, True)
        ]
        outcomes = cameras.run()["clips"]
        found[name] = {"clips": outcomes, "views": views[0].run(), "shuffled": views[1].run()}
    why = obstacle(device) if options.method == "auto" else None
    return {"method": settings.method, "without_gsplat": why, "folders": found}


def _settings(method: Method, steps: int | None) -> FieldSettings | SplatSettings:
    if method == "gsplat":
        return SplatSettings() if steps is None else SplatSettings(steps=steps)
    default = FieldSettings()
    if steps is None:
        return default
    fitting = default.optimisation.model_copy(update={"steps": steps})
    return default.model_copy(update={"optimisation": fitting})


def _named(text: str) -> tuple[str, Path]:
    name, equals, place = text.partition("=")
    if not (name and equals and place):
        raise UserError(f"{text}: a folder of videos is given as NAME=DIR")
    return name, Path(place)


def markdown(found: Mapping[str, Any]) -> str:
    """A row a folder; below, each clip that has no number, with its reason."""
    rows, lines = [], []
    for name, each in found["folders"].items():
        outcomes = Counter(entry["outcome"] for entry in each["clips"].values())
        counts = [outcomes[kind] for kind in ("placed", "no parallax", "not registered")]
        real, control = each["views"]["mean"], each["shuffled"]["mean"]
        rows.append(
            [name, len(each["clips"]), *counts, _shown(real, "psnr_db"), _shown(control, "psnr_db"),
             _shown(real, "nearest_db"), _shown(real, "depth_tv"), _shown(control, "depth_tv")]
        )  # fmt: skip
        lines += [
            f"- {name}, {path}: {entry['outcome']}: {entry['reason']}"
            for path, entry in each["clips"].items()
            if entry["outcome"] != "placed"
        ]
    why = f" ({found['without_gsplat']}: no gsplat)" if found["without_gsplat"] else ""
    parts = [
        plain_table(rows, HEADER),
        f"Reconstructed by: {found['method']}{why}. Means over the clips that are in 3D.",
        *(["Without a number:", "\n".join(lines)] if lines else []),
    ]
    return "\n\n".join(parts) + "\n"


def _shown(means: Mapping[str, float], name: str) -> str:
    return f"{means[name]:.2f}" if name in means else NONE


def main() -> int:
    """Look at folders of clips."""
    command = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    command.add_argument("folders", nargs="+", metavar="NAME=DIR", help="folders of videos")
    command.add_argument("--clips", type=int, default=20, help="of each folder, the first by name")
    command.add_argument("--frames", type=int, default=16, help="of a clip, at most")
    command.add_argument("--seconds", type=float, default=2.0, help="from a clip's start")
    command.add_argument("--method", choices=("auto", "field", "gsplat"), default="auto")
    command.add_argument("--steps", type=int, help="of a reconstruction")
    command.add_argument("--results", type=Path, default=Path("results"), metavar="DIR")
    options = command.parse_args()
    return exit_code(lambda: run(options))


def run(options: argparse.Namespace) -> None:
    """Raises: UserError: for anything the user can mend."""
    for name, least in (("clips", 1), ("frames", FEWEST), ("seconds", 0.1), ("steps", 1)):
        value = getattr(options, name)
        if value is not None and value < least:
            raise UserError(f"--{name} {value}: give {least} or more")
    try_folder(options.results, "--results")
    found = audit(options)
    folder = options.results / "scene"
    write_json(folder / "scene.json", found)
    write_text(folder / "scene.md", markdown(found))
    print(markdown(found))


if __name__ == "__main__":
    sys.exit(main())
