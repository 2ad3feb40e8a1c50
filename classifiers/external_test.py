"""A trained classifier on a data set that it was neither trained nor chosen on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from classifiers.data import labelled_split
from classifiers.prediction import predict
from classifiers.trained import TrainedClassifier
from classifiers.training import save_predictions
from core.stage import ClipStage, Stage

NAME = "external"  # of its files, as of a split's


class ExternalTest(Stage):
    """The predictions of `classifier` on all test clips of `clips`, as a training leaves its own.

    Leaves `logits_external.npy` (N, num_classes) float32, `labels_external.npy` (N,) int64 and
    `clips_external.json`.
    """

    classifier: TrainedClassifier
    clips: ClipStage

    def upstream(self) -> Iterator[Stage]:
        """The fields' stages and what the classifier reads of the clips."""
        yield from super().upstream()
        yield self.classifier.inputs_of(self.clips)

    def execute(self, folder: Path) -> dict[str, Any]:
        """Raises: UserError: if no clip can be read."""
        judge = self.classifier
        table = judge.inputs_of(self.clips).table()
        manifest = self.clips.manifest()
        split = labelled_split(manifest, table, "test", judge.task, judge.num_classes)
        logits = predict(judge.model(), table.frames, split.rows)
        save_predictions(folder, NAME, split, logits)
        return {"clips": len(split.labels), "unreadable": len(split.unreadable)}
