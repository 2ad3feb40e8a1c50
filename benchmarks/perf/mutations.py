"""Files as accidents and editors leave them: sound ones, changed in a few places at random.

bytes -> flipped, cut, doubled, overwritten      any file
YAML or JSON -> other values, lost and new keys  configurations, records, manifests
csv -> other cells, lost and doubled rows        annotations, labels, captions
mp4 -> other fields and sizes of its boxes       headers; the pictures stay as they are
"""

from __future__ import annotations

import copy
import csv
import io
import json
from collections.abc import Callable, Iterator
from typing import Any

import yaml
from numpy.random import Generator

Mutation = Callable[[bytes, Generator], bytes]

NUMBERS = (0, 1, 255, 1 << 15, (1 << 31) - 1, 1 << 31, (1 << 32) - 1)  # that fields are made for
ODD_TEXTS = (
    "", " ", "-", "0", "-1", "1e999", "nan", "inf", "1,5", "９", "0x10", "1_000", "null", "~", "no",
    "../../up", "/", "/etc/hosts", "a/b", "CON", ".", "..", "\0", "\u2028", "\ufeff", "\ud800", "é",
    "{", "[[", "%s", "${HOME}", "<b>", "=1+1", '"', "'", "#", ": ", "- a", "2024-99-99", "&a", "*a",
    "!!python/name:os.system", "9" * 5000, "a" * 300, "x" * 100_000,
)  # fmt: skip
ODD_VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2, 3, 7, 10**6, 10**30, -(10**30), 0.5, 1e-320, 1e308,
    float("nan"), float("inf"), [], {}, [None], [[]], {"": None}, {"kind": "x"}, [0, 1, 2],
)  # fmt: skip
# Of mp4: a box is its size, its name and its content, which is boxes again for these.
CONTAINERS = frozenset((b"moov", b"trak", b"mdia", b"minf", b"stbl", b"edts", b"dinf", b"udta"))
HEAD = 8


def pick(rng: Generator, items: Any) -> Any:
    """One of a sequence, as it is."""
    return items[int(rng.integers(len(items)))]


def few(rng: Generator) -> int:
    """How many changes: mostly one."""
    return int(rng.geometric(0.5))


def any_bytes(data: bytes, rng: Generator) -> bytes:
    """The bytes with a few places flipped, cut, doubled, overwritten, or the end lost."""
    changed = bytearray(data)
    for _ in range(few(rng)):
        first = int(rng.integers(len(changed) + 1))
        last = min(len(changed), first + int(rng.integers(1, 33)))
        kind = int(rng.integers(6))
        if kind == 0 and first < len(changed):
            changed[first] ^= 1 << int(rng.integers(8))
        elif kind == 1:
            changed[first:last] = rng.bytes(last - first)
        elif kind == 2:
            del changed[first:last]
        elif kind == 3:
            changed[first:first] = changed[first:last]
        elif kind == 4:
            changed[first:first] = pick(rng, ODD_TEXTS).encode(errors="surrogatepass")
        else:
            del changed[first:]
    return bytes(changed)


def _places(tree: Any) -> list[tuple[Any, Any]]:
    """Every (mapping or list, key or index) below a tree."""
    found = []
    todo = [tree]
    for node in todo:
        keys = list(node) if isinstance(node, dict) else range(len(node))
        found += [(node, key) for key in keys]
        todo += [node[key] for key in keys if isinstance(node[key], (dict, list)) and node[key]]
    return found


def _changed_tree(tree: Any, rng: Generator) -> Any:
    tree = copy.deepcopy(tree)
    for _ in range(few(rng)):
        places = _places(tree) if isinstance(tree, (dict, list)) else []
        if not places:
            return pick(rng, ODD_VALUES)
        node, key = pick(rng, places)
        kind = int(rng.integers(6))
        if kind == 0:
            del node[key]
        elif kind == 1 and isinstance(node, dict):
            node[pick(rng, ODD_TEXTS)] = node.pop(key)
        elif kind == 2:
            other, there = pick(rng, places)
            node[key] = copy.deepcopy(other.get(there) if isinstance(other, dict) else other[there])
        elif kind == 3 and isinstance(node[key], (int, float)) and node[key] == node[key]:
            node[key] = node[key] * pick(rng, (-1, 0, 10, 0.5, 1e9))
        else:
            node[key] = pick(rng, ODD_TEXTS if kind == 4 else ODD_VALUES)
    return tree


def json_file(data: bytes, rng: Generator) -> bytes:
    """JSON with other values, or other bytes; of JSON lines a few lines."""
    if rng.random() < 0.3:
        return any_bytes(data, rng)
    try:
        return json.dumps(_changed_tree(json.loads(data), rng), indent=2).encode()
    except json.JSONDecodeError:
        lines = data.decode().splitlines()
        for _ in range(few(rng)):
            place = int(rng.integers(len(lines)))
            lines[place] = json.dumps(_changed_tree(json.loads(lines[place]), rng))
            if rng.random() < 0.2:
                lines.insert(place, pick(rng, lines))
        return "\n".join(lines).encode() + b"\n"


def yaml_file(data: bytes, rng: Generator) -> bytes:
    """YAML with other values, or other bytes."""
    if rng.random() < 0.3:
        return any_bytes(data, rng)
    tree = _changed_tree(yaml.safe_load(data), rng)
    text = yaml.safe_dump(tree, allow_unicode=True, sort_keys=False)
    return text.encode(errors="surrogatepass")


def csv_file(data: bytes, rng: Generator) -> bytes:
    """A table with other cells and rows, or other bytes."""
    if rng.random() < 0.3:
        return any_bytes(data, rng)
    rows = list(csv.reader(io.StringIO(data.decode("utf-8-sig"))))
    for _ in range(few(rng)):
        row = int(rng.integers(len(rows)))
        cell = int(rng.integers(max(1, len(rows[row]))))
        kind = int(rng.integers(6))
        if kind == 0 and len(rows) > 1:
            del rows[row]
        elif kind == 1:
            rows.insert(row, list(pick(rng, rows)))
        elif kind == 2:
            del rows[row][cell : cell + 1]
        else:
            texts = ODD_TEXTS if kind < 5 else [each for other in rows for each in other]
            rows[row][cell : cell + 1] = [pick(rng, texts)]
    text = io.StringIO()
    csv.writer(text, delimiter=pick(rng, ",,,;\t")).writerows(rows)
    return text.getvalue().encode(pick(rng, ("utf-8", "utf-8-sig", "utf-16")), "surrogatepass")


def _boxes(data: bytes, first: int, last: int) -> Iterator[tuple[int, int]]:
    """(first, last) of every box of an mp4 file between two places, the inner ones as well."""
    while first + HEAD <= last:
        size = int.from_bytes(data[first : first + 4], "big")
        if size < HEAD:
            return
        yield first, min(first + size, last)
        if data[first + 4 : first + HEAD] in CONTAINERS:
            yield from _boxes(data, first + HEAD, min(first + size, last))
        first += size


def mp4_header(data: bytes, rng: Generator) -> bytes:
    """An mp4 file with other fields, sizes and names of boxes, or boxes lost, doubled or cut."""
    changed = bytearray(data)
    for _ in range(few(rng)):
        found = _boxes(bytes(changed), 0, len(changed))
        headers = [box for box in found if changed[box[0] + 4 : box[0] + HEAD] != b"mdat"]
        if not headers:
            return any_bytes(bytes(changed), rng)
        first, last = pick(rng, headers)
        kind = int(rng.integers(8))
        if kind < 4:
            place = int(rng.integers(first, max(first + 1, last - 3)))
            changed[place : place + 4] = int(pick(rng, NUMBERS)).to_bytes(4, "big")
        elif kind == 4:
            changed[int(rng.integers(first, last))] ^= 1 << int(rng.integers(8))
        elif kind == 5:
            changed[first : first + 4] = int(rng.integers(0, 2 * len(data))).to_bytes(4, "big")
        elif kind == 6:
            changed[first:last] = pick(rng, (b"", bytes(changed[first:last]) * 2))
        else:
            del changed[int(rng.integers(first, last)) :]
    return bytes(changed)
