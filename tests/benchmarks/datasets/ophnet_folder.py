"""A small folder in OphNet's format for the adapter's tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.datasets.ophnet import OphNet
from benchmarks.datasets.taxonomy import Task
from core.runtime import Runtime

HEADER = "video_id,start,end,split,surgery_id,phase_id"
# Spans as in the published files: overlap (a), beyond the end (b: the video has 3 s), 0.06 s (c).
ROWS = [
    "case_a,0,1.5,train,5,3",
    "case_a,1.25,2.5,train,0,6",
    "case_b,0,2,val,0,6",
    "case_b,2,3.75,val,0,7",
    "case_c,0.5,0.56,test,0,6",
    "case_c,1,3,test,0,51",
]


def write_csv(
    root: Path, rows: list[str], header: str = HEADER, name: str = "", **kind: bool
) -> Path:
    """An annotation file as published: CRLF, with or without a byte order mark."""
    path = root / (name or "OphNet2024_loca_challenge_phase.csv")
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "".join(line + "\r\n" for line in [header, *rows])
    path.write_bytes(text.encode("utf-8-sig" if kind.get("bom", True) else "utf-8"))
    return path


def place_videos(folder: Path, *names: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / f"{name}.mp4").write_bytes(name.encode())  # listing never opens them


def source(root: Path, tmp_path: Path, task: Task = "phase", **fields: Any) -> OphNet:
    return OphNet.at(
        root,
        task=task,
        hash_memory=tmp_path / "hashes.json",
        infra={"folder": tmp_path / "cache"},
        runtime=Runtime(workers=1),
        **fields,
    )
