"""Sources that are a video pipeline of diffusers: NAME=hub:ORG/NAME, or NAME=DIR with one in it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from augment.first_frames import FirstFrames
from augment.synthesis import ClassSynthesis
from benchmarks.config.sections import PipelineSection
from benchmarks.datasets.taxonomy import Task
from benchmarks.plan.data import Data
from core.errors import UserError
from generator.base import GivenWeights, HubWeights, Weights
from generator.hub.call import INDEX_NAME, Call
from generator.hub.pipeline import PipelineGenerator

HUB = "hub:"
HUB_ID = re.compile(r"([\w.-]+/[\w.-]+)(?:@([\w./-]+))?")


def is_pipeline(place: str) -> bool:
    """Whether what a source names after its "=" is a pipeline, not a folder of videos.

    Raises: UserError: if it is a folder with parts of one alone.
    """
    if place.startswith(HUB):
        return True
    folder = Path(place).expanduser()
    if (folder / INDEX_NAME).is_file():
        return True
    if part := next(folder.glob("*/config.json"), None):
        raise UserError(
            f"source {place}: it holds {part.parent.name}/{part.name} and no {INDEX_NAME}: give a "
            "whole pipeline as save_pretrained of diffusers leaves it, or a folder of videos"
        )
    return False


def given_pipelines(data: Data) -> dict[str, Weights]:
    """By name, the weights of the sources that are pipelines.  Raises: UserError: for a hub's id of
    another form."""
    named = (source.partition("=") for source in data.config.sources)
    return {
        name: _weights(name, place, data)
        for name, _, place in named
        if place and is_pipeline(place)
    }


def clips_of_pipeline(
    name: str, given: Weights, task: Task, data: Data, draw: int
) -> ClassSynthesis:
    """Clips of every class by a pipeline; of a hub's only the descriptions are fetched now.

    Args: draw: added to the configuration's seed of synthesis.
    Raises: UserError: as `Call.of`.
    """
    config = data.config
    section = config.pipelines.get(name, PipelineSection())
    settings = config.synthesis
    asked: dict[str, Any] = {
        "task": task,
        "operations_of_class": config.taxonomy.leaves_of(task),
        "settings": settings.model_copy(update={"seed": settings.seed + draw}),
        "prompts": config.taxonomy.path,
        **data.common,
    }
    call = Call.of(given.described())
    starts = FirstFrames(clips=data.labelled[task], **asked) if call.needs_first_frame else None
    generator = PipelineGenerator(
        given=given, shape=section.clip or data.clip, first_frames=starts, **data.common
    )
    sampling = call.sampling(
        section.steps, section.guidance_scale, section.precision, offload=section.offload
    )
    return ClassSynthesis(source=name, generator=generator, sampling=sampling, **asked)


def _weights(name: str, place: str, data: Data) -> Weights:
    if not place.startswith(HUB):
        return GivenWeights.at(Path(place).expanduser(), **data.common)
    return hub_weights(place, f"source {name}={place}", data)


def hub_weights(place: str, what: str, data: Data) -> HubWeights:
    """Of hub:ORG/NAME[@REVISION].  Raises: UserError: that names `what`, for another form."""
    named = HUB_ID.fullmatch(place.removeprefix(HUB))
    if named is None:
        raise UserError(f"{what}: give hub:ORG/NAME, or hub:ORG/NAME@REVISION")
    repository, revision = named.groups()
    return HubWeights(repository=repository, revision=revision or "main", **data.common)
