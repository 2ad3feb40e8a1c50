"""The command as a user runs it: mistakes, plans, and options that are a promise."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import run_benchmark
from benchmarks.config.files import config_names, load_config
from core.video import write_video

ROOT = Path(__file__).parents[1]


def fails(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Run the command, expect exit code 2 and one line on stderr; returns the line."""
    code = run_benchmark.main(arguments)
    lines = capsys.readouterr().err.strip().splitlines()
    assert code == 2, lines
    assert len(lines) == 1 and lines[0].startswith("error: "), lines
    return lines[0]


def dataset(root: Path, rows: list[list[object]], videos: tuple[str, ...] = ("v0",)) -> Path:
    """A folder in OphNet2024's layout with short real videos."""
    (root / "videos").mkdir(parents=True)
    frames = np.random.default_rng(0).integers(0, 255, (16, 32, 32, 3), dtype=np.uint8)
    for video in videos:
        write_video(root / "videos" / f"{video}.mp4", frames)
    with (root / "OphNet2024_loca_challenge_phase.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["video_id", "start", "end", "split", "surgery_id", "phase_id"])
        writer.writerows(rows)
    return root


def test_options_are_the_promised_ones() -> None:
    options = {action.option_strings[0] for action in run_benchmark.parser()._actions}
    assert options == {
        "-h", "--config", "--data-root", "--corpus-root", "--sources", "--classifiers", "--seeds",
        "--only", "--set", "--results", "--no-wait", "--dry-run", "--list", "--compare", "--report",
    }  # fmt: skip


@pytest.mark.parametrize("name", config_names())
def test_every_configuration_is_valid_and_says_what_it_is(name: str) -> None:
    config = load_config(name)
    assert config.name == name
    path = ROOT / "benchmarks" / "configs" / f"{name}.yaml"
    assert path.read_text(encoding="utf-8").startswith("# ")


def test_unknown_config_and_key_and_value(capsys: pytest.CaptureFixture[str]) -> None:
    assert "did you mean 'ophnet_phase'?" in fails(capsys, "--config", "ophnet_fase")
    line = fails(capsys, "--config", "smoke", "--set", "ophora.tpt.optimisation.step=3")
    assert "unknown key 'ophora.tpt.optimisation.step': did you mean 'steps'?" in line
    line = fails(capsys, "--config", "smoke", "--set", "seeds=none")
    assert "seeds: " in line and "'none'" in line
    assert "expected a.b=value" in fails(capsys, "--config", "smoke", "--set", "seeds")
    assert "--config is missing" in fails(capsys)
    assert "did you mean 'slowfast'?" in fails(
        capsys, "--config", "smoke", "--classifiers", "slowfasd"
    )
    assert "did you mean 'slowfast'?" in fails(
        capsys, "--config", "smoke", "--set", "classifiers.slowfst.recipe.epochs=3"
    )
    assert "did you mean 'ophora'?" in fails(capsys, "--config", "smoke", "--sources", "opora")


def test_data_root_errors(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    def line_for(root: Path) -> str:
        return fails(
            capsys, "--config", "smoke", "--sources", "source", "--data-root", str(root),
            "--results", str(tmp_path / "results"),
        )  # fmt: skip

    assert "no such folder" in line_for(tmp_path / "absent")
    good = ["v0", 0, 1, "train", 0, 7]
    empty = dataset(tmp_path / "empty", [good], videos=())
    assert "put them in" in line_for(empty)
    late = dataset(tmp_path / "late", [good, ["v0", 1.5, 1, "train", 0, 7]])
    assert "line 3" in line_for(late) and "end" in line_for(late)
    label = dataset(tmp_path / "label", [["v0", 0, 1, "train", 0, 52]])
    assert "phase_id" in line_for(label) and "52" in line_for(label)
    column = dataset(tmp_path / "column", [good])
    table = column / "OphNet2024_loca_challenge_phase.csv"
    table.write_text(table.read_text().replace("phase_id", "fase_id"))
    assert "phase_id" in line_for(column)


def test_generators_on_real_data_need_a_corpus_or_weights(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    root = dataset(tmp_path / "data", [["v0", 0, 1, "train", 0, 7]])
    line = fails(
        capsys, "--config", "smoke", "--data-root", str(root), "--results", str(tmp_path / "r")
    )
    assert "train generators on --corpus-root DIR, or name weights" in line


def test_mine_folder_errors(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    def line_for(folder: Path) -> str:
        return fails(
            capsys, "--config", "smoke", "--sources", "source", f"mine={folder}",
            "--results", str(tmp_path / "results"),
        )  # fmt: skip

    assert "no such folder" in line_for(tmp_path / "absent")
    frames = np.zeros((8, 32, 32, 3), np.uint8)
    write_video(tmp_path / "typo" / "Capsulorexis" / "a.mp4", frames)
    assert "did you mean 'Capsulorhexis'?" in line_for(tmp_path / "typo")
    (tmp_path / "none").mkdir()
    assert "none" in line_for(tmp_path / "none")


def test_a_classifiers_checkpoint_is_looked_at_before_anything_runs(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def line_for(path: Path) -> str:
        return fails(
            capsys, "--config", "smoke", "--sources", "source", "--results", str(tmp_path / "r"),
            "--classifiers", "slowfast", "--set", f"classifiers.slowfast.weights={path}",
        )  # fmt: skip

    assert "absent.pth: no such file; give a .pth" in line_for(tmp_path / "absent.pth")
    table = {"backbone.blocks.0.attn.rel_pos_t": torch.ones(15, 96)}
    torch.save({"state_dict": table}, tmp_path / "mvit.pth")
    assert "mvit.pth: looks like MViTv2; 0 of the" in line_for(tmp_path / "mvit.pth")
    assert not list(tmp_path.rglob("result.json"))


def test_paper_configurations_print_plan_and_cost(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    for name in [name for name in config_names() if name.startswith("paper/")]:
        results = str(tmp_path / "results")
        assert run_benchmark.main(["--config", name, "--dry-run", "--results", results]) == 0
        printed = capsys.readouterr().out
        assert "65,000 steps x 128" in printed and "A100-hours" in printed
        clips = ("5,200", "10,700", "2,048")
        assert any(f"{number} clips x 50 steps" in printed for number in clips)
        assert not (tmp_path / "results").exists()  # a plan leaves nothing behind
    assert "needs --data-root" in fails(capsys, "--config", "paper/ophnet_phase")


def test_help_needs_no_library() -> None:
    command = [sys.executable, "-X", "importtime", "run_benchmark.py", "--help"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert "--data-root" in done.stdout and "torch" not in done.stderr
