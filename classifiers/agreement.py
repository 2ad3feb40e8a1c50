"""What a classifier makes of clips that were made for a class."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from classifiers.prediction import predict
from classifiers.trained import TrainedClassifier
from core.errors import UserError
from core.stage import ClipStage, Stage


class Agreement(Stage):
    """Agreement of a classifier with the class that each clip of `clips` was made for.

    judge: the judge, or any other classifier: one trained on Source alone says how a run's own
    classifier sees an arm's clips (trained on real clips, tested on synthetic ones).
    """

    judge: TrainedClassifier
    clips: ClipStage

    def execute(self, folder: Any) -> dict[str, Any]:
        """Percent over classes with clips.  Raises: UserError: if no clip can be read."""
        table = self.judge.inputs_of(self.clips).table()
        shown = [clip for clip in self.clips.manifest().clips if clip.clip_id in table.rows]
        if not shown:
            raise UserError("faithfulness: no clip can be read")
        rows = np.array([table.rows[clip.clip_id] for clip in shown])
        labels = np.array([clip.label(self.judge.task) for clip in shown])
        return agreement(predict(self.judge.model(), table.frames, rows), labels)


def agreement(logits: NDArray[np.floating], labels: NDArray[np.integer]) -> dict[str, Any]:
    """Top-1 and top-5 in percent, averaged over the classes that occur, and both a class (by id as
    text, since JSON has no other keys).

    Args: logits: (N, C); labels: (N,) in [0, C).
    """
    order = np.argsort(-logits, axis=1, kind="stable")
    first, five = order[:, 0] == labels, (order[:, :5] == labels[:, None]).any(axis=1)
    classes = np.unique(labels)
    by_class = {
        name: {str(c): round(100 * float(hits[labels == c].mean()), 2) for c in classes}
        for name, hits in (("top1_by_class", first), ("top5_by_class", five))
    }
    top1, top5 = (round(float(np.mean(list(found.values()))), 2) for found in by_class.values())
    return {"clips": len(labels), "top1": top1, "top5": top5, **by_class}
