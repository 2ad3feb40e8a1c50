"""What do the metrics of Table 1 see? Held-out real clips against damaged real ones.

    python -m benchmarks.audits.metric_response --config generation_quality

compares one half of a configuration's held-out clips with the other half, as it is (the least that
a generator could reach with as many clips) and damaged in known ways, and prints a table. Encoders
are those of the configuration: --set quality.image_text_encoder=DIR tries another.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.audits.options import parser
from benchmarks.config.files import load_config
from benchmarks.metrics.clip_features import Arrays, LoadedEncoders, load_encoders
from benchmarks.metrics.encoders import BATCH
from benchmarks.metrics.frames import FrameProtocol, batches
from benchmarks.metrics.quality import quality
from benchmarks.plan import Inputs, Plan
from benchmarks.tables.render import plain_table
from core.clip import Manifest
from core.errors import UserError, exit_code
from core.progress import track
from core.runtime import Runtime

Clips = NDArray[np.uint8]  # (N, T, H, W, 3)
SHOWN = {"fid": "FID", "fvd": "FVD", "kvd": "KVD", "clipscore_mean_embedding": "CLIPScore"}
REPEATED = 8  # different clips that are left in a collapsed set


def blurred(sigma_px: float) -> Callable[[Clips], Clips]:
    """Gaussian blur of every frame."""

    def apply(clips: Clips) -> Clips:
        images = clips.reshape(-1, *clips.shape[2:])
        return np.stack([cv2.GaussianBlur(i, (0, 0), sigma_px) for i in images]).reshape(
            clips.shape
        )

    return apply


def noisy(levels: float) -> Callable[[Clips], Clips]:
    """White noise of that standard deviation, in levels of 0..255."""

    def apply(clips: Clips) -> Clips:
        noise = np.random.default_rng(0).normal(0, levels, clips.shape)
        return np.clip(clips + noise, 0, 255).round().astype(np.uint8)

    return apply


def patchwork(clips: Clips) -> Clips:
    """Each clip's mean colour with noise of eight pixels a grain: colours, and nothing shown."""
    count, frames, height, width, _ = clips.shape
    grains = np.random.default_rng(0).normal(0, 60, (count * frames, height // 8, width // 8, 3))
    images = np.stack(
        [cv2.resize(g, (width, height), interpolation=cv2.INTER_CUBIC) for g in grains]
    )
    means = clips.mean(axis=(1, 2, 3), keepdims=True)
    return np.clip(images.reshape(clips.shape) + means, 0, 255).astype(np.uint8)


def shuffled(clips: Clips) -> Clips:
    """The frames of each clip in an order of its own."""
    generator = np.random.default_rng(0)
    return np.stack([clip[generator.permutation(len(clip))] for clip in clips])


DAMAGES: dict[str, Callable[[Clips], Clips]] = {
    "none": lambda clips: clips,
    "blur, 1 px": blurred(1),
    "blur, 2 px": blurred(2),
    "blur, 4 px": blurred(4),
    "noise, 10 levels": noisy(10),
    "noise, 25 levels": noisy(25),
    "coloured patches": patchwork,
    "red and blue exchanged": lambda clips: clips[..., ::-1],
    "frames in any order": shuffled,
    "middle frame held": lambda clips: np.repeat(
        clips[:, clips.shape[1] // 2, None], clips.shape[1], axis=1
    ),
    f"{REPEATED} clips, repeated": lambda clips: clips[np.arange(len(clips)) % REPEATED],
}
OTHER_CAPTIONS = "captions of other clips"


def responses(
    encoders: LoadedEncoders,
    manifest: Manifest,
    protocol: FrameProtocol,
    count: int,
) -> dict[str, dict[str, float]]:
    """Damage -> metric -> value, of two halves with `count` captioned clips each.

    Halves are every other clip, so that both hold all kinds of clips; a repeated clip keeps its
    caption.
    """
    frames = np.concatenate(
        [part for _, part in batches(manifest.keep(manifest.clips[: 2 * count]), protocol)]
    )
    captions = [clip.caption or "" for clip in manifest.clips[: 2 * count]]
    real = _encode(encoders, frames[::2], captions[::2])
    other, theirs = frames[1::2], captions[1::2]
    found = {}
    for name, damage in track(
        DAMAGES.items(), total=len(DAMAGES), description="damages", unit="sets"
    ):
        repeats = name.startswith(str(REPEATED))
        texts = [theirs[i % REPEATED] for i in range(count)] if repeats else theirs
        found[name] = _values(encoders, real, _encode(encoders, damage(other), texts), protocol)
    turned = _encode(encoders, other, theirs[count // 2 :] + theirs[: count // 2])
    found[OTHER_CAPTIONS] = _values(encoders, real, turned, protocol)
    return found


def _encode(encoders: LoadedEncoders, clips: Clips, captions: Sequence[str]) -> Arrays:
    parts = [
        encoders.encode(np.ascontiguousarray(clips[i : i + BATCH]), captions[i : i + BATCH])
        for i in range(0, len(clips), BATCH)
    ]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _values(
    encoders: LoadedEncoders, real: Arrays, other: Arrays, protocol: FrameProtocol
) -> dict[str, float]:
    described: dict[str, Any] = dict(encoders.describe())
    metrics = quality(real, other, protocol=protocol, **described)
    return {
        title: entry["value"]
        for prefix, title in SHOWN.items()
        for name, entry in metrics.items()
        if name.startswith(f"{prefix}_")
    }


def markdown(found: dict[str, dict[str, float]]) -> str:
    """A row a damage; in brackets how many times the undamaged half's distance."""
    floor = found["none"]
    rows = []
    for name, values in found.items():
        cells = [
            f"{value:.2f}"
            if metric in ("CLIPScore", "KVD")
            else f"{value:.2f} ({value / floor[metric]:.1f}x)"
            for metric, value in values.items()
        ]
        rows.append([name, *cells])
    return plain_table(rows, ["Damage", *floor])


def main() -> int:
    """Print the table."""
    options = parser(__doc__, own_data=True).parse_args()
    return exit_code(lambda: run(options))


def run(options: argparse.Namespace) -> None:
    """Raises: UserError: for anything the user can mend."""
    inputs = Inputs(options.results, options.data_root, options.corpus_root)
    plan = Plan(load_config(options.config, options.set), inputs)
    runtime: Runtime = plan.config.runtime
    runtime.apply()
    stages: dict[str, Any] = plan.encoders.all
    if plan.data.missing:
        raise UserError(plan.data.missing[0])
    encoders = load_encoders(
        stages["video_encoder"],
        stages["image_text_encoder"],
        stages.get("image_encoder"),
        runtime.torch_device(),
    )
    section = plan.config.quality
    encoders.check(section.protocol)
    clips, split = plan.data.held_out
    manifest = clips.manifest().of_split(split)
    count = min(section.num_clips, len(manifest) // 2)
    if count < 2:
        raise UserError(
            f"{manifest.root}: {len(manifest)} held-out clips; two halves need four: give more"
        )
    print(markdown(responses(encoders, manifest, section.protocol, count)))
    print(f"\nTwo halves of {count} held-out clips; the fewer they are, the more is chance.")


if __name__ == "__main__":
    sys.exit(main())
