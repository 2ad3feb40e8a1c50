"""Write OphSim to disk in OphNet2024's layout: untrimmed cases and two annotation tables.

<root>/videos/case_0001.mp4 ...                  h264, yuv420p
<root>/OphSim_loca_challenge_phase.csv           video_id,start,end,split,surgery_id,phase_id
<root>/OphSim_loca_challenge.csv                 ... and operation_id
<root>/frames_sha256.json                        written last: its existence means done
"""

import csv
import hashlib
import io
import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.datasets.ophsim.appearance import NUISANCE, CaseAppearance
from benchmarks.datasets.ophsim.plan import Case, Segment, phase_rows, plan_split
from benchmarks.datasets.ophsim.render import render_clip
from benchmarks.datasets.taxonomy import OTHERS_OPERATION
from core.errors import UserError
from core.files import atomic_path, read_json, write_json
from core.progress import track
from core.video import write_video
from core.workers import map_unordered

SIMULATOR_VERSION: Final = "1"  # any change to what is drawn or planned gets a new one

PHASE_TABLE: Final = "OphSim_loca_challenge_phase.csv"
OPERATION_TABLE: Final = "OphSim_loca_challenge.csv"
DONE: Final = "frames_sha256.json"
_PARTS: Final = ".parts"  # one small file for each finished case, until all are
_COLUMNS: Final = ("video_id", "start", "end", "split", "surgery_id", "phase_id")
_STEP_INTERVAL: Final = 1  # shown in unlabelled gaps: the eye without instruments


def plan_cases(
    *,
    seed: int,
    train_cases: int = 24,
    val_cases: int = 30,
    test_cases: int = 60,
    train_clips: int = 900,
    val_clips: int = 1000,
    test_clips: int = 2000,
    minimum: int = 2,
    fps: float = 8.0,
) -> list[Case]:
    """All cases, train then val then test. `*_clips` counts rows of the phase table.

    Every operation and phase has at least `minimum` clips in every split; where `clips` is too
    small for the 107 operations, every phase has (a smoke run: `minimum=1`, 60 clips a split).
    Raises: UserError: too few clips for 52 phases, or no case.
    """
    cases: list[Case] = []
    sizes = (("train", train_cases, train_clips), ("val", val_cases, val_clips),
             ("test", test_cases, test_clips))  # fmt: skip
    for split, count, clips in sizes:
        cases += plan_split(
            split,  # type: ignore[arg-type]
            seed=seed,
            cases=count,
            clips=clips,
            minimum=minimum,
            fps=fps,
            first_id=len(cases) + 1,
        )
    return cases


def case_frames(
    case: Case, width: int, height: int, fps: float, nuisance: float = NUISANCE
) -> NDArray[np.uint8]:
    """(T, height, width, 3) uint8: the whole untrimmed case before encoding."""
    appearance = CaseAppearance.draw(case.appearance_seed, nuisance)
    parts = []
    for segment in case.segments:
        if segment.gap:
            parts.append(
                render_clip(
                    _STEP_INTERVAL, appearance, segment.seed, segment.gap, width, height, fps
                )
            )
        phase = segment.phase_id if segment.operation_id == OTHERS_OPERATION else None
        parts.append(
            render_clip(
                segment.operation_id, appearance, segment.seed, segment.frames, width, height, fps,
                phase_id=phase,
            )
        )  # fmt: skip
    return np.concatenate(parts)


def _spans(case: Case) -> dict[Segment, tuple[int, int]]:
    """First frame and one past the last frame of every segment."""
    spans, time = {}, 0
    for segment in case.segments:
        time += segment.gap
        spans[segment] = (time, time + segment.frames)
        time += segment.frames
    return spans


def annotation_rows(cases: Sequence[Case], fps: float) -> tuple[list[list[str]], list[list[str]]]:
    """Rows of the phase table and of the operation table, seconds with two decimals."""
    by_phase, by_operation = [], []
    for case in cases:
        spans = _spans(case)
        by_phase += [
            _row(case, run[0].phase_id, spans[run[0]][0], spans[run[-1]][1], fps)
            for run in phase_rows(case)
        ]
        for segment in case.segments:
            row = _row(case, segment.phase_id, *spans[segment], fps)
            by_operation.append([*row, str(segment.operation_id)])
    return by_phase, by_operation


def _row(case: Case, phase_id: int, first: int, last: int, fps: float) -> list[str]:
    start, end = f"{first / fps:.2f}", f"{last / fps:.2f}"
    return [case.video_id, start, end, case.split, str(case.surgery_id), str(phase_id)]


def _write_table(
    path: Path, header: Sequence[str], rows: Sequence[Sequence[str]], bom: bool
) -> None:
    """CRLF, and a byte order mark where OphNet's file has one."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerows([header, *rows])
    with atomic_path(path) as temporary:
        temporary.write_bytes(text.getvalue().encode("utf-8-sig" if bom else "utf-8"))


def _fingerprint(value: object) -> str:
    text = json.dumps([SIMULATOR_VERSION, value], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _write_case(
    root: Path, case: Case, width: int, height: int, fps: float, nuisance: float
) -> tuple[str, str]:
    """Render and encode one case unless it is there already; (video id, frames' sha256)."""
    part = root / _PARTS / f"{case.video_id}.json"
    video = root / "videos" / f"{case.video_id}.mp4"
    identity = _fingerprint([asdict(case), width, height, fps, nuisance])
    if part.is_file() and video.is_file():
        known = read_json(part)
        if known["identity"] == identity:
            return case.video_id, known["sha256"]
    frames = case_frames(case, width, height, fps, nuisance)
    digest = hashlib.sha256(frames.tobytes()).hexdigest()
    crf = CaseAppearance.draw(case.appearance_seed, nuisance).crf
    write_video(video, frames, fps=fps, crf=crf)
    write_json(part, {"identity": identity, "sha256": digest})
    return case.video_id, digest


def _render_all(
    root: Path, cases: Sequence[Case], workers: int, **picture: float
) -> Iterator[tuple[str, str]]:
    write = partial(_write_case, root, **picture)  # type: ignore[arg-type]
    for _, written in map_unordered(write, cases, workers=workers):
        yield written


def write_ophsim(
    root: Path,
    *,
    seed: int,
    train_cases: int = 24,
    val_cases: int = 30,
    test_cases: int = 60,
    train_clips: int = 900,
    val_clips: int = 1000,
    test_clips: int = 2000,
    minimum: int = 2,
    width: int = 96,
    height: int = 64,
    fps: float = 8.0,
    nuisance: float = NUISANCE,
    workers: int = 1,
) -> dict[str, str]:
    """Write the data set below `root`; the same seed gives the same frames for any `workers`.

    nuisance: how much cases differ, 0-1 (`CaseAppearance.draw`).

    A finished case is not drawn again, so an interrupted call goes on where it stopped.
    Returns: video id -> sha256 of the case's frames before encoding.
    Raises: UserError: `root` holds a finished data set made with other settings.
    """
    root = Path(root)
    cases = plan_cases(
        seed=seed, train_cases=train_cases, val_cases=val_cases, test_cases=test_cases,
        train_clips=train_clips, val_clips=val_clips, test_clips=test_clips, minimum=minimum,
        fps=fps,
    )  # fmt: skip
    picture = {"width": width, "height": height, "fps": fps, "nuisance": nuisance}
    identity = _fingerprint([[asdict(case) for case in cases], picture])
    if (root / DONE).is_file():
        done = read_json(root / DONE)
        if done["plan_sha256"] != identity:
            raise UserError(
                f"{root} holds an OphSim made with other settings (seed, sizes or simulator "
                "version): name another folder or delete this one"
            )
        return dict(done["frames"])
    rendered = _render_all(root, cases, workers, **picture)
    shown = track(rendered, total=len(cases), description="Drawing OphSim", unit="cases")
    digests = dict(sorted(shown))
    by_phase, by_operation = annotation_rows(cases, fps)
    _write_table(root / PHASE_TABLE, _COLUMNS, by_phase, bom=False)
    _write_table(root / OPERATION_TABLE, (*_COLUMNS, "operation_id"), by_operation, bom=True)
    write_json(
        root / DONE,
        {"simulator_version": SIMULATOR_VERSION, "plan_sha256": identity, "frames": digests},
    )
    shutil.rmtree(root / _PARTS, ignore_errors=True)
    return digests
