"""The two stages: narrated clips -> `Curation` (Ophora-160K) -> `PrivacyFilter` (Ophora-28K)."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import pydantic

from core.clip import Clip, Manifest
from core.errors import UnreadableVideo
from core.progress import Progress, track
from core.stage import ClipStage
from core.video import probe
from core.workers import map_unordered
from generator.curation.chat import ANSWERS_NAME, Chat
from generator.curation.decisions import (
    READABLE,
    Decision,
    assign_splits,
    write_decisions,
    write_outcome,
)
from generator.curation.dynamics import DynamicsSettings, Keyframes, count_keyframes
from generator.curation.endpoint import EndpointChat, map_in_threads
from generator.curation.journal import Journal
from generator.curation.privacy import (
    UNCLEAR,
    OcrPrivacy,
    OpenAIPrivacy,
    PrivacySettings,
    PrivacyVerdict,
    ask_about,
    find_text,
    judge_clip,
)
from generator.curation.refine import Refined, RefineSettings, RulesRefine, refine_captions
from generator.curation.resolution import ResolutionSettings

JOURNAL_NAME = "looked_at.jsonl"

log = logging.getLogger(__name__)


class Span(pydantic.BaseModel, frozen=True, extra="forbid"):
    """What a worker needs to know of a clip."""

    clip_id: str
    path: Path
    start_s: float | None
    end_s: float | None


class Look(pydantic.BaseModel, frozen=True, extra="forbid"):
    """What was measured on a clip's frames; `keyframes` is None if a step before dropped it."""

    width_px: int = 0
    height_px: int = 0
    keyframes: Keyframes | None = None
    unreadable: str = ""


L = TypeVar("L", Look, PrivacyVerdict)


def look_at(span: Span, dynamics: DynamicsSettings, resolution: ResolutionSettings) -> Look:
    """Measure a clip: its size and, if that is enough, its keyframes."""
    try:
        info = probe(span.path)
        size = {"width_px": info.width, "height_px": info.height}
        if resolution.problem_of(info):
            return Look(**size)
        keyframes = count_keyframes(span.path, info, dynamics, span.start_s, span.end_s)
        return Look(**size, keyframes=keyframes)
    except UnreadableVideo as error:
        return Look(unreadable=error.reason)


class Curation(ClipStage):
    """Readable, resolution, dynamics, then captions refined into instructions.

    The paper refines first; the filters do not read captions, so the same clips are kept and the
    language model is not asked about clips that go. Leaves manifest.jsonl (`caption` = instruction,
    split 80/20 by source video), decisions.csv and funnel.json.
    Source: Ophora, Sec. "Comprehensive Data Curation" (375K narrated clips -> Ophora-160K).
    """

    version: ClassVar[str] = "2"  # frames by their timestamps; a model's answer is read, not taken
    STEPS: ClassVar[tuple[str, ...]] = (READABLE, "resolution", "dynamics", "caption")
    COLUMNS: ClassVar[tuple[str, ...]] = (
        "width_px",
        "height_px",
        "keyframes_motion",
        "keyframes_cuts",
        "caption_by",
        "problem",
        "raw_caption",
        "instruction",
    )

    narrated: ClipStage
    refine: RefineSettings = RulesRefine()
    dynamics: DynamicsSettings = DynamicsSettings()
    resolution: ResolutionSettings = ResolutionSettings()

    def execute(self, folder: Path) -> dict[str, Any]:
        """Look at every clip (resuming), refine the captions of those kept, write the outcome."""
        manifest = self.narrated.manifest()
        spans = [span_of(clip, manifest.path_of(clip)) for clip in manifest.clips]
        work = partial(look_at, dynamics=self.dynamics, resolution=self.resolution)
        looks = _look_at_all(
            folder,
            spans,
            Look,
            lambda todo: map_unordered(work, todo, workers=self.runtime.workers),
            description="curation: frames",
        )
        decisions = {c.clip_id: self._decide(c, looks[c.clip_id]) for c in manifest.clips}
        kept = [clip for clip in manifest.clips if decisions[clip.clip_id].kept]
        refined = self._refine(kept, folder)
        for clip_id, instruction in refined.items():
            decisions[clip_id].details.update(
                caption_by=instruction.origin,
                problem=instruction.problem,
                instruction=instruction.text,
            )
        clips = [clip.model_copy(update={"caption": refined[clip.clip_id].text}) for clip in kept]
        write_decisions(folder, decisions.values(), self.COLUMNS)
        result = write_outcome(
            folder,
            manifest.keep(assign_splits(clips)),
            list(decisions.values()),
            self.STEPS,
        )
        return {**result, "raw_captions": sum(r.origin == "raw" for r in refined.values())}

    def _decide(self, clip: Clip, look: Look) -> Decision:
        details: dict[str, str | int | float] = {"raw_caption": clip.caption or ""}
        if look.unreadable:
            return _dropped(clip, READABLE, "unreadable", look.unreadable, details)
        details |= {"width_px": look.width_px, "height_px": look.height_px}
        if look.keyframes is None:
            size = f"{look.width_px}x{look.height_px}"
            return _dropped(clip, "resolution", "low resolution", size, details)
        seen = look.keyframes
        details |= {"keyframes_motion": seen.motion, "keyframes_cuts": seen.cuts}
        problem = self.dynamics.problem_of(seen)
        if problem:
            value = seen.motion if problem == "static" else seen.cuts
            return _dropped(clip, "dynamics", problem, value, details)
        if not (clip.caption or "").strip():
            return _dropped(clip, "caption", "no caption", None, details)
        return Decision(clip_id=clip.clip_id, value=seen.motion, details=details)

    def _refine(self, clips: list[Clip], folder: Path) -> dict[str, Refined]:
        captions = [clip.caption or "" for clip in clips]
        ready = track(
            refine_captions(captions, self.refine, folder, self.runtime.torch_device()),
            total=len(clips),
            description="curation: captions",
            unit="captions",
        )
        results = dict(ready)
        return {clip.clip_id: results[index] for index, clip in enumerate(clips)}


class PrivacyFilter(ClipStage):
    """The clips on which no sampled frame shows subtitles, a watermark or identifying text.

    Leaves the same files as `Curation`.
    Source: Ophora, Sec. "Comprehensive Data Curation" (Ophora-160K -> Ophora-28K).
    """

    version: ClassVar[str] = "2"  # text in any script; frames by their timestamps
    STEPS: ClassVar[tuple[str, ...]] = (READABLE, "privacy")

    clips: ClipStage
    privacy: PrivacySettings = OcrPrivacy()

    def execute(self, folder: Path) -> dict[str, Any]:
        """Judge every clip (resuming) and write the outcome."""
        manifest = self.clips.manifest()
        verdicts = judge_privacy(folder, manifest, self.privacy, self.runtime.workers)
        decisions = [_privacy_decision(clip, verdicts[clip.clip_id]) for clip in manifest.clips]
        kept = [c for c, d in zip(manifest.clips, decisions, strict=True) if d.kept]
        unclear = sum(decision.reason == UNCLEAR for decision in decisions)
        if unclear:
            log.warning(
                "privacy: %d of %d clips dropped because the model said neither yes nor no (%s)",
                unclear, len(decisions), ANSWERS_NAME,
            )  # fmt: skip
        write_decisions(folder, decisions, ("frames_read", "time_s", "box"))
        return write_outcome(folder, manifest.keep(assign_splits(kept)), decisions, self.STEPS)


def judge_privacy(
    folder: Path, manifest: Manifest, privacy: PrivacySettings, workers: int
) -> dict[str, PrivacyVerdict]:
    """What is seen on every clip, by clip id; `folder` keeps it, so that a later call goes on."""
    spans = [span_of(clip, manifest.path_of(clip)) for clip in manifest.clips]
    judge = partial(_judge_all, privacy=privacy, workers=workers, folder=folder)
    return _look_at_all(folder, spans, PrivacyVerdict, judge, description="privacy: frames")


def judge_by_ocr(span: Span, settings: OcrPrivacy) -> PrivacyVerdict:
    """Read a clip's frames until one shows text."""
    judge = partial(find_text, settings=settings)
    return judge_clip(span.path, settings.frames_per_s, judge, span.start_s, span.end_s)


def judge_by_model(span: Span, settings: OpenAIPrivacy, chat: Chat) -> PrivacyVerdict:
    """Ask the endpoint about a clip's frames until one is sensitive."""
    judge = partial(ask_about, settings=settings, chat=chat)
    return judge_clip(span.path, settings.frames_per_s, judge, span.start_s, span.end_s)


def _judge_all(
    spans: list[Span], privacy: PrivacySettings, workers: int, folder: Path
) -> Iterator[tuple[Span, PrivacyVerdict]]:
    if isinstance(privacy, OcrPrivacy):
        work = partial(judge_by_ocr, settings=privacy)
        yield from map_unordered(work, spans, workers=workers)
        return
    ask = partial(judge_by_model, settings=privacy, chat=EndpointChat(privacy.endpoint, folder))
    yield from map_in_threads(ask, spans, privacy.endpoint.concurrency)


def _look_at_all(
    folder: Path,
    spans: list[Span],
    kind: type[L],
    work: Callable[[list[Span]], Iterable[tuple[Span, L]]],
    description: str,
) -> dict[str, L]:
    """Results by clip id: those of the folder's journal, then the rest, journalled when ready.

    Files that could not be read are tried again, for they may have been repaired.
    """
    journal = Journal(folder / JOURNAL_NAME)
    known = {record["clip_id"]: kind.model_validate(record["look"]) for record in journal.records}
    results = {clip_id: look for clip_id, look in known.items() if not look.unreadable}
    todo = [span for span in spans if span.clip_id not in results]
    with Progress(description, len(spans), "clips", done=len(spans) - len(todo)) as progress:
        for span, look in work(todo):
            journal.append(
                {"clip_id": span.clip_id, "look": look.model_dump(exclude_defaults=True)}
            )
            results[span.clip_id] = look
            progress.advance()
    return results


def span_of(clip: Clip, path: Path) -> Span:
    """What a worker needs of a clip whose file is at `path`."""
    return Span(clip_id=clip.clip_id, path=path, start_s=clip.start_s, end_s=clip.end_s)


def _dropped(
    clip: Clip, step: str, reason: str, value: Any, details: dict[str, str | int | float]
) -> Decision:
    return Decision(clip_id=clip.clip_id, step=step, reason=reason, value=value, details=details)


def _privacy_decision(clip: Clip, verdict: PrivacyVerdict) -> Decision:
    if verdict.unreadable:
        return _dropped(clip, READABLE, "unreadable", verdict.unreadable, {})
    details: dict[str, str | int | float] = {"frames_read": verdict.frames_read}
    seen = verdict.sighting
    if seen is None:
        return Decision(clip_id=clip.clip_id, details=details)
    details |= {"time_s": seen.time_s, "box": seen.box}
    return _dropped(clip, "privacy", seen.reason, seen.score, details)
