"""A real training that can be slowed down, importable by ranks and jobs."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any
from unittest import mock

from core.distributed import rank, world_size
from core.training import Losses, Training
from generator.ophora.training import OphoraTraining
from tests.core.stages import log


class WatchedTraining(OphoraTraining):
    """Notes in `log.txt` at which step each of its starts begins, and with how many ranks.

    How long a step takes at least comes from the environment (SECONDS_PER_STEP).
    """

    def fit(self, folder: Path) -> tuple[Any, dict[str, Any]]:
        update, steps = Training.update, []

        def watched(training: Training, losses: Losses) -> bool:
            if rank() == 0 and not steps:
                log(folder, f"from step {training.step} with {world_size()} ranks")
            steps.append(training.step)
            time.sleep(float(os.environ.get("SECONDS_PER_STEP", "0")))
            return update(training, losses)

        with mock.patch.object(Training, "update", watched):
            return super().fit(folder)
