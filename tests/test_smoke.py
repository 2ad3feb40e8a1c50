"""The whole path as a user runs it: `--config smoke`, repeated, audited, killed and resumed."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.audits.metric_response import DAMAGES, OTHER_CAPTIONS
from benchmarks.commands.merge import read_part
from benchmarks.config.files import load_config
from benchmarks.plan import Inputs, Plan
from core.workers import release_workers
from tests.command import computed, kill_when, run, run_here, smoke_here, tables, take_data

TERMINAL = "terminal.log"


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Results of one uninterrupted run."""
    results = tmp_path_factory.mktemp("uninterrupted")
    (results / TERMINAL).write_text(run(results).stderr)
    yield results
    release_workers()


@pytest.mark.slow
def test_smoke_computes_every_cell_of_both_tables(finished: Path) -> None:
    folder = finished / "smoke"
    table2 = json.loads((folder / "table2.json").read_text())
    assert table2["data"] == "OphSim" and table2["scale"] == "nano"
    found = {(r["training_data"], r["classifier"], r["split"]) for r in table2["rows"]}
    assert found == {
        (data, classifier, split)
        for data in ("Source", "Source + Bora", "Source + Ophora")
        for classifier in ("SlowFast", "MViTv2")
        for split in ("val", "test")
    }
    assert all(0 <= row["top1"]["mean"] <= row["top5"]["mean"] <= 100 for row in table2["rows"])
    paper = {
        (r["training_data"], r["split"]): r["top1"]["paper"]
        for r in table2["rows"]
        if r["classifier"] == "SlowFast"
    }
    assert paper["Source + Ophora", "test"] == 41.05
    table1 = json.loads((folder / "table1.json").read_text())
    models = [row["model"] for row in table1["rows"]]
    assert models == [
        "Bora (w/ Ophora-160K)", "Ophora (TPT-only)", "Ophora", "LVDM", "StyleGAN-V", "MoStGAN-V",
    ]  # fmt: skip
    record = json.loads((folder / "run.json").read_text())
    counts = record["datasets"]["phase"]["classes"]
    assert all(len(counts[split]) == 52 for split in ("train", "val", "test"))
    assert len(list(folder.glob("cells/phase/*/*/seed0.json"))) == 6
    assert len(read_part(folder).cells) == 6  # as `benchmarks.commands.merge` reads a run
    page = (folder / "report.html").read_text()
    assert page.count("data:image") >= 3 and "OphSim" in page


@pytest.mark.slow
def test_a_run_is_drawn_again_without_data_weights_or_cache(finished: Path) -> None:
    folder, cache = finished / "smoke", finished / "cache"
    files = [path for path in folder.rglob("*") if path.is_file()]
    written = {path: path.read_bytes() for path in files}
    hidden = cache.rename(finished / "hidden")
    try:
        for path in (folder / "report.html", *folder.glob("table*"), *folder.glob("figures/*")):
            path.unlink()
        done = run_here("run_benchmark", "--report", folder)
        left = cache.exists()
    finally:
        hidden.rename(cache)
    assert done.returncode == 0 and not left, done.stderr
    assert {path: path.read_bytes() for path in files} == written
    assert done.stdout.rstrip().endswith(written[folder / "table2.md"].decode().rstrip())


@pytest.mark.slow
def test_the_log_of_a_run_is_lines_that_say_something(finished: Path) -> None:
    text = (finished / TERMINAL).read_text()
    lines = text.splitlines()
    assert not re.search(r"[\r\x1b\x08]|%\||it/s", text)  # no redrawn bar, of ours or of a library
    assert len(lines) < 120 and not any("Warning" in line for line in lines)
    todo = next(line for line in lines if line.startswith("to do: "))
    waves = [re.sub(r" \d+ of \d+", "", wave) for wave in todo[7:].split(", ")]
    begun = [line[3:].partition(":")[0] for line in lines if line.startswith("== ")]
    assert begun == waves and waves[-2:] == ["classifiers", "agreement"]
    cells = [line for line in lines if "classifiers: phase" in line]
    assert len(cells) == 6 and all(" val " in line and " test " in line for line in cells)
    closing = lines[next(i for i, line in enumerate(lines) if line.startswith("done in")) :]
    assert str(finished / "smoke" / "report.html") in closing[1] and "--seeds 3" in closing[-3]


@pytest.mark.slow
def test_a_judge_looks_at_the_clips_of_a_run(finished: Path, tmp_path: Path) -> None:
    judge = tmp_path / "judge.yaml"
    judge.write_text(
        "extends: _judge_nano\n"
        "ophsim: {train_cases: 4, train_clips: 60, val_cases: 2, val_clips: 52,"
        " test_cases: 2, test_clips: 52, minimum: 1}\n"
        "recipe: {epochs: 1, warmup_epochs: 0}\n"
    )

    audit = ("benchmarks.audits.faithfulness", "--config", "smoke", "--results", finished)
    done = run_here(*audit, "--judge", judge)
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads((finished / "smoke" / "faithfulness.json").read_text())["phase"]
    assert list(found) == [
        "Real (test)", "Real, reconstructed", "Ophora (base)", "Ophora (TPT-only)",
        "Ophora, captions", "Bora", "Ophora",
    ]  # fmt: skip
    assert all(len(scores["top1_by_class"]) == 52 for scores in found.values())
    assert found["Real (test)"]["top1"] > 40  # the shipped judge, on cases that it has not seen
    assert found["Real, reconstructed"]["clips"] == found["Real (test)"]["clips"]
    assert (finished / "smoke" / "faithfulness.md").read_text() in done.stdout
    assert (finished / "smoke" / "faithfulness_phase.jpg").stat().st_size > 10_000
    typo = run_here(*audit, "--judge", "_judge_nan")
    assert typo.returncode == 2 and typo.stderr.count("\n") == 1 and "no such config" in typo.stderr


@pytest.mark.slow
def test_the_metrics_of_table_1_see_damage(finished: Path) -> None:
    # The eight clips of smoke would be too few: sampling noise hides a strong blur.
    audit = ("benchmarks.audits.metric_response", "--config", "smoke", "--results", finished)
    done = run_here(*audit, "--set", "quality.corpus.num_clips=72", "quality.num_clips=32")
    assert done.returncode == 0, done.stderr[-3000:]
    rows = [line.strip("| ").split("|") for line in done.stdout.splitlines()]
    header, found = rows[0], {row[0].strip(): row[1:] for row in rows[2:] if len(row) > 1}
    assert [cell.strip() for cell in header] == ["Damage", "FID", "FVD", "KVD", "CLIPScore"]
    assert set(found) == {*DAMAGES, OTHER_CAPTIONS}
    distances = {name: [float(cell.split()[0]) for cell in row] for name, row in found.items()}
    whole = distances["none"]
    for name in ("blur, 4 px", "coloured patches"):
        assert distances[name][0] > whole[0] and distances[name][1] > whole[1]
    # FID sees frames one by one, FVD their order; captions concern neither.
    assert distances["frames in any order"][0] == whole[0] != distances["blur, 1 px"][0]
    assert distances["frames in any order"][1] != whole[1]
    assert distances[OTHER_CAPTIONS][:3] == whole[:3]
    assert distances["8 clips, repeated"][1] > 1.5 * whole[1]
    assert distances[OTHER_CAPTIONS][3] < whole[3]
    typo = run_here(*audit, "--set", "quality.image_text_encoder=nowhere")
    assert typo.returncode == 2 and typo.stderr.count("\n") == 1 and "nowhere" in typo.stderr


@pytest.mark.slow
def test_every_control_and_part_is_an_arm_of_table_2(finished: Path, tmp_path: Path) -> None:
    sources = load_config("controls").sources
    config = tmp_path / "controls.yaml"
    config.write_text(
        "extends: smoke\n"
        "name: controls\n"
        "chosen_classifiers: [slowfast]\n"
        "arms:\n"
        "  extra_real: {clips_per_class: 2, cases: 4, clips: 60}\n"
        "  confident: {at_least: 0.0001}\n"
        "  by_prompts: {kind: confident, of: ophora, prompts: true, at_least: 0.0001}\n"
        "  one: {kind: subset, of: ophora, clips_per_class: 1}\n"
        f"sources: [{', '.join(sources)}, by_prompts, one]\n"
    )
    done = run_here("run_benchmark", "--config", config, "--results", finished)
    assert done.returncode == 0, done.stderr[-3000:]
    rows = json.loads((finished / "controls" / "table2.json").read_text())["rows"]
    assert {row["training_data"] for row in rows} == {
        "Source", "Source + Bora", "Source + Ophora", "Source + shuffled", "Source + frozen",
        "Source + confident", "Only Ophora", "Source + oversampled", "Source + extra_real",
        "Source + captioned", "Source + captioned_clean", "Source + by_prompts", "Source + one",
    }  # fmt: skip
    others = [row for row in rows if row["training_data"] != "Source"]
    assert all(row["delta_vs_source"] is not None for row in others)
    accuracy = {r["training_data"]: r["top1"]["mean"] for r in rows if r["split"] == "test"}
    assert accuracy["Source + one"] == accuracy["Source + Ophora"]  # it has one clip a class
    arms = json.loads((finished / "controls" / "run.json").read_text())["arms"]["phase"]
    assert set(arms) == {"Real (test)", *(row["training_data"] for row in others)}
    seen = {name: arm["trained_on_source"]["SlowFast"] for name, arm in arms.items()}
    assert all(0 <= found["top1"] <= found["top5"] <= 100 for found in seen.values())
    assert {name: found["clips"] for name, found in seen.items()} == {
        name: arm["clips"] for name, arm in arms.items()
    }
    assert seen["Only Ophora"] == seen["Source + Ophora"] == seen["Source + one"]
    assert seen["Source + oversampled"] != seen["Source + Ophora"]
    fvd = {
        name: next(entry["value"] for key, entry in arm["metrics"].items() if "fvd_" in key)
        for name, arm in arms.items()
        if name != "Real (test)"
    }
    assert fvd["Source + oversampled"] < fvd["Source + Ophora"] == fvd["Source + shuffled"]
    figures = {path.stem for path in (finished / "controls" / "figures").iterdir()}
    drawn = {f"{kind}_phase_slowfast_matched_epochs" for kind in ("gain", "fvd", "curves")}
    drawn |= {"accuracy_phase", "confusion_phase_slowfast", "volume_phase_ophora"}
    assert figures == drawn | {"curation_funnel"}
    page = (finished / "controls" / "report.html").read_text()
    assert "Spearman&#39;s rank correlation of FVD and gain" in page and "n = 11 arms" in page


@pytest.mark.slow
def test_the_leakage_audit_shows_in_table_2_until_the_clips_are_others(finished: Path) -> None:
    folder, before, stages = finished / "smoke", tables(finished), computed(finished)
    assert b"Audits: Bora not run; Ophora not run. To run: `python -m" in before["table2.md"]
    done = run_here("benchmarks.audits.leakage", "--config", "smoke", "--results", finished)
    assert done.returncode == 0, done.stderr[-3000:]
    assert (folder / "audits.md").read_text() in done.stdout
    assert "after the next run_benchmark.py" in done.stdout and tables(finished) == before
    audits = json.loads((folder / "audits.json").read_text())
    real = Plan(load_config("smoke"), Inputs(finished)).data.labelled["phase"].manifest()
    assert [arm["training_data"] for arm in audits["arms"]] == ["Source + Bora", "Source + Ophora"]
    for arm in audits["arms"]:
        found = arm["found"]
        assert set(found) == {
            "held_out", "train", "text", "corpus", "corpus_held_out", "memorisation", "of_real",
        }  # fmt: skip
        assert found["held_out"]["suspects"] == found["text"]["clips"] == 52
        assert found["train"]["references"] == len(real.of_split("train")) > 52
        held_out = found["held_out"]["references"]
        assert held_out == len(real.of_split("val")) + len(real.of_split("test")) > 104
        assert found["corpus_held_out"]["copies"] == []
        assert found["held_out"]["chance"]["same"] == 0
    assert audits["table1"]["Ophora (TPT-only)"]["clips"] == 8
    rows = ("name=table1", "sources=[]", "quality.rows=[ophora_tpt, ophora]")
    alone = run_here(
        "benchmarks.audits.leakage", "--config", "smoke", "--results", finished, "--set", *rows
    )
    assert alone.returncode == 0, alone.stderr[-3000:]
    texts = json.loads((finished / "table1" / "audits.json").read_text())
    of_ophora = {k: v for k, v in audits["table1"].items() if k.startswith("Ophora")}
    assert (texts["arms"], texts["table1"]) == ([], of_ophora) and len(of_ophora) == 2
    assert texts["marks"] == {model: audits["marks"][model] for model in of_ophora}
    assert texts["detector"] == audits["detector"] and audits["detector"]["held_out"] > 8
    assert "With marks of text" in alone.stdout
    assert "Table 2" not in alone.stdout
    smoke_here(finished)
    shown = json.loads((folder / "table2.json").read_text())
    expected = {a["training_data"]: "failed" if a["broken"] else "passed" for a in audits["arms"]}
    assert {row["training_data"]: row["audit"] for row in shown["rows"]} == {
        "Source": None, **expected,
    }  # fmt: skip
    page = (folder / "report.html").read_text()
    assert all(f">{outcome}</td>" in page for outcome in expected.values())
    for arm in audits["arms"]:
        arm["stages"]["held_out"] = "of another run"
    (folder / "audits.json").write_text(json.dumps(audits))
    audited = computed(finished)
    printed = smoke_here(finished)
    assert tables(finished) == before and computed(finished) == audited
    assert stages.items() <= audited.items()  # no run after the first computed anything again
    assert before["table2.md"].decode().strip() in printed


@pytest.mark.slow
def test_jobs_of_a_cluster_give_the_same_cells(finished: Path, tmp_path: Path) -> None:
    arms = ("--sources", "source", "--classifiers", "slowfast")
    take_data(finished, tmp_path, "FrameCache")  # decoded by a job in benchmarks/test_dispatch.py
    smoke_here(tmp_path, *arms, "--set", "cluster.kind=local", "cluster.cpus_per_task=2")
    cell = Path("smoke", "cells", "phase", "slowfast", "source", "seed0.json")
    one, other = (json.loads((root / cell).read_text()) for root in (finished, tmp_path))
    assert one == other


@pytest.mark.slow
def test_compare_puts_runs_side_by_side(finished: Path, tmp_path: Path) -> None:
    folder = finished / "smoke"
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "table2.json").write_bytes((folder / "table2.json").read_bytes())
    folders = ("--compare", folder, tmp_path / "other")
    done = run_here("run_benchmark", "--results", tmp_path, *folders)
    rows = [line for line in done.stdout.splitlines() if "MViTv2" in line]
    assert done.returncode == 0 and len(rows) == 12
    assert "| smoke " in rows[0] and "| other " in rows[1]
    assert rows[0].split("|")[7:] == rows[1].split("|")[7:]


@pytest.mark.slow
def test_killed_three_times_gives_the_numbers_of_one_run(finished: Path, tmp_path: Path) -> None:
    arms = ("--sources", "source", "ophora", "--classifiers", "slowfast")
    take_data(finished, tmp_path)
    # Workers take longer to start than these stages take: the last run alone has some.
    one = (*arms, "--set", "runtime.workers=1")
    kill_when(tmp_path, "OphoraTraining", "checkpoint.pt", *one)
    kill_when(tmp_path, "ClassSynthesis", "videos/*.mp4", *one)
    kill_when(tmp_path, "ClassifierTraining", "checkpoint.pt", *arms)
    smoke_here(tmp_path, *arms)
    for pattern in (
        "cells/phase/slowfast/*/seed0.json",
        "cache/*ClassSynthesis*/*/videos/phase*.mp4",
    ):
        again = {path.relative_to(tmp_path) for path in tmp_path.glob(f"**/{pattern}")}
        assert len(again) == (2 if "cells" in pattern else 52)
        assert all(
            (tmp_path / path).read_bytes() == (finished / path).read_bytes() for path in again
        )
    quality = [
        json.loads((root / "smoke" / "table1.json").read_text()) for root in (finished, tmp_path)
    ]
    whole, resumed = ({row["model"]: row for row in table["rows"]} for table in quality)
    assert set(resumed) == {"Ophora (TPT-only)", "Ophora"}
    assert all(row == whole[model] for model, row in resumed.items())
