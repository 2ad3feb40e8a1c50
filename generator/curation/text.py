"""What a caption talks about: surgical terms and everyday speech, found with `lexicon.yaml`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
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
_WORD = re.compile(r"\w+(?:'\w+)*")
_KEY_LETTERS = 3  # letters that the lexicon is looked up by
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


@dataclass(frozen=True)
class _Term:
    """One entry of the lexicon: its words, what stands between them, and how the last one ends."""

    words: tuple[str, ...]
    separators: tuple[str, ...]  # "" for white space, else "-" or "/"
    ending: Literal["", "s", "*"]  # exact, plural allowed, any
    kind: Kind
    stem: str

    def matches(self, words: list[re.Match[str]], first: int) -> bool:
        """Whether the term stands at words[first], given that its first word may do so."""
        last = first + len(self.words) - 1
        if last >= len(words):
            return False
        here = words[first : last + 1]
        between = (
            left.string[left.end() : right.start()].strip() for left, right in pairwise(here)
        )
        if tuple(between) != self.separators:
            return False
        spoken = [word.group().lower() for word in here]
        if spoken[:-1] != list(self.words[:-1]):
            return False
        end, wanted = spoken[-1], self.words[-1]
        if self.ending == "*":
            return end.startswith(wanted)
        return end == wanted or (self.ending == "s" and end == wanted + "s")


@cache
def _index() -> dict[str, tuple[_Term, ...]]:
    """Terms by the first letters of their first word, longest first."""
    data = yaml.safe_load(_LEXICON.read_text(encoding="utf-8"))
    kinds: list[tuple[Kind, list[str]]] = [
        ("strong", [term for group in data["strong"].values() for term in group]),
        ("weak", data["weak"]),
        ("heavy", data["talk"]["heavy"]),
        ("mild", data["talk"]["mild"]),
        ("filler", data["talk"]["fillers"]),
        ("opener", data["talk"]["openers"]),
    ]
    index: dict[str, list[_Term]] = {}
    for kind, entries in kinds:
        for entry in entries:
            body = entry.rstrip("*")
            ending: Literal["", "s", "*"] = "s" if kind in WEIGHT else ""
            words = tuple(_WORD.findall(body))
            separators = tuple(part.strip() for part in _WORD.split(body)[1:-1])
            term = _Term(
                words, separators, "*" if body != entry else ending, kind, _INFLECTION.sub("", body)
            )
            index.setdefault(words[0][:_KEY_LETTERS], []).append(term)
    return {
        key: tuple(sorted(terms, key=lambda term: -len(" ".join(term.words))))
        for key, terms in index.items()
    }


def find_terms(text: str) -> list[Match]:
    """The lexicon's terms in `text`, in order, none overlapping; the longest one at a place wins.

    Hyphens part words: "bent-tip" is "bent" and "tip".
    """
    words = list(_WORD.finditer(text.replace("’", "'")))
    index, found, first = _index(), [], 0
    while first < len(words):
        word = words[first].group().lower()
        keys = dict.fromkeys(word[:length] for length in range(_KEY_LETTERS, 0, -1))
        candidates = (term for key in keys for term in index.get(key, ()))
        term = next((term for term in candidates if term.matches(words, first)), None)
        if term is None:
            first += 1
            continue
        last = first + len(term.words) - 1
        found.append(Match(words[first].start(), words[last].end(), term.kind, term.stem))
        first = last + 1
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
