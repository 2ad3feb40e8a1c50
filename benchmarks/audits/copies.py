"""Were clips copied? Two stages over decoded clips.

NearDuplicates   clips of one set that show the same as a clip of another (fingerprints)
Memorisation     whether generated clips lie nearer to clips that the generator was trained on
                 than to clips of other videos (features of the metrics' video encoder)
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pydantic
from numpy.typing import NDArray
from scipy.spatial.distance import cdist
from scipy.stats import binomtest

from benchmarks.audits.fingerprints import SAME, chance_matches, nearest
from benchmarks.metrics.clip_features import load_video_encoder
from benchmarks.metrics.encoders import BATCH, MetricEncoder, VideoEncoder
from benchmarks.metrics.torchscript_encoders import I3d
from core.clip import Clip, Split
from core.errors import UserError
from core.frame_cache import FrameCache
from core.runtime import derive_seed
from core.stage import Stage


def readable(cache: FrameCache, splits: tuple[Split, ...]) -> tuple[list[Clip], NDArray[np.uint8]]:
    """The clips of the splits (of all, if none is named) that could be decoded, and their frames,
    (N, T, H, W, 3).  Raises: UserError: if there is none."""
    table = cache.table()
    clips = [
        clip
        for clip in cache.clips.manifest().clips
        if clip.clip_id in table.rows and (not splits or clip.split in splits)
    ]
    if not clips:
        raise UserError(f"audit: no readable clip in {'/'.join(splits) or 'any split'}")
    return clips, table.frames[[table.rows[clip.clip_id] for clip in clips]]


class NearDuplicates(Stage):
    """Clips of `suspects` that are copies of a clip of `references`, named in pairs.

    The splits say which clips of each count; none named: all. The result holds the `copies`, and
    how often clips of different videos of `references` would be called copies by `chance`.
    """

    suspects: FrameCache
    references: FrameCache
    suspect_splits: tuple[Split, ...] = ()
    reference_splits: tuple[Split, ...] = ()

    def execute(self, folder: Path) -> dict[str, Any]:
        """Raises: UserError: if a side has no clip."""
        suspects, frames = readable(self.suspects, self.suspect_splits)
        references, known = readable(self.references, self.reference_splits)
        found = nearest(frames, known)
        copies = [
            {
                "clip": suspects[number].clip_id,
                "copy_of": references[found.index[number]].clip_id,
                "split": references[found.index[number]].split,
                "similarity": round(float(found.similarity[number]), 4),
            }
            for number in np.flatnonzero(found.similarity >= SAME)
        ]
        return {
            "suspects": len(suspects),
            "references": len(references),
            "copies": copies,
            "percent": round(100 * len(copies) / len(suspects), 2),
            "chance": chance_matches(known, np.array([clip.video_id for clip in references])),
        }


class Memorisation(Stage):
    """Nearest neighbours of generated clips: among clips `seen` in training, and among others.

    A generator that has learnt the distribution is as near to unseen as to seen clips; one that
    repeats its training clips is nearer to these. Both sides are cut to the same number of clips,
    drawn by seed.  Source: the idea of the data-copying test of Meehan et al. 2020 (arXiv
    2004.05675), as a sign test.
    """

    generated: FrameCache
    corpus: FrameCache
    seen: tuple[Split, ...] = ("train",)
    unseen: tuple[Split, ...] = ("val",)
    encoder: MetricEncoder
    seed: int = pydantic.Field(default=0, ge=0)

    def execute(self, folder: Path) -> dict[str, Any]:
        """Raises: UserError: if a side has no clip."""
        encoder = load_video_encoder(self.encoder, self.runtime.torch_device())
        generated, seen, unseen = (
            encode(encoder, readable(cache, splits)[1])
            for cache, splits in (
                (self.generated, ()),
                (self.corpus, self.seen),
                (self.corpus, self.unseen),
            )
        )
        rng = np.random.default_rng(derive_seed("memorisation", self.seed))
        size = min(len(seen), len(unseen))
        sides = [side[rng.permutation(len(side))[:size]] for side in (seen, unseen)]
        return {"per_side": size, "encoder": encoder.name} | neighbours(generated, *sides)


def encode(encoder: VideoEncoder | I3d, frames: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(N, T, H, W, 3) uint8 -> (N, D) float32.  Raises: UserError: if T, H, W are not its own."""
    if encoder.protocol is not None and frames.shape[1:] != encoder.protocol.shape:
        raise UserError(
            f"encoder {encoder.name} sees {encoder.protocol.shape}, not {frames.shape[1:]}"
        )
    parts = [encoder.features(frames[i : i + BATCH]) for i in range(0, len(frames), BATCH)]
    return np.concatenate(parts)


def neighbours(
    generated: NDArray[np.floating], seen: NDArray[np.floating], unseen: NDArray[np.floating]
) -> dict[str, Any]:
    """How generated features lie between two sets of the same size.

    Args: (N, D), (M, D), (M, D).  Returns: `nearer_to_seen`, percent of generated clips (50 where
    nothing is repeated); `p_value` of that many or more (one-sided sign test); `ratio`, quartiles
    of the distance to the nearest seen clip over that to the nearest other one.
    """
    to_seen, to_unseen = (cdist(generated, side).min(axis=1) for side in (seen, unseen))
    differing = int((to_seen != to_unseen).sum())
    nearer = int((to_seen < to_unseen).sum())
    p_value = binomtest(nearer, differing, alternative="greater").pvalue if differing else 1.0
    ratio = to_seen / np.maximum(to_unseen, 1e-12)
    return {
        "generated": len(generated),
        "nearer_to_seen": round(100 * nearer / max(differing, 1), 2),
        "p_value": round(float(p_value), 4),
        "ratio": [round(float(value), 4) for value in np.quantile(ratio, (0.25, 0.5, 0.75))],
    }
