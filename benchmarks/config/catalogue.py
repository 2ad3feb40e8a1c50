"""What the suite knows, one line each: `run_benchmark.py --list`."""

from __future__ import annotations

from benchmarks.config.files import CONFIG_ROOT, config_names
from benchmarks.datasets.families import DATASETS
from benchmarks.datasets.labels import Taxonomy, taxonomy_names
from benchmarks.metrics.quality import METRICS
from classifiers.families import CLASSIFIERS
from generator.families import GENERATORS

SOURCES = {
    "source": "the real training clips alone",
    **{name: family.about for name, family in GENERATORS.items()},
    "shuffled, frozen, confident": "controls made from Ophora's clips (docs/controls.md)",
    "ophora_only": "Ophora's clips without the real ones",
    "oversampled, extra_real": "real clips once more; real clips of other cases (the ceiling)",
    "captioned, captioned_clean": "narrated real clips by their captions; those without text",
    "retrieved, same_budget": "narrated clips by their looks; Ophora taught by Source alone",
    "NAME=DIR": "plus your own videos: DIR/<class id or name>/*.mp4, or a csv with path,label",
    "NAME=hub:ORG/NAME": "plus clips of any video pipeline of diffusers; also NAME=DIR of one",
}
ROWS = {
    "NAME": "a generator's row of Table 1, trained or loaded (docs/baselines.md)",
    "NAME=DIR": "a folder of clips in that row's place, or as a row more (docs/endora.md)",
}
ACCURACY = "classification accuracy on val and test, with intervals and paired tests"


def catalogue() -> str:
    """All configurations, sources, classifiers and metrics as text."""
    configs = {name: _first_comment(name) for name in config_names()}
    groups = {
        "configurations": configs,
        "sources": SOURCES,
        "rows": ROWS,
        "data": {name: family.about for name, family in DATASETS.items()},
        "taxonomies": {name: _sizes(Taxonomy.load(name)) for name in taxonomy_names()},
        "classifiers": {name: family.about for name, family in CLASSIFIERS.items()},
        "metrics": {name: metric.about for name, metric in METRICS.items()}
        | {"top1 / top5": ACCURACY},
    }
    return "\n\n".join(f"{title}\n" + _lines(entries) for title, entries in groups.items())


def _lines(entries: dict[str, str]) -> str:
    width = max(map(len, entries))
    return "\n".join(f"  {name:<{width}}  {text}" for name, text in entries.items())


def _sizes(taxonomy: Taxonomy) -> str:
    sizes = (f"{len(classes)} {task}s" for task, classes in taxonomy.classes.items())
    return f"{taxonomy.name}: {', '.join(sizes)}"


def _first_comment(name: str) -> str:
    lines = (CONFIG_ROOT / f"{name}.yaml").read_text(encoding="utf-8").splitlines()
    return lines[0].lstrip("# ") if lines and lines[0].startswith("#") else ""
