"""What a caption talks about: surgical terms and everyday speech, found with `lexicon.yaml`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

import yaml

Kind = Literal["strong", "weak", "filler", "opener", "mild", "heavy"]
WEIGHT = {"strong": 2, "weak": 1}

_LEXICON = Path(__file__).with_name("lexicon.yaml")
# Names of operations and diseases that no list can hold in full. Source: our choice.
_MEDICAL_WORD = re.compile(
    r"\b\w{3,}(?:ectomy|otomy|ostomy|plasty|rhexis|pexy|scopy|itis|oma|opathy)\b", re.IGNORECASE
)
_SENTENCE_END = re.compile(r"(?<=[.!?…])[\"')\]]*\s+(?=\S)|\n+")
_ABBREVIATION = re.compile(r"\b(Dr|Mr|Mrs|Ms|Prof|St|vs|approx|e\.g|i\.e)\.", re.IGNORECASE)
_INFLECTION = re.compile(r"(?:t?ing|es|(?<!s)s)$")
_PROTECTED_DOT = "\u2024"


@dataclass(frozen=True)
class Match:
    """A known term at text[start:end]."""

    start: int
    end: int
    kind: Kind
    stem: str  # the same for all inflections of a word

    @property
    def weight(self) -> int:
        return WEIGHT.get(self.kind, 0)


@cache
def _entries() -> dict[str, Kind]:
    data = yaml.safe_load(_LEXICON.read_text(encoding="utf-8"))
    kinds: list[tuple[Kind, list[str]]] = [
        ("strong", [term for group in data["strong"].values() for term in group]),
        ("weak", data["weak"]),
        ("heavy", data["talk"]["heavy"]),
        ("mild", data["talk"]["mild"]),
        ("filler", data["talk"]["fillers"]),
        ("opener", data["talk"]["openers"]),
    ]
    entries: dict[str, Kind] = {}
    for kind, terms in kinds:
        for term in terms:
            entries.setdefault(str(term), kind)
    return entries


@cache
def _scanner() -> tuple[re.Pattern[str], tuple[str, ...]]:
    # Longest first, so that "support ring" wins over "support" at the same place.
    terms = sorted(_entries(), key=lambda term: (-len(term.rstrip("*")), term))
    patterns = []
    for term in terms:
        body = re.escape(term.rstrip("*")).replace(r"\ ", r"\s+")
        plural = "s?" if _entries()[term] in WEIGHT else ""
        patterns.append(f"({body}{r'[a-z]*' if term.endswith('*') else plural})")
    text = "|".join(patterns)
    return re.compile(rf"(?<![\w'])(?:{text})(?![\w'])", re.IGNORECASE), tuple(terms)


def find_terms(text: str) -> list[Match]:
    """The lexicon's terms in `text`, in order, none overlapping."""
    pattern, terms = _scanner()
    straight = text.replace("’", "'")
    found = []
    for match in pattern.finditer(straight):
        term = terms[(match.lastindex or 1) - 1]
        stem = _INFLECTION.sub("", term.rstrip("*"))
        found.append(Match(match.start(), match.end(), _entries()[term], stem))
    return found


def surgical_terms(text: str) -> set[str]:
    """Stems of the surgical words in `text`, plus words formed like names of operations."""
    stems = {match.stem for match in find_terms(text) if match.weight}
    return stems | {word.lower() for word in _MEDICAL_WORD.findall(text)}


def surgical_weight(text: str) -> int:
    """Sum of the weights of the different surgical terms in `text`; 0 for small talk."""
    return sum({match.stem: match.weight for match in find_terms(text)}.values())


def sentences(text: str) -> list[str]:
    """`text` split at sentence ends and line breaks, white space normalised."""
    protected = _ABBREVIATION.sub(rf"\1{_PROTECTED_DOT}", text)
    parts = (" ".join(part.split()) for part in _SENTENCE_END.split(protected))
    return [part.replace(_PROTECTED_DOT, ".") for part in parts if part]
