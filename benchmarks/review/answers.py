"""Reading the files that reviewers send back: which count, and the faults of those that do not.

answers (JSON of each reviewer) + key -> scores
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydantic
from numpy.typing import NDArray

from benchmarks.review.kit import KEY_NAME, Key
from core.errors import UserError
from core.files import read_json


class Answers(pydantic.BaseModel, frozen=True, extra="forbid"):
    """A reviewer's file. scores: clip -> criterion -> level; seconds: spent on each clip."""

    kit: str
    rater: str = pydantic.Field(min_length=1)
    scores: dict[str, dict[str, int]]
    seconds: dict[str, float] = {}

    @property
    def number(self) -> int:
        """How many scores it holds."""
        return sum(map(len, self.scores.values()))

    @property
    def reviewer(self) -> str:
        """Whose it is, however the name was typed."""
        return " ".join(unicodedata.normalize("NFKC", self.rater).casefold().split())


@dataclass(frozen=True)
class Review:
    """All that counts. scores: (raters, clips, criteria), NaN where none was given. faults: what is
    wrong with files that do not count; notes: with those that do."""

    key: Key
    raters: tuple[str, ...]
    scores: NDArray[np.float64]
    faults: tuple[str, ...]
    notes: tuple[str, ...]


def load_key(kit: Path) -> Key:
    """Raises: UserError: if the folder holds no kit."""
    try:
        return Key.model_validate(read_json(kit / KEY_NAME))
    except pydantic.ValidationError as error:
        raise UserError(f"{kit / KEY_NAME}: not the key of a kit: {error}") from None


def read_answers(key: Key, files: Sequence[Path]) -> Review:
    """Check every file and put the scores together.

    UTF-8 and UTF-16 are read, with a byte order mark or without. A file of another kit, with
    unknown clips or levels, or with the scores of another file does not count; an incomplete one
    does. Of several files of one reviewer (names compared without case and outer spaces) the one
    with most scores counts, of equally full ones the one with most time.
    Raises: UserError: if none counts.
    """
    faults: dict[Path, str] = {}
    sound: dict[Path, Answers] = {}
    for path in files:
        try:
            answers = _read(path)
        except UserError as error:
            faults[path] = f"not a reviewer's file ({error})"
            continue
        fault = _fault(key, answers)
        if fault:
            faults[path] = fault
        else:
            sound[path] = answers
    counted = _one_a_reviewer(sound, faults)
    named = tuple(f"{path}: {faults[path]}" for path in dict.fromkeys(files) if path in faults)
    if not counted:
        raise UserError("\n".join(["no reviewer's file counts", *named]))
    notes = [f"{path}: {gap}" for path, answers in counted.items() if (gap := _gap(key, answers))]
    scores = np.stack([_scores(key, answers) for answers in counted.values()])
    raters = tuple(answers.rater for answers in counted.values())
    return Review(key, raters, scores, named, tuple(notes))


def _read(path: Path) -> Answers:
    """Raises: UserError: if the file cannot be read or is none of the page's."""
    try:
        # Bytes: json tells UTF-8, UTF-16 and UTF-32 apart, which mail programs and editors change.
        return Answers.model_validate(json.loads(path.read_bytes()))
    except OSError as error:
        raise UserError(str(error.strerror).lower()) from None
    except UnicodeDecodeError as error:
        raise UserError(f"byte {error.start} is not UTF-8: save it as UTF-8") from None
    except (ValueError, RecursionError) as error:
        raise UserError(str(error).splitlines()[0]) from None


def _fault(key: Key, answers: Answers) -> str:
    if answers.kit != key.kit:
        return f"of kit {answers.kit}, not {key.kit}"
    known, levels = {item.id for item in key.items}, len(key.criteria.levels)
    criteria = {criterion.id for criterion in key.criteria.criteria}
    for clip, scores in answers.scores.items():
        if clip not in known:
            return f"clip {clip!r} is not in the kit"
        for criterion, level in scores.items():
            if criterion not in criteria or not 0 <= level < levels:
                return f"clip {clip!r}: {criterion} {level} is no score of this kit"
    return ""


def _one_a_reviewer(sound: Mapping[Path, Answers], faults: dict[Path, str]) -> dict[Path, Answers]:
    """The files that count, in the given order; what is wrong with the others goes to `faults`."""

    def fullness(path: Path) -> tuple[int, float]:
        return sound[path].number, sum(sound[path].seconds.values())

    best: dict[str, Path] = {}
    counted: list[Path] = []
    # The sort is stable: of equally full files the first one counts.
    for path in sorted(sound, key=fullness, reverse=True):
        answers = sound[path]
        twin = next((other for other in counted if sound[other].scores == answers.scores), None)
        fuller = best.get(answers.reviewer)
        if twin is not None and answers.scores:
            faults[path] = f"the same scores as in {twin}"
        elif fuller is not None:
            faults[path] = (
                f"reviewer {answers.rater!r} is in {fuller}, which counts: it holds "
                f"{sound[fuller].number} scores, this one {answers.number}"
            )
        else:
            best[answers.reviewer] = path
            counted.append(path)
    return {path: answers for path, answers in sound.items() if path in counted}


def _gap(key: Key, answers: Answers) -> str:
    """What is missing in a file, "" if nothing is."""
    criteria = len(key.criteria.criteria)
    wanted = len(key.items) * criteria
    if answers.number == wanted:
        return ""
    clips = sum(len(answers.scores.get(item.id, {})) < criteria for item in key.items)
    return f"incomplete, {wanted - answers.number} scores of {clips} clips missing"


def _scores(key: Key, answers: Answers) -> NDArray[np.float64]:
    return np.array(
        [
            [answers.scores.get(item.id, {}).get(c.id, np.nan) for c in key.criteria.criteria]
            for item in key.items
        ],
        dtype=np.float64,
    )
