"""What curating a corpus takes, for `--dry-run`: hours at a rate measured on a few of its clips,
and the calls and tokens of a language model.

Tokens are estimated: four letters make one (English, Qwen's and GPT's tokenizers alike), and
Qwen2.5-VL makes one of 28x28 pixels (arXiv 2502.13923, Sec. 2.1). Clips that a step before removes
are counted as if they came through, so every figure is an upper bound.
"""

from __future__ import annotations

import itertools
import json
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.datasets.simulated import SimulatedCorpus
from core.clip import Clip, Manifest
from core.errors import UnreadableVideo
from core.stage import ClipStage
from core.video import probe
from generator.curation.chat import ANSWERS_NAME
from generator.curation.endpoint import Endpoint
from generator.curation.journal import Journal
from generator.curation.narrated import NarratedFolder, list_narrated
from generator.curation.privacy import OpenAIPrivacy
from generator.curation.refine import OpenAIRefine, RulesRefine, prompt
from generator.curation.stages import Curation, PrivacyFilter, judge_by_ocr, look_at, span_of

MEASURED = 4  # clips
LETTERS_PER_TOKEN = 4
ANSWER_TOKENS = 40  # of an instruction; a yes or no takes 2
PIXELS_PER_TOKEN = 28 * 28


@dataclass(frozen=True)
class Corpus:
    """How many clips at most come to a stage, and some of those whose files are there already."""

    clips: int
    sample: list[tuple[Clip, Path]]


def curation_cost(stage: Curation | PrivacyFilter) -> str:
    """One line for the plan's table: clips, hours, and for a language model calls and tokens."""
    source = stage.narrated if isinstance(stage, Curation) else stage.clips
    corpus = corpus_of(source)
    if corpus is None:
        return ""
    parts = [f"at most {corpus.clips:,} clips"]
    if isinstance(stage, Curation):
        parts.append(_frames_cost(stage, corpus))
        if not isinstance(stage.refine, RulesRefine):
            endpoint = stage.refine.endpoint if isinstance(stage.refine, OpenAIRefine) else None
            tokens = _caption_tokens(corpus)
            answers = Journal.read(stage.folder / ANSWERS_NAME) if stage.is_begun() else []
            parts.append(_calls_cost(corpus.clips, tokens, ANSWER_TOKENS, endpoint, answers))
    elif isinstance(stage.privacy, OpenAIPrivacy):
        calls, tokens = _frame_calls(stage, corpus)
        answers = Journal.read(stage.folder / ANSWERS_NAME) if stage.is_begun() else []
        parts.append(_calls_cost(calls, tokens, 2, stage.privacy.endpoint, answers))
    else:
        parts.append(_ocr_cost(stage, corpus))
    return "; ".join(part for part in parts if part)


def model_calls(stage: Curation | PrivacyFilter, clips: int) -> int:
    """Calls of a language model that filtering so many clips takes, at most; of frames, as many a
    clip as the clips at hand have, else one."""
    if isinstance(stage, Curation):
        return 0 if isinstance(stage.refine, RulesRefine) else clips
    if not isinstance(stage.privacy, OpenAIPrivacy):
        return 0
    corpus = corpus_of(stage.clips)
    return _frame_calls(stage, Corpus(clips, corpus.sample if corpus else []))[0]


def corpus_of(source: ClipStage) -> Corpus | None:
    """What is known of a corpus before it is curated; None: nothing."""
    if source.is_done():
        return _listed(source.manifest())
    if isinstance(source, Curation):
        return corpus_of(source.narrated)
    if isinstance(source, NarratedFolder):
        listing = list_narrated(source.root)
        found = [
            (
                Clip(clip_id=i, video_id=i, path=i, caption=listing.captions[i], source="folder"),
                path,
            )
            for i, path in itertools.islice(listing.paths.items(), MEASURED)
        ]
        return Corpus(len(listing.captions), found)
    return Corpus(source.num_clips, []) if isinstance(source, SimulatedCorpus) else None


def _listed(manifest: Manifest) -> Corpus:
    first = manifest.clips[:MEASURED]
    return Corpus(len(manifest.clips), [(clip, manifest.path_of(clip)) for clip in first])


def _frames_cost(stage: Curation, corpus: Corpus) -> str:
    start = time.monotonic()
    for clip, path in corpus.sample:
        look_at(span_of(clip, path), stage.dynamics, stage.resolution)
    return _hours(time.monotonic() - start, corpus, stage.runtime.workers)


def _ocr_cost(stage: PrivacyFilter, corpus: Corpus) -> str:
    assert not isinstance(stage.privacy, OpenAIPrivacy)
    spans = [span_of(clip, path) for clip, path in corpus.sample]
    for span in spans[:1]:  # loads the reader, which a run does once
        judge_by_ocr(span, stage.privacy)
    start = time.monotonic()
    for span in spans:
        judge_by_ocr(span, stage.privacy)
    return _hours(time.monotonic() - start, corpus, stage.runtime.workers)


def _hours(seconds: float, corpus: Corpus, workers: int) -> str:
    if not corpus.sample:
        return ""
    each = seconds / len(corpus.sample)
    hours = corpus.clips * each / workers / 3600
    return (
        f"{hours:,.2f} hours in {workers} processes ({each:.3f} s a clip, measured on "
        f"{len(corpus.sample)})"
    )


def _caption_tokens(corpus: Corpus) -> float:
    letters = [len(json.dumps(prompt(clip.caption or ""))) for clip, _ in corpus.sample]
    return sum(letters or [len(json.dumps(prompt("")))]) / max(len(letters), 1) / LETTERS_PER_TOKEN


def _frame_calls(stage: PrivacyFilter, corpus: Corpus) -> tuple[int, float]:
    """Frames to ask about, and tokens of each."""
    frames, pixels = [], []
    for clip, path in corpus.sample:
        try:
            info = probe(path)
            span = info.timeline.span(clip.start_s, clip.end_s)
        except UnreadableVideo:
            continue
        frames.append(len(info.timeline.middles(*span, stage.privacy.frames_per_s)))
        pixels.append(info.width * info.height)
    if not frames:
        return corpus.clips, 0.0
    calls = math.ceil(corpus.clips * sum(frames) / len(frames))
    return calls, sum(pixels) / len(pixels) / PIXELS_PER_TOKEN


def _calls_cost(
    calls: int,
    tokens_in: float,
    tokens_out: float,
    endpoint: Endpoint | None,
    answers: Sequence[dict[str, object]],
) -> str:
    asked, answered = (calls * tokens / 1e6 for tokens in (tokens_in, tokens_out))
    cost = f"{calls:,} calls, {asked:,.1f} + {answered:,.1f} M tokens"
    seconds = [float(str(answer["seconds"])) for answer in answers if "seconds" in answer]
    limit = endpoint.requests_per_minute if endpoint else None
    if not seconds and limit is None:
        return f"{cost} (hours are known after the first answers)"
    pace = 60 / limit if limit else 0.0
    if seconds:
        lanes = endpoint.concurrency if endpoint else 1
        pace = max(pace, sum(seconds) / len(seconds) / lanes)
    basis = f"measured on {len(seconds)} answers" if seconds else "at the rate limit"
    return f"{cost}, {calls * pace / 3600:,.2f} hours ({basis})"
