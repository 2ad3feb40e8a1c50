"""What the campaign gives the commands: small sound inputs of every kind, and which file of them is
changed how."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml
from numpy.random import Generator

from benchmarks.config.files import load_yaml
from benchmarks.datasets.captioned import write_table
from benchmarks.perf.mutations import (
    Mutation,
    csv_file,
    json_file,
    mp4_header,
    pick,
    yaml_file,
)
from benchmarks.plan import PROJECT_ROOT
from benchmarks.review.answers import load_key
from benchmarks.review.kit import CRITERIA_PATH, Choice, Criteria, build_kit
from core.clip import Clip, Manifest
from core.files import write_json, write_text
from core.video import FPS, Frames, resize, write_video
from generator.base import ClipShape

RUN = PROJECT_ROOT / "results" / "reference" / "ophnet_phase"
WEIGHTS = PROJECT_ROOT / "generator" / "weights" / "ophora_base"
COMMAND = ("run_benchmark.py", "--config", "smoke", "--set", "runtime.workers=1")
DECODE = ("--classifiers", "slowfast", "--only", "decoding", "--results")
CURATE = ("-m", "benchmarks.commands.curate", "--config", "smoke", "--set", "runtime.workers=1",
          "curation.dynamics={motion_threshold: 0.01, cut_threshold: 255}")  # fmt: skip
CAPTION = "The forceps tear the anterior capsule in a circle."
SCORES = {"Rater A": 1, "Rater B": 2}

Words = tuple[str, ...]


@dataclass(frozen=True)
class Kind:
    """One way in. inputs: folder of the sound ones, copied for every seed; victims: patterns, one
    file of one of which is changed; words: the command, given the copy and all sound ones."""

    name: str
    inputs: str
    victims: Words
    mutation: Mutation
    words: Callable[[Path, Path, Generator], Words]

    def copy(self, sound: Path, place: Path) -> None:
        """Put the inputs at `place`: hard links, so nothing may be written into one."""
        shutil.copytree(sound / self.inputs, place, copy_function=os.link)

    def change(self, place: Path, rng: Generator) -> Path:
        """Change one file of a copy; which one."""
        victims = sorted(place.glob(pick(rng, self.victims)))
        victim: Path = pick(rng, victims)
        changed = self.mutation(victim.read_bytes(), rng)
        victim.unlink()
        victim.write_bytes(changed)
        return victim


def _config(place: Path, sound: Path, rng: Generator) -> Words:
    results = str(place / "results")
    config = ("--config", str(place / "smoke.yaml"))
    return ("run_benchmark.py", *config, "--dry-run", "--results", results)


def _data(place: Path, sound: Path, rng: Generator) -> Words:
    results = str(place / "results")
    return (*COMMAND, "--data-root", str(place), "--sources", "source", *DECODE, results)


def _mine(place: Path, sound: Path, rng: Generator) -> Words:
    sources = ("--data-root", str(sound / "data"), "--sources", "source", f"mine={place}")
    return (*COMMAND, *sources, *DECODE, str(place.with_name("results")))


def _corpus(place: Path, sound: Path, rng: Generator) -> Words:
    out, results = str(place.with_name("out")), str(place.with_name("results"))
    return (*CURATE, "--corpus-root", str(place), "--output", out, "--results", results)


def _run(place: Path, sound: Path, rng: Generator) -> Words:
    if rng.random() < 0.5:
        return ("run_benchmark.py", "--report", str(place))
    runs = ("--compare", str(place), str(sound / "run"))
    return ("run_benchmark.py", *runs, "--results", str(place.with_name("results")))


def _cache(place: Path, sound: Path, rng: Generator) -> Words:
    data = ("--data-root", str(sound / "data"), "--sources", "source")
    return (*COMMAND, *data, *DECODE, str(place))


def _review(place: Path, sound: Path, rng: Generator) -> Words:
    answers = map(str, sorted(place.glob("*.json")))
    return ("-m", "benchmarks.review", "aggregate", str(place / "kit"), *answers)


def _weights(place: Path, sound: Path, rng: Generator) -> Words:
    given = ("--set", f"ophora.weights={place}", "--sources", "source", "ophora")
    return (*COMMAND, *given, "--dry-run", "--results", str(place.with_name("results")))


KINDS = (
    Kind("configuration", "config", ("*.yaml",), yaml_file, _config),
    Kind("annotation csv", "data", ("*.csv",), csv_file, _data),
    Kind("mp4, labelled", "data", ("videos/*.mp4",), mp4_header, _data),
    Kind("labels csv", "mine", ("*.csv",), csv_file, _mine),
    Kind("mp4, one's own", "mine", ("clips/*.mp4",), mp4_header, _mine),
    Kind("captions csv", "corpus", ("*.csv",), csv_file, _corpus),
    Kind("mp4, narrated", "corpus", ("clips/*.mp4",), mp4_header, _corpus),
    Kind("record json", "run", ("run.json", "*.json"), json_file, _run),
    Kind("cell json", "run", ("cells/**/*.json",), json_file, _run),
    Kind("cache json", "cache", ("cache/*.json", "cache/*/*/manifest.jsonl"), json_file, _cache),
    Kind("answers json", "review", ("*.json", "kit/key.json"), json_file, _review),
    Kind("weights json", "weights", ("*/config.json", "*/*.json"), json_file, _weights),
)


def write_sound(sound: Path) -> None:
    """Write the sound inputs but `cache`, which is what a command leaves of `data`."""
    config = yaml.safe_dump(load_yaml("smoke"), sort_keys=False)
    write_text(sound / "config" / "smoke.yaml", config)
    columns = ("video_id", "start", "end", "split", "surgery_id", "phase_id")
    rows = []
    for number, split in enumerate(("train", "val", "test")):
        name = f"case_{number}"
        write_video(sound / "data" / "videos" / f"{name}.mp4", _moving(number, 3 * FPS, (96, 64)))
        cells = [(name, start, start + 1, split, 0, start) for start in range(3)]
        rows += [dict(zip(columns, row, strict=True)) for row in cells]
    write_table(sound / "data" / "OphNet2024_loca_challenge_phase.csv", columns, rows)

    own = {f"clips/{number}.mp4": number % 2 for number in range(3)}
    for path, label in own.items():
        write_video(sound / "mine" / path, _moving(3 + label, FPS, (96, 64)))
    labels = [{"path": path, "label": label} for path, label in own.items()]
    write_table(sound / "mine" / "labels.csv", ("path", "label"), labels)

    narrated = [f"video{number}_0" for number in range(3)]
    for number, name in enumerate(narrated):
        frames = _moving(number, 2 * FPS, (192, 128))
        write_video(sound / "corpus" / "clips" / f"{name}.mp4", frames)
    captions = [{"clip id": name, "caption": CAPTION} for name in narrated]
    write_table(sound / "corpus" / "clips.csv", ("clip id", "caption"), captions)

    shutil.copytree(RUN, sound / "run", ignore=shutil.ignore_patterns("figures"))
    shutil.copytree(WEIGHTS, sound / "weights")
    _write_review(sound)


def _moving(seed: int, num_frames: float, size: tuple[int, int]) -> Frames:
    """(T, H, W, 3) uint8: a few blurred patches that wander."""
    noise = np.random.default_rng(seed).integers(0, 256, (1, 4, 12, 3), dtype=np.uint8)
    wide = resize(noise, (3 * size[0], size[1]))[0]
    steps = np.linspace(0, 2 * size[0], int(num_frames)).astype(int)
    return np.stack([wide[:, step : step + size[0]] for step in steps])


def _write_review(sound: Path) -> None:
    clips = [
        Clip(clip_id=path.stem, video_id="v", path=path.name, labels={"phase": 0}, source="x")
        for path in sorted((sound / "mine" / "clips").glob("*.mp4"))
    ]
    manifest = Manifest(root=sound / "mine" / "clips", clips=tuple(clips))
    shape, criteria = ClipShape(num_frames=9, width=96, height=64), Criteria.load(CRITERIA_PATH)
    place = sound / "review"
    sources = {"Real": manifest, "Other": manifest}
    build_kit(place / "kit", sources, ["Gel"], Choice("phase", classes=1, clips=4), shape, criteria)
    key = load_key(place / "kit")
    for rater, seed in SCORES.items():
        rng = np.random.default_rng(seed)
        scores = {
            item.id: {each.id: int(rng.integers(4)) for each in key.criteria.criteria}
            for item in key.items
        }
        answers = {"kit": key.kit, "rater": rater, "scores": scores, "seconds": {}}
        write_json(place / f"{rater}.json", json.loads(json.dumps(answers)))
