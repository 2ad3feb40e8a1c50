"""What each case must end as: `expected.txt` in its maker's folder, in code."""

from __future__ import annotations

import csv
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from core.frame_cache import open_frames
from tests.cases.kit import ROOT, Kit, Skipped, free_port

CURATE = "benchmarks.commands.curate"
LEVEL = 6  # of 255: what a codec moves a plain grey by
MEMORY_MB = 2000  # above what the libraries take
DECODED = ("--only", "decoding")
INSTRUCTION = "The forceps tear the anterior capsule in a circle."  # what the servers answer
SLOWFAST_HAS_MOVED = """
import classifiers.networks, classifiers.slowfast
classifiers.networks.SlowFast = classifiers.slowfast.SlowFast
"""
LABELS_BY_TASK = """
import core.clip
Clip = core.clip.Clip
core.clip.Clip = lambda phase_id, **given: Clip(labels={"phase": phase_id}, **given)
"""
ANY_MOTION = "curation.dynamics={motion_threshold: 0.01, cut_threshold: 255}"


def decoded(kit: Kit) -> Iterator[tuple[str, np.ndarray]]:
    """Id and frames, (T, H, W, 3) uint8, of every clip that was decoded."""
    for folder, _ in kit.stages("FrameCache"):
        table = open_frames(folder)
        for clip_id, row in table.rows.items():
            yield clip_id, table.frames[row]


def variable_rate(kit: Kit) -> None:
    """01: every clip shows the grey of its own ten seconds."""
    kit.make()
    kit.benchmark("--data-root", kit.input, "--sources", "source", *DECODED).fine()
    clips = dict(decoded(kit))
    assert len(clips) == 12, sorted(clips)
    for clip_id, frames in clips.items():
        start_s = int(clip_id.split("_")[-2]) // 1000
        wanted = (40, 90, 140, 200)[start_s // 10]
        levels = frames.reshape(len(frames), -1).mean(axis=1)
        assert np.abs(levels - wanted).max() < LEVEL, (clip_id, levels)


def av1(kit: Kit) -> None:
    """03: the AV1 clips are read, or named with their codec before anything is trained."""
    kit.make()
    done = kit.benchmark("--sources", "source", f"mine={kit.input / 'mine'}", *DECODED)
    if done.code == 0:
        ((_, result),) = kit.stages("UserVideos")
        assert result["clips"] == 6 and not result["left_out"], result
    else:
        line = done.line(at_once=False)
        assert "3 of 6" in line and "av1" in line.lower(), line


def labels_too_long(kit: Kit) -> None:
    """05: labels past the end are refused, or left out by name; none becomes the last frame."""
    kit.make()
    done = kit.benchmark("--data-root", kit.input, "--sources", "source", *DECODED)
    if done.code != 0:
        line = done.line(at_once=False)
        assert "SBP0" in line and "19" in line, line
        return
    assert "SBP01" in done.err, done.err[-2000:]
    starts = {int(clip_id.split("_")[-2]) // 1000 for clip_id, _ in decoded(kit)}
    assert starts and max(starts) < 19, starts


def nested_folders(kit: Kit) -> None:
    """07: 13 videos in three classes become clips, or are counted as left out."""
    kit.make()
    kit.benchmark("--sources", "source", f"mine={kit.input / 'mine'}", *DECODED).fine()
    ((_, result),) = kit.stages("UserVideos")
    lost = sum(entry["number"] for entry in result["left_out"].values())
    assert result["clips"] + lost == 13, result
    assert result["clips"] == 13 and result["per_class"].keys() == {"3", "17", _capsulorhexis()}


def _capsulorhexis() -> str:
    from benchmarks.datasets.taxonomy import PHASES

    return str(PHASES.index("Capsulorhexis"))


def other_terminals(kit: Kit) -> None:
    """10: tables on the terminal and in files, whatever the terminal's encoding is."""
    one_classifier = ("--sources", "source", "--classifiers", "slowfast")
    for name, encoding in (("one", "latin-1"), ("two", "ascii")):
        done = kit.benchmark(
            *one_classifier, "--set", f"name={name}", PYTHONIOENCODING=encoding, PYTHONUTF8="0"
        ).fine()
        assert "Table 2" in done.out and "slowfast" in done.out.lower(), done.out[-2000:]
        assert "Table 2" in (kit.results / name / "table2.md").read_text(encoding="utf-8")
    runs = [str(kit.results / name) for name in ("one", "two")]
    words = ("run_benchmark.py", "--results", str(kit.results), "--compare", *runs)
    for encoding in ("ascii", "latin-1"):
        done = kit.python(*words, PYTHONIOENCODING=encoding).fine()
        assert "? top-1 vs Source" in done.out, done.out[-2000:]


def stray_quote(kit: Kit) -> None:
    """11: file and line where the quotation mark opens."""
    kit.make()
    line = kit.benchmark("--data-root", kit.input, "--sources", "source").line()
    assert "OphNet2024_loca_challenge_phase.csv, line 102" in line, line
    line = kit.benchmark("--sources", "source", f"mine={kit.input / 'mine'}").line()
    assert "labels.csv, line 2:" in line, line


def containers(kit: Kit) -> None:
    """22: five videos of five endings, ten clips."""
    kit.make()
    kit.benchmark("--data-root", kit.input, "--sources", "source", *DECODED).fine()
    ((_, result),) = kit.stages("OphNet")
    assert sum(result["clips"].values()) == 10 and sum(result["videos"].values()) == 5, result
    assert len(dict(decoded(kit))) == 10 and not result["left_out"]


def reasoning_models(kit: Kit) -> None:
    """08: instructions without thoughts, clips that the model passes; no answer at all is said."""
    kit.make()
    for style in ("think", "open", "plain", "fenced", "null"):
        output, port = kit.work / style, str(free_port())
        endpoint = {"base_url": f"http://127.0.0.1:{port}/v1", "model": style}
        model = json.dumps({"kind": "openai", "endpoint": endpoint})
        with kit.beside(str(kit.maker / "server.py"), port, style):
            done = kit.python(
                *("-m", CURATE, *_curation(kit, output), "--set", ANY_MOTION),
                *(f"curation.refine={model}", f"curation.privacy={model}"),
            )
        if style == "null":
            assert "without thinking" in done.line(at_once=False)
            continue
        done.fine()
        kept = _instructions(output / "Ophora-160K")
        assert set(kept.values()) == {INSTRUCTION}, kept
        assert _instructions(output / "Ophora-28K").keys() == kept.keys(), kept


def _instructions(folder: Path) -> dict[str, str]:
    with (folder / "clips.csv").open(newline="", encoding="utf-8") as file:
        return {row["clip id"]: row["instruction"] for row in csv.DictReader(file)}


def classifier_checkpoints(kit: Kit) -> None:
    """14: tensors under other names or one level deeper load, or the name that hinders is named."""
    kit.make(before=SLOWFAST_HAS_MOVED)
    hints = {"module.pyth": "module.", "compiled.pth": "_orig_mod.", "lightning.ckpt": "model."}
    for name in ("plain.pyth", "half.pyth", *hints, "ema.pth"):
        weights = f"classifiers.slowfast.weights={kit.input / name}"
        done = kit.benchmark("--dry-run", "--sources", "source", "--set", weights)
        if name in hints and done.code:
            assert f"'{hints[name]}'" in done.line(), done.err[-2000:]
        else:
            done.fine()


def generator_weights(kit: Kit) -> None:
    """15: what is whole loads; an adapter, and what lacks a part, is refused before any work."""
    kit.make()
    refused = {
        "lora": ("LoRA adapter", "ophora.lora"),
        "missing_shard": ("diffusion_pytorch_model-00002-of-00002.safetensors",),
        "lacking": ("transformer_blocks.5",),
    }
    either = {"fp16": "diffusion_pytorch_model.fp16", "bin": "diffusion_pytorch_model.bin"}
    words = ("--sources", "source", "ophora", "--classifiers", "slowfast")
    for name in ("sharded", *either, *refused):
        weights = ("--set", f"ophora.weights={kit.input / name}", f"name={name}")
        done = kit.benchmark(*words, *weights, "--dry-run")
        if name in refused:
            for said in refused[name]:
                assert said in done.line(), done.err[-2000:]
        elif done.code:
            assert name in either and either[name] in done.line(), done.err[-2000:]
        else:
            kit.benchmark(*words, *weights, "--only", "synthesis").fine()


def reviewers_files(kit: Kit) -> None:
    """35: each reviewer counts once, by the fullest file; what does not count is named."""
    kit.make(before=LABELS_BY_TASK)
    folder = kit.input / "answers"
    words = ("-m", "benchmarks.review", "aggregate", str(kit.input / "kit"))
    done = kit.python(*words, *map(str, sorted(folder.iterdir()))).fine()
    assert "by 4 reviewers" in done.out or "c.json: not a reviewer's file" in done.out, done.out
    named = [line for line in done.out.splitlines() if line.startswith("- ")]
    for file in ("a small.json", "a.json", "d 1 half.json"):
        assert any(file in line for line in named), (file, named)
    assert not any("incomplete" in line for line in named), named


def large_pictures(kit: Kit) -> None:
    """33: 4K and full HD in decoding, a long clip in curation, half minutes of one's own."""
    kit.make()
    libraries = kit.benchmark("--sources", "source", "--dry-run").fine().peak_mb
    alone = ("--set", "runtime.workers=1")
    for name in ("data", "full_hd"):
        words = ("--data-root", kit.input / name, "--sources", "source", *DECODED, *alone)
        _small(kit.benchmark(*words).fine().peak_mb - libraries, name)
    words = ("--sources", "source", f"mine={kit.input / 'mine'}", *DECODED, *alone)
    _small(kit.benchmark(*words).fine().peak_mb - libraries, "mine")
    curated = kit.python("-m", CURATE, *_curation(kit), *alone)
    _small(curated.peak_mb - libraries, "curation")


def _small(above_mb: float, name: str) -> None:
    assert above_mb < MEMORY_MB, f"{name}: {above_mb:.0f} MB above the libraries"


def unwritable_results(kit: Kit) -> None:
    """34: refused at once, by the plan as well; a suite on a read-only disk runs."""
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        raise Skipped("mounting a read-only disk needs root and unshare")
    place = kit.input
    place.mkdir(parents=True)
    made = ["sh", str(kit.maker / "make.sh"), str(place)]
    # In a mount namespace of its own: nothing stays mounted.
    command = f'{" ".join(made)} && exec "$@"'
    run = [sys.executable, "run_benchmark.py", "--config", "smoke", "--results"]
    for name in ("ro/results", "a_file"):
        for more in (["--dry-run"], []):
            words = [*run, str(place / name), *more]
            line = kit.command("unshare", "-m", "sh", "-c", command, "sh", *words).line()
            assert f"--results {place / name}" in line, line
    suite = kit.work / "suite"
    suite.mkdir()
    command = f'mount --bind "{ROOT}" "{suite}" && mount -o remount,ro,bind "{suite}" && '
    command += f'cd "{suite}" && ! touch x && exec "$@"'
    words = [*run, str(kit.results), "--sources", "source", "--only", "data"]
    kit.command("unshare", "-m", "sh", "-c", command, "sh", *words).fine()
    assert list(kit.stages("OphNet"))


def nested_ids(kit: Kit) -> None:
    """36: a clip that was replaced in a nested folder is looked at again."""
    for words, kept in (((), 8), (("second",), 7)):
        kit.make(*words)
        kit.python("-m", CURATE, *_curation(kit)).fine()
        with (kit.work / "out" / "Ophora-160K" / "clips.csv").open(newline="") as file:
            ids = [row["clip id"] for row in csv.DictReader(file)]
        assert len(ids) == kept, ids
        assert ("channel0/video0_0" in ids) == (not words), ids


def _curation(kit: Kit, output: Path | None = None) -> list[str]:
    paths: dict[str, Path] = {
        "--corpus-root": kit.input / "corpus",
        "--output": output or kit.work / "out",
        "--results": kit.results,
    }
    return ["--config", "smoke", *(word for pair in paths.items() for word in map(str, pair))]


# None: nobody has written the check yet.
CASES: dict[str, Callable[[Kit], None] | None] = {
    "01-vfr-untrimmed": variable_rate,
    "03-av1-clips": av1,
    "05-labels-longer-than-video": labels_too_long,
    "07-nested-folders-and-other-endings": nested_folders,
    "08-thinking-model-endpoint": reasoning_models,
    "10-latin1-locale": other_terminals,
    "11-stray-quote-in-big-csv": stray_quote,
    "14-data-parallel-checkpoint": classifier_checkpoints,
    "15-lora-and-fp16-variant": generator_weights,
    "22-other-containers-in-data-root": containers,
    "33-large-pictures-memory": large_pictures,
    "34-read-only-results": unwritable_results,
    "35-review-answers-from-windows": reviewers_files,
    "36-nested-clip-ids": nested_ids,
}
