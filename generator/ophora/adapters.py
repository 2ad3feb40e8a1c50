"""LoRA adapters of CogVideoX: written as diffusers reads them, and added to a base model.

Low-rank updates W + B A of the attention's projections (arXiv 2106.09685), in the file that
`CogVideoXPipeline.save_lora_weights` writes and `load_lora_weights` reads.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Final

from diffusers import CogVideoXPipeline, CogVideoXTransformer3DModel
from peft import LoraConfig, get_peft_model_state_dict

from core.errors import UserError
from core.runtime import seed_everything
from generator.base import Weights, load_denoiser, share_folder
from generator.opening import LORA_NAME

LORA_FOLDER: Final = "lora"  # beside the parts of the pipeline that the updates are fused into


def add_lora(transformer: CogVideoXTransformer3DModel, rank: int, seed: int) -> None:
    """Freeze the weights and add trainable low-rank updates, zero at first."""
    seed_everything(seed)  # one of the two factors starts random
    transformer.requires_grad_(False)
    projections = ["to_q", "to_k", "to_v", "to_out.0"]
    transformer.add_adapter(LoraConfig(r=rank, lora_alpha=rank, target_modules=projections))


def save_lora(transformer: CogVideoXTransformer3DModel, target: Path) -> None:
    """Write the updates alone, then fuse them into the weights."""
    layers = get_peft_model_state_dict(transformer)
    CogVideoXPipeline.save_lora_weights(target / LORA_FOLDER, transformer_lora_layers=layers)
    fuse(transformer)


def fuse(transformer: CogVideoXTransformer3DModel) -> None:
    """Add the updates to the weights; what is left is a plain network."""
    transformer.fuse_lora()
    transformer.unload_lora()


class AdaptedWeights(Weights):
    """A CogVideoX pipeline with an adapter's updates fused into its transformer."""

    is_given: ClassVar[bool] = True

    base: Weights
    adapter: Weights

    def execute(self, folder: Path) -> dict[str, Any]:
        source, start = self.adapter.weights(), self.base.weights()
        transformer = load_denoiser(CogVideoXTransformer3DModel, start)
        try:
            transformer.load_lora_adapter(source, weight_name=LORA_NAME, prefix="transformer")
        except (RuntimeError, ValueError, KeyError) as error:
            raise UserError(
                f"weights {source / LORA_NAME}: no adapter for {start}: "
                f"{str(error).splitlines()[0]}: name the base model that it was trained from"
            ) from None
        if not getattr(transformer, "peft_config", None):
            raise UserError(
                f"weights {source / LORA_NAME}: holds no update of a transformer; give what "
                "CogVideoXPipeline.save_lora_weights wrote"
            )
        fuse(transformer)
        share_folder(start, folder / "weights", leave_out="transformer")
        transformer.save_pretrained(folder / "weights" / "transformer")
        return {**self.adapter.run(), "base": self.base.run()}
