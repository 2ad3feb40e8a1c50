"""The command as a user runs it: mistakes, plans, and options that are a promise."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import core.files
import run_benchmark
from benchmarks.config.files import config_names, load_config
from core.errors import UserError
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
        "--test-root", "--test-mapping", "--rows",
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
        if name.startswith("paper/endora"):
            continue  # they train none of Ophora's
        results = str(tmp_path / "results")
        assert run_benchmark.main(["--config", name, "--dry-run", "--results", results]) == 0
        printed = capsys.readouterr().out
        assert "65,000 steps x 128" in printed and "A100-hours" in printed
        clips = ("5,200", "10,700", "2,048")
        assert any(f"{number} clips x 50 steps" in printed for number in clips)
        assert not (tmp_path / "results").exists()  # a plan leaves nothing behind
    assert "needs --data-root" in fails(capsys, "--config", "paper/ophnet_phase")


def test_endora_s_paper_configurations_print_plan_and_cost(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    frames = np.zeros((60, 32, 32, 3), np.uint8)
    for number in range(2):
        write_video(tmp_path / "Colonoscopic" / f"{number}.mp4", frames)
    labelled = tmp_path / "PolypDiag"
    write_video(labelled / "videos" / "a.mp4", frames[:2])
    (labelled / "splits").mkdir()
    for split in ("train", "val"):
        (labelled / "splits" / f"{split}.txt").write_text("a.mp4,1\n" * (split == "train"))
    common = ("--dry-run", "--results", str(tmp_path / "r"))
    corpus = (*common, "--corpus-root", str(tmp_path / "Colonoscopic"))
    assert run_benchmark.main(["--config", "paper/endora", *corpus]) == 0
    printed = capsys.readouterr().out
    assert printed.count("69,500 steps x 128") == 2 and "2,048 clips x 250 steps" in printed
    assert "390,625 steps x 64" in printed and "A100-hours" in printed
    assert "Footage" in printed and "Curation" not in printed
    assert run_benchmark.main(["--config", "paper/endora_ablation", *corpus]) == 0
    assert capsys.readouterr().out.count("69,500 steps x 128") == 4
    fixmatch = ("--config", "paper/endora_fixmatch", *corpus)
    assert "needs --data-root" in fails(capsys, "--config", "paper/endora_fixmatch")
    assert run_benchmark.main([*fixmatch, "--data-root", str(labelled)]) == 0
    printed = capsys.readouterr().out
    assert printed.count("200 clips x 250 steps") >= 2 and "PolypDiag" in printed


def test_help_needs_no_library() -> None:
    command = [sys.executable, "-X", "importtime", "run_benchmark.py", "--help"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert "--data-root" in done.stdout and "torch" not in done.stderr


# --- files and disks


def test_results_that_cannot_be_written_are_found_first(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    place = tmp_path / "file"
    place.touch()
    for more in ((), ("--dry-run",)):
        line = fails(capsys, "--config", "smoke", "--results", str(place), *more)
        assert f"--results {place}: " in line and "a file is where a folder should be" in line
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "smoke").touch()  # the run's own folder, needed hours later
    line = fails(capsys, "--config", "smoke", "--results", str(tmp_path / "results"))
    assert "results/smoke" in line and "a file is where a folder should be" in line


@pytest.mark.parametrize("name", ["../../evil", "..", "/tmp/evil", "a/../b", "a//b", "."])
def test_no_name_leads_out_of_the_results(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, name: str
) -> None:
    results = tmp_path / "deep" / "results"
    line = fails(
        capsys, "--config", "smoke", "--dry-run", "--results", str(results), "--set", f"name={name}"
    )
    assert "name: " in line
    video = tmp_path / "mine" / "6" / "a.mp4"
    write_video(video, np.zeros((8, 32, 32, 3), np.uint8))
    source = f"{name}={video.parents[1]}"
    line = fails(capsys, "--config", "smoke", "--results", str(results), "--sources", source)
    assert "give it a name of its own" in line
    assert {path.name for path in tmp_path.iterdir()} == {"mine"}


def test_a_configuration_that_is_no_text_or_its_own_parent(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path, results = tmp_path / "mine.yaml", str(tmp_path / "results")

    def line_for(content: bytes) -> str:
        path.write_bytes(content)
        return fails(capsys, "--config", str(path), "--results", results)

    assert "mine.yaml: byte 8 is not UTF-8: save it as UTF-8" in line_for(
        "# M. Lefèvre".encode("l1")
    )
    assert "mine.yaml: not YAML" in line_for(b"\x00\x01")
    assert "mine.yaml: not YAML" in line_for(b"seeds: 2024-99-99")
    assert "mine.yaml: not YAML" in line_for(b"[" * 100_000)
    assert "mine.yaml: extends itself" in line_for(f"extends: {path}".encode())
    path.write_bytes(b"\xef\xbb\xbfextends: smoke\nseeds: none\n")  # a mark is no fault
    assert "seeds: " in fails(capsys, "--config", str(path), "--results", results)
    assert "the value is not YAML" in fails(
        capsys, "--config", "smoke", "--set", "seeds=2024-99-99", "--results", results
    )


def test_a_stray_quotation_mark_names_file_and_line(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    rows = [[f"v{n}", 0, 1, "train", 0, n % 52] for n in range(6000)]
    root = dataset(tmp_path / "data", rows)
    table = root / "OphNet2024_loca_challenge_phase.csv"
    table.write_text(table.read_text().replace("v100,", '"v100,', 1))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "labels.csv").write_text('path,label\n"a.mp4,17\n' + "b.mp4,17\n" * 20_000)
    common = ("--config", "smoke", "--results", str(tmp_path / "r"), "--sources", "source")
    line = fails(capsys, *common, "--data-root", str(root))
    assert f"{table}, line 102: a quotation mark opens" in line
    line = fails(capsys, *common, f"mine={tmp_path / 'mine'}")
    assert "labels.csv, line 2: a quotation mark opens" in line


def test_a_plan_reads_no_video_whole(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = dataset(tmp_path / "data", [["v0", 0, 1, "train", 0, 7]])
    write_video(tmp_path / "mine" / "6" / "a.mp4", np.zeros((8, 32, 32, 3), np.uint8))
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus" / "clips.csv").write_text("clip id,caption\nv0,what is done\n")
    (tmp_path / "corpus" / "clips").symlink_to(root / "videos")
    read: list[Path] = []
    whole = core.files.sha256_of_file
    monkeypatch.setattr(core.files, "sha256_of_file", lambda path: read.append(path) or whole(path))
    arguments = (
        "--config", "smoke", "--dry-run", "--results", str(tmp_path / "results"),
        "--data-root", str(root), "--corpus-root", str(tmp_path / "corpus"),
        "--sources", "source", "bora", f"mine={tmp_path / 'mine'}",
    )  # fmt: skip
    assert run_benchmark.main(arguments) == 0
    assert "have not been hashed yet" in capsys.readouterr().out
    assert not [path for path in read if tmp_path in path.parents]
    assert not (tmp_path / "results").exists()


def test_a_key_of_another_spelling_is_told_its_name() -> None:
    for key, name in (("optimizer", "optimiser"), ("learning_rate", "lr")):
        field = f"classifiers.slowfast.recipe.{key}"
        with pytest.raises(UserError, match=f"unknown key '{field}': its name is '{name}'"):
            load_config("smoke", [f"{field}=1"])
