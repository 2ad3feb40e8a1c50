"""What the rest of the suite knows of a metric of Table 1: one value."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from benchmarks.metrics.clip_features import Arrays
from benchmarks.metrics.frames import FrameProtocol

Entry = dict[str, Any]
DIGITS = 6  # kernel distances are small numbers


@dataclass(frozen=True)
class Naming:
    """What stands in the name of a metric and beside its value."""

    encoder: dict[str, str]
    protocol: FrameProtocol
    n: int
    num_frames: int | None = None  # None: all of the protocol

    def of_one_frame(self) -> Naming:
        """For metrics that see the middle frame of each clip: a clip's frames are too alike to
        count as several samples, and their pairs would bias an unbiased estimate."""
        return Naming(self.encoder, self.protocol, self.n, num_frames=1)

    def entry(self, metric: str, value: float, **fields: Any) -> dict[str, Entry]:
        """The value under a name that holds its protocol: metric, encoder, clips, frames."""
        num_frames = self.num_frames or self.protocol.num_frames
        name = f"{metric}_{self.encoder['name']}_{self.n}x{num_frames}"
        fixed = {
            "value": round(value, DIGITS),
            "n": self.n,
            "encoder": self.encoder["name"],
            "encoder_sha256": self.encoder.get("sha256"),
            **self.protocol.describe(),
            "num_frames": num_frames,
        }
        more = {k: round(v, DIGITS) if isinstance(v, float) else v for k, v in fields.items()}
        return {name: {**fixed, **more}}


@dataclass(frozen=True)
class Namings:
    """By what the features are of: clips, clips and their prompts, frames, pixels."""

    video: Naming
    image_text: Naming
    images: Naming
    pixels: Naming


@dataclass(frozen=True)
class MetricFamily:
    """name: begins the names of its values; about: a line for `--list`; measure: from the arrays
    of `ClipFeatures` of real and generated clips to values by name. printed: whether the printed
    table shows it; csv and json show all. paper: the paper's column that it answers to. with_text:
    whether real clips with burned-in text are a second reference of it, where a run has any."""

    name: str
    about: str
    measure: Callable[[Arrays, Arrays, Namings], dict[str, Entry]]
    printed: bool = False
    paper: str | None = None
    with_text: bool = False
