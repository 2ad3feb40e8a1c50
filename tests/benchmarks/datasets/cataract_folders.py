"""Small folders in the published forms of Cataract-1K and Cataract-101."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from core.video import write_video

FPS = 10
PHASES_101 = (
    "Incision", "Viscous agent injection", "Rhexis", "Hydrodissection", "Phacoemulsificiation",
    "Irrigation and aspiration", "Capsule polishing", "Lens implant setting-up",
    "Viscous agent removal", "Tonifying and antibiotics",
)  # fmt: skip
# As the annotation files spell them.
PHASES_1K = (
    "Incision", "Viscoelastic", "Capsulorhexis", "Hydrodissection", "Phacoemulsification",
    "Irrigation/Aspiration", "Capsule Pulishing", "Lens Implantation", "Lens positioning",
    "Viscoelastic_Suction", "Anterior_Chamber Flushing", "Tonifying/Antibiotics",
)  # fmt: skip


def _video(path: Path, seconds: float, seed: int) -> None:
    """Frames that tell half seconds apart, so that there is something to learn."""
    frames = np.zeros((round(seconds * FPS), 48, 64, 3), np.uint8)
    for number, frame in enumerate(frames):
        frame[:] = (20 * (number // (FPS // 2)) + seed) % 256
        frame[:, number % 64] = 255
    write_video(path, frames, fps=FPS)


def cataract_101(root: Path, cases: tuple[int, ...] = (269, 270, 271)) -> Path:
    """Half a second a phase, one after the other, and half a second before the first."""
    root.mkdir(parents=True, exist_ok=True)
    seconds = 0.5 * (len(PHASES_101) + 1)
    videos = [f"{case};{round(seconds * FPS)};{FPS};1;2" for case in cases]
    starts = [
        f"{case};{5 * (phase + 1)};{phase + 1}"
        for case in cases
        for phase in range(len(PHASES_101))
    ]
    meanings = [f"{phase};{name}" for phase, name in enumerate(PHASES_101, start=1)]
    for name, header, rows in (
        ("videos", "VideoID;Frames;FPS;Surgeon;Experience", videos),
        ("annotations", "VideoID;FrameNo;Phase", starts),
        ("phases", "Phase;Meaning", meanings),
    ):
        (root / f"{name}.csv").write_text("\n".join([header, *rows]) + "\n")
    for case in cases:
        _video(root / "videos" / f"case_{case}.mp4", seconds, case)
    return root


def cataract_1k(root: Path, cases: tuple[int, ...] = (4687, 4693, 5013)) -> Path:
    """Four tenths of a second a phase, and a tenth of idle time between two."""
    for case in cases:
        folder = root / "annotations" / f"case_{case}"
        folder.mkdir(parents=True, exist_ok=True)
        rows = ["caseId,comment,frame,endFrame,sec,endSec"]
        for number, phase in enumerate(PHASES_1K):
            start, end = 0.5 * number, 0.5 * number + 0.4
            frames = f"{round(start * FPS)},{round(end * FPS)}"
            rows.append(f"{case},{phase},{frames},{start:g},{end:g}")
        (folder / f"case_{case}_annotations_phases.csv").write_text("\n".join(rows) + "\n")
        size = f"caseId,width,height,frames,fps\n{case},64,48,{5 * len(PHASES_1K)},{FPS}\n"
        (folder / f"case_{case}_video.csv").write_text(size)
        _video(root / "videos" / f"case_{case}.mp4", 0.5 * len(PHASES_1K), case)
    return root
