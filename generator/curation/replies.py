"""What a chat model sends back -> its answer: thoughts, markup and polite openings taken off.

content -> thoughts removed -> fences, emphasis, "Sure, here is ...:" and quotes removed -> answer

Source of the marks: the chat templates of Qwen3, DeepSeek-R1, Magistral, Kimi, Seed-OSS, MedGemma
and gpt-oss; a server that does not part thoughts from answers sends them as they stand there.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

_NAMES = r"(?:\w+:)?(?:think|thinking|thoughts?|reasoning|reflection|analysis|scratchpad)"
_OPEN = (
    rf"(?:<{_NAMES}>|\[THINK\]|◁think▷|<unused94>(?:thought)?|<\|begin_of_thought\|>"
    r"|<\|channel\|>analysis<\|message\|>|(?-i:\Aanalysis(?=[A-Z])))"
)
_CLOSE = (
    rf"(?:</{_NAMES}>|\[/THINK\]|◁/think▷|<unused95>|<\|end_of_thought\|>"
    r"|<\|channel\|>final<\|message\|>|assistantfinal)"
)
_FLAGS = re.IGNORECASE | re.DOTALL
_BLOCK = re.compile(rf"{_OPEN}.*?{_CLOSE}", _FLAGS)
_TO_THE_LAST_CLOSE = re.compile(rf"\A.*{_CLOSE}", _FLAGS)
_FROM_AN_OPEN = re.compile(rf"{_OPEN}.*\Z", _FLAGS)
_FRAME = re.compile(
    r"<\|[\w ]*\|>|</?(?:final_?)?(?:answer|output|response|instruction|solution)>", re.IGNORECASE
)
_FENCED = re.compile(r"```[\w-]*[ \t]*\n?(.*?)```", re.DOTALL)
_LINE_MARK = re.compile(r"^[ \t]*(?:#+|>|[-*•])[ \t]+", re.MULTILINE)
_EMPHASIS = re.compile(r"\*\*|__|`|(?<!\w)[*_](?=\S)|(?<=\S)[*_](?!\w)")
_OPENING = re.compile(
    r"\A(?=[^:\n]*\b(?:here(?:'s|’s)?|below|instruction|answer|caption|version|output|response)\b)"
    r"(?:sure|certainly|of course|absolutely|okay|ok|great|here|below|the|my|final|refined"
    r"|rewritten|instruction|answer|caption|output|response)\b[^:\n]{0,120}:\s*",
    re.IGNORECASE,
)
_POLITE = re.compile(r"\A(?:sure|certainly|of course|absolutely)[,.!]+\s+", re.IGNORECASE)
_QUOTES = {'"': '"', "'": "'", "“": "”", "‘": "’", "«": "»"}

THOUGHTS_ALONE = "thoughts and no answer"


@dataclass(frozen=True)
class Reply:
    """text: the answer, "" if there is none. missing: what came in its place. cut: whether it ends
    where the tokens did."""

    text: str = ""
    missing: str = ""
    cut: bool = False


def reply_of(message: dict[str, Any], finish_reason: str | None) -> Reply:
    """The reply in a chat completion's `message`."""
    content, cut = message.get("content"), finish_reason == "length"
    if isinstance(content, list):  # parts, thoughts among them
        texts = [part.get("text") for part in content if isinstance(part, dict)]
        content = "".join(text for text in texts if isinstance(text, str)) or None
    thought = message.get("reasoning_content") or message.get("reasoning")
    if isinstance(content, str) and (content.strip() or not (thought or cut)):
        return reply_from(content, cut=cut)
    return Reply(
        missing=THOUGHTS_ALONE if thought else f"no content (finish {finish_reason})", cut=cut
    )


def reply_from(content: str, *, cut: bool = False) -> Reply:
    """The reply in a model's own text."""
    spoken = without_thoughts(content)
    if content.strip() and not spoken:
        return Reply(missing=THOUGHTS_ALONE, cut=cut)
    return Reply(text=plain(spoken), cut=cut)


def without_thoughts(content: str) -> str:
    """What stands outside of thoughts; templates write the opening mark, so it may be missing."""
    text = _BLOCK.sub("", content)
    text = _TO_THE_LAST_CLOSE.sub("", text)
    text = _FROM_AN_OPEN.sub("", text)
    return _FRAME.sub("", text).strip()


def plain(text: str) -> str:
    """An answer without Markdown, an opening that presents it, and quotes around it."""
    fenced = _FENCED.findall(text)
    if len(fenced) == 1:
        text = fenced[0]
    text = _EMPHASIS.sub("", _LINE_MARK.sub("", text)).strip()
    text = _POLITE.sub("", _OPENING.sub("", text)).strip()
    if len(text) > 1 and _QUOTES.get(text[0]) == text[-1] and text[0] not in text[1:-1]:
        text = text[1:-1].strip()
    return text
