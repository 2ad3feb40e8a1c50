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

import run_benchmark
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
from tests.generator.tiny import STDIT, TRANSFORMER, bora_base, common, ophora_base

SHAPE = ClipShape(num_frames=49, width=32, height=32)  # 16 x 16 is below what the VAE takes
PROTOCOL = FrameProtocol(num_frames=16, width=32, height=32)
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
    bora = bora_base(tmp_path, SHAPE, STDIT.model_copy(update={"max_text_tokens": 120})).weights()
    small = {
        "clip.width": 32, "clip.height": 32,
        "ophora.base": ophora, "bora.base": bora,
        "bora.autoencoder": "null", "bora.text": "null", "bora.clip": "null",
        "ophora.tpt.optimisation.steps": 2, "ophora.p2ft.optimisation.steps": 2,
        "bora.fine_tuning.optimisation.steps": 2,
        "ophora.tpt.optimisation.batch_size": 2, "ophora.p2ft.optimisation.batch_size": 2,
        "bora.fine_tuning.optimisation.batch_size": 2,
        # fp16 needs a GPU; the arithmetic is the same.
        "ophora.tpt.optimisation.precision": "fp32", "ophora.p2ft.optimisation.precision": "fp32",
        "bora.fine_tuning.optimisation.precision": "fp32",
        "ophora.encoding.precision": "fp32", "bora.encoding.precision": "fp32",
        "ophora.sampling.precision": "fp32", "bora.sampling.precision": "fp32",
        "ophora.sampling.steps": 2, "bora.sampling.steps": 2,
        "synthesis.clips_per_class": 1, "synthesis.policy": "promptable",
        "curation.refine.endpoint.base_url": server.base_url,
        "curation.privacy.endpoint.base_url": server.base_url,
        "quality.image_encoder": "null",
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
    assert [row["model"] for row in table1["rows"]][-1] == "Ophora"
    record = json.loads((folder / "run.json").read_text())
    assert record["generators"]["ophora"]["init"]["steps"] == 2
