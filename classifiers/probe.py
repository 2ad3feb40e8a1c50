"""Probes: a small head on the cached features of a frozen network, trained in seconds.

pooled features (B, D) -> BatchNorm -> Linear                        (linear)
tokens (B, L, D) -> LayerNorm -> one query attends to all -> Linear  (attentive)
"""

from __future__ import annotations

import math
from typing import Literal

import pydantic
import torch
from torch import Tensor, nn

from classifiers.features import FrozenFeatures
from classifiers.networks import Classifier
from classifiers.recipe import Recipe
from classifiers.starts import Start
from classifiers.training import ClassifierTraining
from core.runtime import derive_seed
from core.stage import ClipStage

Head = Literal["linear", "attentive"]
# A feature is computed once, so no clip can look otherwise in another pass.
UNAUGMENTED = {"max_shift": 0.0, "flip": False, "colour": 0.0}
FORMS: dict[Head, Literal["pooled", "tokens"]] = {"linear": "pooled", "attentive": "tokens"}


class ProbeTraining(ClassifierTraining):
    """Train a head on `network` with `weights`, which is frozen, as `ClassifierTraining` trains a
    network: same clips, order, choice of the epoch, predictions, files. What is saved is the head.

    `start` stays None: a head starts from nothing. The recipe's augmentation is switched off.
    """

    weights: Start
    head: Head = "linear"

    @pydantic.field_validator("recipe")
    @classmethod
    def _nothing_is_augmented(cls, value: Recipe) -> Recipe:
        return value.model_copy(update=UNAUGMENTED)

    def inputs_of(self, clips: ClipStage) -> FrozenFeatures:
        """The frozen network's features of a source, shared with every arm, seed and recipe."""
        return FrozenFeatures(
            frames=self.cache_of(clips),
            network=self.network,
            weights=self.weights,
            form=FORMS[self.head],
            infra={"folder": self.infra.folder},
            runtime=self.runtime,
        )

    def build(self) -> Classifier:
        """The head with freshly drawn weights, which depend on `seed` alone."""
        dim = self.inputs_of(self.evaluation).run()["dim"]
        torch.manual_seed(derive_seed(self.seed, "weights"))
        kind = _Linear if self.head == "linear" else _Attention
        return ProbeHead(kind(dim), dim, self.num_classes, dropout=0.0, head_std=0.01)


class ProbeHead(Classifier):
    """A classifier whose input is what a frozen network made of clips, and not clips."""

    def prepare(self, frames: Tensor) -> Tensor:
        """Features as they are stored -> (B, ...) float32."""
        return frames.float()

    def features(self, clips: Tensor) -> Tensor:
        found: Tensor = self.backbone(clips)
        return found


class _Linear(nn.BatchNorm1d):
    """Features of any scale -> about -2..2, (B, D).

    Source: MAE (arXiv 2111.06377), appendix on linear probing: a batch norm without weights. The
    features do not change, so its statistics are the mean over all steps: our choice.
    """

    def __init__(self, dim: int) -> None:
        super().__init__(dim, eps=1e-6, momentum=None, affine=False)


class _Attention(nn.Module):
    """Tokens (B, L, D) -> what one learned query finds in them, (B, D).

    Source: the attentive probe of V-JEPA (arXiv 2404.08471), without its MLP: our choice, as nano
    data are few.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.query = nn.Parameter(torch.empty(1, 1, dim))
        nn.init.trunc_normal_(self.query, std=0.02)
        self.attention = nn.MultiheadAttention(dim, math.gcd(dim, 8), batch_first=True)

    def forward(self, tokens: Tensor) -> Tensor:
        tokens = self.norm(tokens)
        query = self.query.expand(len(tokens), -1, -1)
        found: Tensor = self.attention(query, tokens, tokens, need_weights=False)[0]
        return found[:, 0]
