"""Where a run's numbers come from, as rows of tables: data, commit, weights, seconds, cost.

Everything is read from the content of run.json.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from core.progress import clock

ORIGIN_HEADER = ("What", "Which")
TIMES_HEADER = ("Stages", "Number", "Time")
STAGES_HEADER = ("Stage", "Cost", "Commit", "Time")
DIGITS = 12  # of a hash


def origins_of(run: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Configuration, data, seeds, machine class, commit, libraries, and each generator's weights.

    Args: run: empty, or the content of run.json. Of a merged run, what its parts were made by.
    """
    if "config" not in run:
        return []
    seeds, parts = run["seeds"], run.get("parts", [run])
    libraries = (
        ", ".join(f"{name} {version}" for name, version in part["versions"].items())
        for part in parts
    )
    rows = [
        ("Configuration", run["config"]["name"]),
        ("Data", _data(run)),
        *_external(run),
        ("Narrated clips", run["corpus"]),
        ("Training seeds", str(seeds[0]) if len(seeds) == 1 else f"{seeds[0]} to {seeds[-1]}"),
        ("Device", _each(f"{p['device']}, threads a process: {p['threads']}" for p in parts)),
        ("Commit", _each(str(part["commit"])[:DIGITS] for part in parts)),
        ("Libraries", _each(libraries)),
    ]
    rows += [(f"Weights of {name}", text) for name, text in generator_origins(run["generators"])]
    return rows + [("Warning", text) for text in run["warnings"]]


def _each(texts: Iterable[str]) -> str:
    return "; ".join(dict.fromkeys(texts))


def _stages(run: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Those of the run or, each once, of a merged run's parts."""
    if "parts" not in run:
        return list(run.get("stages", ()))
    stages = [stage for part in run["parts"] for stage in part["stages"]]
    return list({(stage["stage"], stage["folder"]): stage for stage in stages}.values())


def _data(run: Mapping[str, Any]) -> str:
    parts = [f"{run['data']}, scale {run['scale']}"]
    for task, found in run["datasets"].items():
        clips = " / ".join(f"{found['clips'][split]:,}" for split in ("train", "val", "test"))
        parts.append(f"{task}: {clips} clips for training / val / test")
    return "; ".join(parts)


def _external(run: Mapping[str, Any]) -> list[tuple[str, str]]:
    found = run.get("external")
    if found is None:
        return []
    mapped = f", labels mapped by {found['mapping']}" if found["mapping"] else ""
    return [("External test", f"{found['data']} ({found['root']}){mapped}")]


def generator_origins(generators: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, str]]:
    """For each generator: what was loaded and what was trained by this run."""
    rows = []
    for name, record in generators.items():
        trained: list[str] = []
        loaded: Mapping[str, Any] = {}
        result: Mapping[str, Any] | None = record
        while result is not None:
            if "loaded" in result:
                loaded = result
            elif "samples" in result:
                trained.insert(0, f"{result['samples']:,} samples, loss {result['last_loss']:.3f}")
            result = result.get("init")
        seen = "".join(f", {text}" for text in _seen(loaded))
        origin = "nothing"
        if loaded:
            digest = loaded.get("sha256", "")[:DIGITS]
            origin = f"{loaded['loaded']} (sha256 {digest}{seen})"
        rows.append((name, f"loaded {origin}; trained now: {'; '.join(trained) or 'nothing'}"))
    return rows


def _seen(record: Mapping[str, Any]) -> list[str]:
    """What loaded weights were trained on: clips, single frames, clips of a few frames."""
    names = {"samples": "samples", "stills": "single frames"}
    names |= {key: key.replace("_", " ") for key in sorted(record) if key.startswith("clips_of_")}
    return [f"{record[key]:,} {name}" for key, name in names.items() if key in record]


def times_of(run: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """How many stages of each kind there were and what they took, the longest first."""
    seconds: dict[str, list[float]] = {}
    for stage in _stages(run):
        seconds.setdefault(stage["stage"].partition(",")[0], []).append(stage.get("seconds") or 0.0)
    ordered = sorted(seconds.items(), key=lambda item: (-sum(item[1]), item[0]))
    return [(kind, str(len(each)), clock(sum(each))) for kind, each in ordered]


def stages_of(run: Mapping[str, Any]) -> list[tuple[str, str, str, str]]:
    """Every stage in the order in which they depend on one another."""
    return [
        (
            stage["stage"],
            stage.get("cost", ""),
            str(stage.get("commit") or "")[:DIGITS],
            clock(stage.get("seconds") or 0.0),
        )
        for stage in _stages(run)
    ]
