"""Networks with weights, however they came by them: what predicts clips needs no more."""

from __future__ import annotations

from abc import abstractmethod
from collections import deque
from pathlib import Path
from typing import Any

import pydantic
import safetensors.torch

from classifiers.checkpoints import Checkpoint
from classifiers.features import FrozenFeatures
from classifiers.networks import Classifier, Network
from core.errors import UserError
from core.frame_cache import FrameCache
from core.stage import ClipStage, Stage

MODEL_NAME = "model.safetensors"

# The last frame caches that were asked for. A plan asks for each of them dozens of times, and every
# new one works out its key from all that its clips are made of: most of a dry run.
_CACHES: deque[FrameCache] = deque(maxlen=256)


class TrainedClassifier(Stage):
    """A classifier that is ready to predict clips.

    num_frames, size: of the clips that it sees, (num_frames, size, size, 3).
    """

    task: str
    num_classes: int = pydantic.Field(ge=2)
    network: Network
    num_frames: int = pydantic.Field(default=8, ge=1)
    size: int = pydantic.Field(default=64, ge=8)

    @abstractmethod
    def build(self) -> Classifier:
        """The network, not yet trained."""

    @abstractmethod
    def weights_file(self) -> Path:
        """Its weights (safetensors); runs the stage if need be."""

    def cache_of(self, clips: ClipStage) -> FrameCache:
        """The decoded frames of a source, shared with every run of the same frames and size."""
        wanted = (self.num_frames, self.size, self.infra.folder, self.runtime)
        for known in _CACHES:
            found = (known.num_frames, known.width, known.infra.folder, known.runtime)
            if known.clips is clips and found == wanted:
                return known
        cache = FrameCache(
            clips=clips,
            num_frames=self.num_frames,
            width=self.size,
            height=self.size,
            infra={"folder": self.infra.folder},
            runtime=self.runtime,
        )
        _CACHES.append(cache)
        return cache

    def inputs_of(self, clips: ClipStage) -> FrameCache | FrozenFeatures:
        """What the network reads of a source, as a stage with a table: the decoded frames."""
        return self.cache_of(clips)

    def model(self) -> Classifier:
        """The trained network, ready to predict.  Raises: UserError: if the file is another's."""
        file, model = self.weights_file(), self.build()
        try:
            model.load_state_dict(safetensors.torch.load_file(file))
        except RuntimeError as error:
            reason = str(error).splitlines()[-1].strip()
            raise UserError(f"weights {file}: of another network ({reason})") from None
        return model.to(self.runtime.torch_device()).eval()


class GivenClassifier(TrainedClassifier):
    """A classifier that was trained before, on data of which only its weights are left."""

    checkpoint: Checkpoint

    def build(self) -> Classifier:
        return self.network.build(self.num_classes, self.num_frames, self.size)

    def weights_file(self) -> Path:
        self.run()
        return self.checkpoint.path

    def execute(self, folder: Path) -> dict[str, Any]:
        return self.checkpoint.run()
