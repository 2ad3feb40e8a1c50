"""How a generator is sampled: settings that every family's section has."""

from __future__ import annotations

from typing import Literal

import pydantic

from core.runtime import Precision


class Faster(pydantic.BaseModel, frozen=True, extra="forbid"):
    """Ways to draw a CogVideoX clip in less time or memory. Only `compiled`, `offload` and the
    slices of `tiled` leave its pixels nearly as they are; docs/scale_out.md has what each costs."""

    compiled: bool = False
    """The transformer through `torch.compile`: a minute or more at the start of each process."""
    cache: Literal["none", "first_block", "faster", "pyramid"] = "none"
    """Parts of a step are taken from the last one: FirstBlockCache, FasterCache (arXiv 2410.19355)
    or Pyramid Attention Broadcast (arXiv 2408.12588), as diffusers has them."""
    weights: Literal["as_loaded", "int8", "fp8"] = "as_loaded"
    """The transformer's in 8 bits, through torchao, which must be installed; sums keep the
    precision of `precision`."""
    tiled: bool = False
    """The autoencoder decodes clip by clip and in tiles: less memory, other pixels at the seams."""
    offload: bool = False
    """Each network waits in the host's memory until it is used; needs a GPU."""


class Sampling(pydantic.BaseModel, frozen=True, extra="forbid"):
    """How a generator is sampled. Paper scale: Ophora 50 steps, guidance 6; Bora 100 steps, 7."""

    steps: int = pydantic.Field(ge=1, le=1000)
    """Denoising steps, of the 1,000 that it was trained with."""
    guidance_scale: float = pydantic.Field(ge=1)
    """Classifier-free guidance; 1: none."""
    batch_size: int = pydantic.Field(default=16, ge=1)
    """Prompts a forward pass (it does not change which seed a clip gets)."""
    guidance_mode: Literal["constant", "official", "step_index"] = "constant"
    """Of the guidance over the steps: "constant"; "official", CogVideoX's `use_dynamic_cfg` as
    diffusers has it and Ophora uses it: with the timestep (999 .. 0) where the step's number was
    meant, it jumps between 1 and 1 + guidance_scale (diffusers issue 9641); "step_index", what was
    meant: from 1 + guidance_scale down to 1. CogVideoX only."""
    precision: Precision = "fp32"
    """Type that the networks are loaded in."""
    scheduler: Literal["dpm", "folder"] = "dpm"
    """"dpm": CogVideoXDPMScheduler with trailing timesteps, as CogVideoX and Ophora sample;
    "folder": the scheduler that the weights' folder names. CogVideoX only."""
    faster: Faster = Faster()
    """Ways to draw faster. CogVideoX only."""

    @pydantic.model_validator(mode="after")
    def _caches_fit(self) -> Sampling:
        # FasterCache guesses the unguided half of a batch from the guided one.
        if self.faster.cache == "faster" and self.guidance_scale == 1:
            raise ValueError("faster.cache 'faster' needs guidance_scale above 1; use 'pyramid'")
        if self.faster.cache == "first_block" and self.batch_size > 1:
            raise ValueError(
                f"faster.cache 'first_block' needs batch_size 1, not {self.batch_size}: the change "
                "of all clips of a batch decides for each, so a clip would depend on its batch"
            )
        return self
