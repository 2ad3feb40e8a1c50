"""Where an Endora starts that is not trained from nothing: the released checkpoint, and an
unconditional Endora that is about to learn classes."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import pydantic
import torch
from torch import nn

from core.clip import MANIFEST_NAME, Manifest, Split
from core.errors import UserError
from core.files import sha256_of_file, write_json
from core.stage import ClipStage
from generator.base import ClipShape, Weights, load_denoiser, share_folder
from generator.endora.pipeline import CLASSES_NAME, EndoraAssembly, EndoraSettings
from generator.endora.transformer import EndoraTransformer
from generator.opening import read_state

# Layers of the released network that only its prior uses, or nothing does.
OF_THE_PRIOR = ("linear.", "linear_2.", "cov.", "pooling.", "to_hidden_layer.")
CHECKPOINT_SUFFIX = ".pt"
RELEASED_SHAPE = ClipShape(num_frames=16, width=128, height=128)


class ReleasedEndora(EndoraAssembly):
    """An Endora folder from a released checkpoint, which enters the key by its sha256.

    autoencoder: the VAE it was trained with (stabilityai/sd-vae-ft-ema).
    """

    is_given: ClassVar[bool] = True

    _exclude_from_cls_uid: ClassVar[tuple[str, ...]] = ("runtime", "path")

    path: Path
    sha256: str = pydantic.Field(default_factory=lambda data: sha256_of_file(data["path"]))
    shape: ClipShape = RELEASED_SHAPE
    transformer: EndoraSettings = EndoraSettings()

    def execute(self, folder: Path) -> dict[str, Any]:
        model = self.transformer.build(self.shape, len(self.classes) or None)
        load_released(model, self.path)
        self.write(model, folder / "weights")
        return {"loaded": self.path.name, "sha256": self.sha256}

    def check(self) -> ReleasedEndora:
        """Itself, after a look at the names and shapes in the checkpoint, if it is there.

        Raises: UserError: as `load_released`.
        """
        if self.path.is_file():
            with torch.device("meta"):
                model = self.transformer.build(self.shape, len(self.classes) or None)
            load_released(model, self.path)
        return self


def load_released(model: EndoraTransformer, path: Path) -> None:
    """Fill `model` from the released checkpoint (a torch file with the averaged weights in "ema");
    one on the meta device is only compared.

    Raises: UserError: if the file cannot be read, or is another network's.
    """
    state = read_state(path)
    state = {name: value for name, value in state.items() if not name.startswith(OF_THE_PRIOR)}
    own = model.state_dict()
    wrong = [name for name in own if name not in state or state[name].shape != own[name].shape]
    unknown = sorted(set(state) - set(own))
    if wrong or unknown:
        first = (
            f"{wrong[0]!r} is missing or has another shape" if wrong else f"unknown {unknown[0]!r}"
        )
        raise UserError(f"weights {path}: made for another network: {first}")
    if model.device.type != "meta":
        model.load_state_dict(state)


class EndoraWithClasses(Weights):
    """An unconditional Endora with room for classes: at first no class changes anything."""

    base: Weights
    classes: tuple[str, ...] = pydantic.Field(min_length=1)

    def execute(self, folder: Path) -> dict[str, Any]:
        """Raises: UserError: if two classes have one name, or `base` knows classes already."""
        if len(set(self.classes)) < len(self.classes):
            raise UserError("classes: two of them have the same name")
        start, target = self.base.weights(), folder / "weights"
        found = load_denoiser(EndoraTransformer, start)
        if found.config.num_classes is not None:
            raise UserError(
                f"weights {start}: this Endora knows {found.config.num_classes} classes"
            )
        model = EndoraTransformer.from_config({**found.config, "num_classes": len(self.classes)})
        model.load_state_dict(found.state_dict(), strict=False)
        nn.init.zeros_(model.y_embedder.embedding_table.weight)
        share_folder(start, target, leave_out="transformer")
        model.save_pretrained(target / "transformer")
        write_json(target / CLASSES_NAME, list(self.classes))
        return self.base.run()


class ClassCaptions(ClipStage):
    """Labelled clips of a split whose captions are the names of their classes."""

    clips: ClipStage
    task: str
    names: tuple[str, ...]
    split: Split = "train"

    def execute(self, folder: Path) -> dict[str, Any]:
        manifest = self.clips.manifest().of_split(self.split)
        clips = tuple(
            clip.model_copy(update={"caption": self.names[clip.label(self.task)]})
            for clip in manifest.clips
        )
        Manifest(root=manifest.root, clips=clips).save(folder / MANIFEST_NAME)
        return {"clips": len(clips)}
