"""Narrative refining by rules: keep what the operation shows, drop what is said around it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from generator.curation.text import Match, find_terms, sentences, surgical_weight

# A sentence of surgery names a tissue or instrument (2) and what is done (1). Source: our choice.
MIN_WEIGHT = 3
_BREAK = re.compile(r"\s*(?:[,;:()]|—|–|\s-{1,2}\s|\.{2,}|…)\s*")
_EDGE_WORDS = re.compile(
    r"^(?:(?:and|but|or|so|that|which|while|as|because|with|to|of|the|a)\s+)*$", re.IGNORECASE
)
_REPORTING = re.compile(r"\b(?:that|how)\s+", re.IGNORECASE)
_DANGLING = re.compile(
    r"(?:\s+(?:and|but|or|so|that|which|while|as|because|to|of|the|a|is|are|how|where|what))+$",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class _Sentence:
    """What is left of one sentence; `pure` if nothing said around the operation was cut out."""

    text: str
    weight: int
    pure: bool


def refine_by_rules(caption: str) -> str:
    """The operation's description in `caption`, or "" if no part of it reads like one.

    sentences -> clauses -> talk cut out, clauses without surgery dropped -> sentences weighed.
    Source: our choice; stands in for the paper's LLM where none is configured.
    """
    found = sentences(caption)
    kept: list[_Sentence] = []
    for least in (MIN_WEIGHT, 1):  # a caption of few surgical words: take what it has
        kept = kept or [part for part in (_trim(item, least) for item in found) if part]
    best = max((part.weight for part in kept), default=0)
    # A sentence that had to be cut is kept only if it says about as much as the best one.
    chosen = [part for part in kept if part.weight >= (0.4 if part.pure else 0.6) * best]
    return " ".join(_finish(part.text) for part in chosen)


def _trim(sentence: str, least: int) -> _Sentence | None:
    if any(term.kind == "heavy" for term in find_terms(sentence)):
        return _rescue(sentence)
    return _join(_clauses(sentence), least)


def _rescue(sentence: str) -> _Sentence | None:
    # "Remember to subscribe, and now forceps tear the capsule": the clauses without heavy talk.
    safe = [(_reported(clause), separator) for clause, separator in _clauses(sentence)]
    clauses = [clause for clause in safe if surgical_weight(clause[0]) >= MIN_WEIGHT]
    joined = _join(clauses, MIN_WEIGHT)
    return None if joined is None else _Sentence(joined.text, joined.weight, pure=False)


def _reported(clause: str) -> str:
    """The clause, if nobody talks in it; what follows "that" or "how", if someone only says so."""
    heavy = [term.end for term in find_terms(clause) if term.kind == "heavy"]
    if not heavy:
        return clause
    after = [word.end() for word in _REPORTING.finditer(clause) if word.end() > max(heavy)]
    return clause[after[0] :] if after else ""


def _clauses(sentence: str) -> list[tuple[str, str]]:
    """(clause, the separator after it) pairs."""
    clauses, start = [], 0
    for separator in _BREAK.finditer(sentence):
        clauses.append((sentence[start : separator.start()], separator.group().strip()))
        start = separator.end()
    return [*clauses, (sentence[start:], "")]


def _join(clauses: list[tuple[str, str]], least: int) -> _Sentence | None:
    kept: list[tuple[str, str]] = []
    cut = False
    for clause, separator in clauses:
        text, was_cut = _without_talk(clause, least)
        cut |= was_cut
        if text:
            kept.append((text, separator))
    if cut or len(kept) < len(clauses):  # next to talk, an edge clause without surgery is talk too
        kept = _strip_edges(kept)
    if not kept:
        return None
    parts = [text + (f"{sep} " if sep in (",", ";", ":") else " ") for text, sep in kept]
    text = "".join(parts).strip(" ,;:")
    weight = surgical_weight(text)
    return _Sentence(text, weight, pure=not cut) if weight >= least else None


def _strip_edges(clauses: list[tuple[str, str]]) -> list[tuple[str, str]]:
    while clauses and not surgical_weight(clauses[0][0]):
        clauses = clauses[1:]
    while clauses and not surgical_weight(clauses[-1][0]):
        clauses = clauses[:-1]
    return clauses


def _without_talk(clause: str, least: int) -> tuple[str, bool]:
    """The clause without fillers, openers and cut at mild talk; whether mild talk was there."""
    clause = _delete(clause, [term for term in find_terms(clause) if term.kind == "filler"])
    cuts = [term for term in find_terms(clause) if term.kind == "mild"]
    segments, start = [], 0
    for term in cuts:
        segments.append(clause[start : term.start])
        start = term.end
    segments.append(clause[start:])
    if not cuts:
        return _strip_openers(clause), False
    best = max(segments, key=surgical_weight)
    if surgical_weight(best) < least:
        return "", True
    return _DANGLING.sub("", _strip_openers(best)).strip(), True


def _delete(text: str, terms: list[Match]) -> str:
    for term in reversed(terms):
        text = text[: term.start] + text[term.end :]
    return " ".join(text.split())


def _strip_openers(clause: str) -> str:
    clause = clause.strip()
    terms = find_terms(clause)
    while terms and terms[0].start == 0 and terms[0].kind == "opener":
        clause = clause[terms[0].end :].lstrip(" ,")
        terms = find_terms(clause)
    return "" if _EDGE_WORDS.match(clause + " ") else clause


def _finish(text: str) -> str:
    text = re.sub(r"\s+([,;:.!?])", r"\1", text).strip(" ,;:")
    return text[0].upper() + text[1:] + ("" if text[-1] in ".!?" else ".")
