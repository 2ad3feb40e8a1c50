"""A language model of this machine, run with transformers."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import pydantic
import torch

from core.errors import UserError
from core.files import sha256_of_files
from generator.curation.chat import Chat, Message
from generator.curation.replies import Reply, reply_from


class LocalModel(pydantic.BaseModel, frozen=True, extra="forbid"):
    """A chat model: a folder in transformers' layout (safetensors), or a hub id "org/name".

    A folder enters cache keys by the sha256 of its contents, never by its place; a hub id by name
    and `revision`.
    """

    _exclude_from_cls_uid: ClassVar[tuple[str, ...]] = ("model",)

    model: str = pydantic.Field(min_length=1)
    """The folder or the hub id."""
    revision: str | None = None
    """Of a hub id: branch, tag or commit; null: main."""
    max_tokens: int = pydantic.Field(default=256, ge=1)
    """Of an answer; a longer one is cut off."""
    identity: str = ""
    """What cache keys hold; computed, not to be set."""

    @pydantic.model_validator(mode="before")
    @classmethod
    def _identify(cls, data: Any) -> Any:
        if isinstance(data, dict) and data.get("model") and not data.get("identity"):
            data = {**data, "identity": _identity_of(str(data["model"]), data.get("revision"))}
        return data


def _identity_of(model: str, revision: str | None) -> str:
    folder = Path(model)
    if not folder.is_dir():
        if model.startswith((".", "/", "~")) or model.count("/") != 1:
            raise UserError(f"model {model}: no such folder; give one, or a hub id org/name")
        return f"{model}@{revision or 'main'}"
    if not (folder / "config.json").is_file():
        raise UserError(f"model {model}: no config.json in it; save the model there")
    return sha256_of_files(folder, [file for file in folder.rglob("*") if file.is_file()])


class LocalChat(Chat):
    """Asks a model of this machine, one question after another."""

    def __init__(self, settings: LocalModel, folder: Path, device: torch.device) -> None:
        super().__init__(settings.identity, settings.max_tokens, folder)
        self._settings, self._device = settings, device

    def answer(self, messages: list[Message]) -> Reply:
        """Raises: UserError: if the model cannot be loaded, or has no chat template."""
        found = self._generate(
            messages,
            max_new_tokens=self.max_tokens,
            do_sample=False,
            return_full_text=False,
            tokenizer_encode_kwargs={"enable_thinking": False},  # to templates that know it
        )
        text = str(found[0]["generated_text"])
        # A finished answer is one token shorter: its end mark is not in the text.
        tokens = self._generate.tokenizer(text, add_special_tokens=False)["input_ids"]
        return reply_from(text, cut=len(tokens) >= self.max_tokens)

    @cached_property
    def _generate(self) -> Any:
        from transformers import pipeline

        name = self._settings.model
        try:
            generate = pipeline(
                "text-generation",
                model=name,
                revision=self._settings.revision,
                dtype="auto",
                device=self._device,
                model_kwargs={"use_safetensors": True},
            )
        except (OSError, ValueError) as error:
            reason = str(error).splitlines()[0]
            raise UserError(f"model {name}: transformers cannot load it ({reason})") from None
        if not generate.tokenizer or not generate.tokenizer.chat_template:
            raise UserError(f"model {name}: it has no chat template; give an instruct model")
        return generate
