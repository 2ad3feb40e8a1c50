"""Where a Bora starts that is not trained from nothing: released weights, by their own names."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from core.errors import UserError
from generator.base import ClipShape, GivenWeights, Weights
from generator.bora.pipeline import BoraAssembly, STDiTSettings
from generator.bora.stdit import STDiT
from generator.opening import read_state, shards_of

RELEASED_SHAPE = ClipShape(num_frames=40, width=256, height=256)
SUFFIXES = (".safetensors", ".pt", ".pth", ".bin")
AVERAGED = "ema.pt"  # what Open-Sora's training saves beside the raw weights
# (ours, theirs) outside the blocks and within one; a fused layer of theirs is several of ours.
OUTSIDE: tuple[tuple[tuple[str, ...], str], ...] = (
    (("patchify",), "x_embedder.proj"),
    (("time_embedding.linear_1",), "t_embedder.mlp.0"),
    (("time_embedding.linear_2",), "t_embedder.mlp.2"),
    (("time_block.1",), "t_block.1"),
    (("caption_projection.linear_1",), "y_embedder.y_proj.fc1"),
    (("caption_projection.linear_2",), "y_embedder.y_proj.fc2"),
    (("final",), "final_layer.linear"),
)
WITHIN: tuple[tuple[tuple[str, ...], str], ...] = (
    (("spatial.to_q", "spatial.to_k", "spatial.to_v"), "attn.qkv"),
    (("spatial.to_out.0",), "attn.proj"),
    (("temporal.to_q", "temporal.to_k", "temporal.to_v"), "attn_temp.qkv"),
    (("temporal.to_out.0",), "attn_temp.proj"),
    (("cross.to_q",), "cross_attn.q_linear"),
    (("cross.to_k", "cross.to_v"), "cross_attn.kv_linear"),
    (("cross.to_out.0",), "cross_attn.proj"),
    (("mlp.net.0.proj",), "mlp.fc1"),
    (("mlp.net.2",), "mlp.fc2"),
)
SINGLE = {"null_text": "y_embedder.y_embedding", "final_table": "final_layer.scale_shift_table"}
POSITIONS = {"pos_embed": "space_positions", "pos_embed_temporal": "time_positions"}


class ReleasedBora(BoraAssembly):
    """A Bora folder from released weights (Sweson/Bora), or others of Open-Sora 1.0's STDiT.

    checkpoint: folder of the denoiser's weights; autoencoder: the VAE that they were trained with
    (stabilityai/sd-vae-ft-ema); text: a folder with `text_encoder` and `tokenizer` of T5 v1.1 XXL
    (CogVideoX-2b's are).
    """

    is_given: ClassVar[bool] = True

    checkpoint: Weights
    shape: ClipShape = RELEASED_SHAPE
    transformer: STDiTSettings = STDiTSettings()

    def execute(self, folder: Path) -> dict[str, Any]:
        model = self.transformer.build(self.shape)
        load_released(model, self.checkpoint.weights())
        self.write(model, folder / "weights")
        return self.checkpoint.run()

    def check(self) -> ReleasedBora:
        """Itself, after a look at the names and shapes in a checkpoint of this machine.

        Raises: UserError: as `load_released`.
        """
        if isinstance(self.checkpoint, GivenWeights):
            with torch.device("meta"):
                model = self.transformer.build(self.shape)
            load_released(model, self.checkpoint.path)
        return self


def load_released(model: STDiT, folder: Path) -> None:
    """Fill `model` from the weights in `folder`; one on the meta device is only compared.

    Raises: UserError: if there are none, or they are another network's.
    """
    path, state = read_checkpoint(folder)
    positions = {theirs: state.pop(theirs, None) for theirs in POSITIONS}
    needed = dict(theirs_of(model))
    missing = [name for name in needed if name not in state]
    unknown = sorted(state.keys() - needed.keys())
    if missing or unknown:
        first = f"{missing[0]!r} is missing" if missing else f"unknown {unknown[0]!r}"
        raise UserError(f"weights {path}: made for another network: {first}")
    own, filled = model.state_dict(), {}
    for theirs, names in needed.items():
        for name, value in zip(names, state[theirs].chunk(len(names)), strict=True):
            # Their patches are cut by a 3D convolution of one frame, ours by a 2D one.
            value = value.squeeze(2) if name == "patchify.weight" and value.ndim == 5 else value
            if value.shape != own[name].shape:
                shapes = f"{tuple(state[theirs].shape)}, wanted for {names[0]} {own[name].shape}"
                raise UserError(f"weights {path}: made for another network: {theirs!r} is {shapes}")
            filled[name] = value
    if model.device.type == "meta":
        return
    model.load_state_dict(filled)
    for theirs, given in positions.items():
        ours = getattr(model, POSITIONS[theirs])
        if given is not None and not _same_positions(given, ours):
            raise UserError(f"weights {path}: {theirs!r} is of clips of another size or scale")


def theirs_of(model: STDiT) -> dict[str, tuple[str, ...]]:
    """The released name of every parameter -> what it is called here, the rows of a fused one in
    turn.  Source: hpcaitech/Open-Sora (v1.0), which Bora is trained with."""
    found: dict[str, tuple[str, ...]] = {theirs: (ours,) for ours, theirs in SINGLE.items()}
    layers = list(OUTSIDE)
    for number in range(model.config.depth):
        block = f"blocks.{number}."
        found[block + "scale_shift_table"] = (block + "scale_shift_table",)
        layers += [(tuple(block + o for o in ours), block + theirs) for ours, theirs in WITHIN]
    for ours, theirs in layers:
        for kind in ("weight", "bias"):
            found[f"{theirs}.{kind}"] = tuple(f"{name}.{kind}" for name in ours)
    return found


def _same_positions(theirs: Tensor, ours: Tensor) -> bool:
    theirs = theirs.float().flatten(0, -2)
    return theirs.shape == ours.shape and torch.allclose(theirs, ours, atol=2e-3)  # fp16


def read_checkpoint(folder: Path) -> tuple[Path, dict[str, Tensor]]:
    """The file that holds a network's weights in `folder`, and them: averaged weights if there are
    any, else the one file, or the shards that an index names.

    Raises: UserError: if there is no such file or more than one, or it cannot be read.
    """
    files = sorted(path for path in folder.rglob("*") if path.suffix in SUFFIXES)
    indices = sorted(folder.rglob("*.index.json"))
    named = [path for path in files if path.name == AVERAGED] or files
    if not (len(named) == 1 or (indices and named == files)):
        seen = ", ".join(str(path.relative_to(folder)) for path in files) or "no file"
        raise UserError(
            f"weights {folder}: one checkpoint is wanted ({', '.join(SUFFIXES)}, or an index of "
            f"shards), found {seen}: give a folder that holds nothing else"
        )
    if len(named) == 1:
        return named[0], read_state(named[0])
    if len(indices) > 1:
        raise UserError(f"weights {folder}: {len(indices)} indices of shards; give a folder of one")
    state: dict[str, Tensor] = {}
    for shard in shards_of(indices[0]):
        state |= read_state(shard)
    return indices[0], state
