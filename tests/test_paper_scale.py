"""Every stage of the paper's configuration, with only widths, depths and counts made small.

49 frames go through the real video VAE code, captions and frames to a chat server on the loopback
interface; the numbers mean nothing, the path is the one that full scale takes.
"""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import run_benchmark
from benchmarks.config.files import load_config
from benchmarks.datasets.taxonomy import NUM_CLASSES
from benchmarks.metrics.encoders import VideoEncoderTraining
from benchmarks.metrics.frames import FrameProtocol
from benchmarks.metrics.ophclip import OphClipTraining
from classifiers.slowfast import SlowFast
from core.optimisation import Optimisation
from core.video import write_video
from generator.base import ClipShape
from tests.benchmarks.metrics.toy import DiscClips
from tests.generator.curation.chat_server import ChatServer
from tests.generator.released import released
from tests.generator.tiny import (
    ENDORA,
    IMAGE_VAE,
    STDIT,
    TRANSFORMER,
    autoencoder_folder,
    common,
    ophora_base,
    text_folder,
)

SHAPE = ClipShape(num_frames=49, width=32, height=32)  # 16 x 16 is below what the VAE takes
SMALL = ClipShape(num_frames=16, width=32, height=32)  # of Bora's and Endora's clips
PROTOCOL = FrameProtocol(num_frames=16, width=32, height=32)
ROWS = load_config("paper/generation_quality", []).quality.rows  # all eight
CAPTION = "the forceps tear the capsule in a circle"


def dataset(root: Path) -> Path:
    """Four cases of two clips in OphNet2024's layout."""
    rows = [["video_id", "start", "end", "split", "surgery_id", "phase_id"]]
    for case, split in enumerate(("train", "train", "val", "test")):
        frames = np.random.default_rng(case).integers(0, 255, (20, 64, 96, 3), dtype=np.uint8)
        write_video(root / "videos" / f"case_{case}.mp4", frames)
        rows += [[f"case_{case}", "0", "1.2", split, "0", "7"]]
        rows += [[f"case_{case}", "1.2", "2.5", split, "0", "6"]]
    with (root / "OphNet2024_loca_challenge_phase.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return root


def corpus(root: Path) -> Path:
    """Narrated clips of 720x480 that change enough for two keyframes, one of them long."""
    lines = ["clip id,caption"]
    for index in range(10):
        frames = np.full((52 if index == 0 else 10, 480, 720, 3), 40, np.uint8)
        frames[len(frames) // 2 :, :, :360] = (220, 40, 40)
        write_video(root / "clips" / f"video{index}_0.mp4", frames, crf=30)
        lines.append(f"video{index}_0,hello everyone; now {CAPTION}")
    (root / "clips.csv").write_text("\n".join(lines) + "\n")
    return root


def encoders(root: Path) -> dict[str, Path]:
    """Both metric encoders after one training step."""
    clips = DiscClips(count=8, width=32, height=32, **common(root))
    once = Optimisation(steps=1, batch_size=2, lr=1e-3)
    video = VideoEncoderTraining(
        clips=clips,
        task="operation",
        num_classes=NUM_CLASSES["operation"],
        network=SlowFast(depth=18, stem_dim_outs=(8, 1), alpha=4),
        protocol=PROTOCOL,
        optimisation=once,
        **common(root),
    )
    image_text = OphClipTraining(clips=clips, protocol=PROTOCOL, optimisation=once, **common(root))
    return {"video_encoder": video.weights(), "image_text_encoder": image_text.weights()}


def rivals(root: Path) -> dict[str, Any]:
    """Bora and Endora under the names and in the files that they were published in."""
    bora = STDIT.model_copy(update={"max_text_tokens": 120})
    (root / "bora").mkdir()
    save_file(released(bora.build(SMALL)), root / "bora" / "bora.safetensors")
    endora = {"ema": ENDORA.build(SMALL, None).state_dict()}
    torch.save(endora, root / "endora.pt")
    autoencoder = autoencoder_folder(root, IMAGE_VAE)
    found: dict[str, Any] = {
        "bora.base": root / "bora", "bora.text": text_folder(root),
        "bora.transformer": bora.model_dump_json(),
        "endora.base": root / "endora.pt", "endora.prior": "null", "endora.dino": "null",
        "endora.transformer": ENDORA.model_dump_json(),
    }  # fmt: skip
    for name in ("bora", "endora"):
        clip = {f"{name}.clip.{field}": value for field, value in SMALL.model_dump().items()}
        found |= {f"{name}.autoencoder": autoencoder, **clip}
    return found


@pytest.mark.slow
def test_all_stages_of_the_papers_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")

    def answer(body: dict[str, Any], number: int) -> str:
        frames = isinstance(body["messages"][-1]["content"], list)
        return "no" if frames else CAPTION

    server = ChatServer(answer)
    ophora = ophora_base(
        tmp_path, SHAPE, TRANSFORMER.model_copy(update={"max_text_tokens": 226})
    ).weights()
    trainings = (
        "ophora.tpt", "ophora.p2ft", "bora.fine_tuning", "endora.fine_tuning", "endora.classes",
    )  # fmt: skip
    short = {"steps": 2, "batch_size": 2, "precision": "fp32"}  # fp16 needs a GPU
    small = {
        "clip.width": 32, "clip.height": 32,
        "ophora.base": ophora,
        **rivals(tmp_path),
        **{
            f"{training}.optimisation.{field}": value
            for training in trainings
            for field, value in short.items()
        },
        **{
            f"{generator}.{field}": value
            for generator in ("ophora", "bora", "endora")
            for field, value in {
                "encoding.precision": "fp32", "sampling.precision": "fp32", "sampling.steps": 2,
            }.items()
        },
        "synthesis.clips_per_class": 1, "synthesis.policy": "promptable",
        "curation.refine.endpoint.base_url": server.base_url,
        "curation.privacy.endpoint.base_url": server.base_url,
        "quality.image_encoder": "null", "quality.rows": f"[{','.join(ROWS)}]",
        "quality.num_clips": 2, "quality.protocol.width": 32, "quality.protocol.height": 32,
        "seeds": 1, "size": 64,
        "classifiers.slowfast.network": "{kind: SlowFast, depth: 18, stem_dim_outs: [8, 1]}",
        "classifiers.mvit_v2.network.embed_dims": 8,
        "classifiers.slowfast.recipe.epochs": 1, "classifiers.mvit_v2.recipe.epochs": 1,
        "classifiers.slowfast.recipe.warmup_epochs": 0,
        "classifiers.mvit_v2.recipe.warmup_epochs": 0,
        "classifiers.slowfast.recipe.batch_size": 16, "classifiers.mvit_v2.recipe.batch_size": 16,
        "runtime.workers": 1, "runtime.processes": 1, "runtime.sharding": "replicate",
        **{f"quality.{name}": path for name, path in encoders(tmp_path).items()},
    }  # fmt: skip
    try:
        code = run_benchmark.main([
            "--config", "paper/ophnet_phase", "--results", str(tmp_path / "results"),
            "--data-root", str(dataset(tmp_path / "data")),
            "--corpus-root", str(corpus(tmp_path / "corpus")),
            "--set", *(f"{key}={value}" for key, value in small.items()),
        ])  # fmt: skip
    finally:
        server.close()
    assert code == 0
    folder = tmp_path / "results" / "paper" / "ophnet_phase"
    table2 = json.loads((folder / "table2.json").read_text())
    assert (table2["data"], table2["scale"]) == ("OphNet2024", "paper")
    assert len(table2["rows"]) == 12
    table1 = json.loads((folder / "table1.json").read_text())
    assert [row["model"] for row in table1["rows"]] == [
        "Endora", "Endora (w/ Ophora-160K)", "Bora", "Bora (w/ Ophora-160K)",
        "CogVideoX-2b", "CogVideoX-2b (w/ OphVL)", "Ophora (TPT-only)", "Ophora",
    ]  # fmt: skip
    record = json.loads((folder / "run.json").read_text())
    assert record["generators"]["ophora"]["init"]["steps"] == 2
