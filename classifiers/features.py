"""What a frozen network makes of clips, computed once for all arms, seeds and heads.

frame cache -> batches -> network without its head -> one array, a row a clip
"""

from __future__ import annotations

import io
import math
import os
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from classifiers.networks import Classifier, Network
from classifiers.starts import Start
from core.errors import UserError
from core.files import check_room, share_file
from core.frame_cache import IDS_NAME, UNREADABLE_NAME, FrameCache, FrameTable, open_frames
from core.progress import Progress
from core.stage import Stage

FEATURES_NAME, PART_NAME = "features.npy", "features.part"
BATCH_CLIPS = 16
DTYPES: dict[str, type[np.floating[Any]]] = {"pooled": np.float32, "tokens": np.float16}


class FrozenFeatures(Stage):
    """The features of every clip of a frame cache, in its order, by a network that is not trained.

    weights: of its backbone. form: "pooled", (N, D) float32, what the network's own linear layer
    would see; "tokens", (N, L, D) float16, of places and times, for a head that attends.
    Leaves `features.npy` and the clips' ids as the frame cache has them; in the result is what
    became of the weights. Killed, it goes on behind the last batch that it wrote.
    Raises: UserError: if the disk has no room, or a feature is NaN or inf.
    """

    frames: FrameCache
    network: Network
    weights: Start
    form: Literal["pooled", "tokens"] = "pooled"

    def table(self) -> FrameTable:
        """Run the stage if need be; its rows as a frame table's, with features for frames."""
        self.run()
        return open_frames(self.folder, FEATURES_NAME)

    def execute(self, folder: Path) -> dict[str, Any]:
        frames = self.frames.table().frames
        for name in (IDS_NAME, UNREADABLE_NAME):
            share_file(self.frames.folder / name, folder / name)
        model = self.network.build(2, self.frames.num_frames, self.frames.width)
        report = self.weights.load_into(model)
        model.to(self.runtime.torch_device()).eval()
        shape = (len(frames), *self._of(model, frames[:1]).shape[1:])
        self._write(folder / PART_NAME, model, frames, shape)
        (folder / PART_NAME).replace(folder / FEATURES_NAME)
        return {"clips": len(frames), "dim": shape[-1], "start": report.summary()}

    def _write(
        self, path: Path, model: Classifier, frames: NDArray[np.uint8], shape: tuple[int, ...]
    ) -> None:
        """Write the rows of an npy file of `shape` that it does not have yet."""
        dtype = np.dtype(DTYPES[self.form])
        head, row_bytes = _header(shape, dtype), math.prod(shape[1:]) * dtype.itemsize
        check_room(path.parent, len(frames) * row_bytes, "the features of a frozen network")
        with path.open("ab") as file:
            written = file.tell() - len(head)
            # Whole batches: in another company a clip's last bits may differ.
            done = max(written, 0) // (row_bytes * BATCH_CLIPS) * BATCH_CLIPS
            if written < 0:
                file.truncate(0)
                file.write(head)
            else:
                file.truncate(len(head) + done * row_bytes)
            with Progress("features of a frozen network", len(frames), "clips", done) as progress:
                for start in range(done, len(frames), BATCH_CLIPS):
                    rows = self._of(model, frames[start : start + BATCH_CLIPS])
                    file.write(rows.tobytes())
                    progress.advance(len(rows))
            file.flush()
            os.fsync(file.fileno())

    @torch.inference_mode()
    def _of(self, model: Classifier, frames: NDArray[np.uint8]) -> NDArray[np.floating[Any]]:
        """(B, T, size, size, 3) uint8 -> (B, D) or (B, L, D), of the form's type."""
        device = next(model.parameters()).device
        clips = model.prepare(torch.from_numpy(np.array(frames)).to(device))
        found = model.features(clips) if self.form == "pooled" else model.tokens(clips)
        rows = found.float().cpu().numpy().astype(DTYPES[self.form])
        if not np.isfinite(rows).all():
            raise UserError(
                f"{type(self.network).__name__}: its weights give features that are NaN or inf "
                "(tokens: in half precision): name other weights, or a linear head"
            )
        return rows

    def cost(self) -> str:
        return f"clips through {type(self.network).__name__} once"


def _header(shape: tuple[int, ...], dtype: np.dtype[Any]) -> bytes:
    """How an npy file of an array begins."""
    stream = io.BytesIO()
    descr = np.lib.format.dtype_to_descr(dtype)
    said = {"descr": descr, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(stream, said)
    return stream.getvalue()
