"""Configurations as files: YAML with one `extends:` parent, `--set a.b=c`, faults in one line.

file -> merged mapping -> overrides -> validated (`benchmarks/config/schema.py`)
"""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar

import pydantic
import yaml

from benchmarks.config.schema import BenchmarkConfig
from core.errors import UserError, did_you_mean

CONFIG_ROOT = Path(__file__).parents[1] / "configs"
LOADER = yaml.loader.SafeLoader  # the C one that a stage uses dies of a thousand open brackets
RENAMED = {"optimizer": "optimiser", "learning_rate": "lr"}
M = TypeVar("M", bound=pydantic.BaseModel)


def config_names() -> list[str]:
    """Names of the configurations that come with the suite (a leading _ marks a parent)."""
    found = (path.relative_to(CONFIG_ROOT).with_suffix("") for path in CONFIG_ROOT.rglob("*.yaml"))
    return sorted(path.as_posix() for path in found if not path.name.startswith("_"))


def load_yaml(name: str, below: Sequence[Path] = ()) -> dict[str, Any]:
    """The merged mapping of a configuration by name or path.  Args: below: those that extend it.

    Raises: UserError: naming the file and the fault.
    """
    path = Path(name)
    if path.suffix not in (".yaml", ".yml"):
        path = CONFIG_ROOT / f"{name}.yaml"
        if not path.is_file():
            raise UserError(
                f"--config {name}: no such configuration; {did_you_mean(name, config_names())}"
            )
    if not path.is_file():
        raise UserError(f"--config {path}: no such file")
    if path in below:
        raise UserError(f"--config {path}: extends itself: name another parent")
    try:
        own = yaml.load(path.read_text(encoding="utf-8-sig"), LOADER)
    except UnicodeDecodeError as error:
        fault = f"byte {error.start} is not UTF-8: save it as UTF-8"
        raise UserError(f"--config {path}: {fault}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # 2024-99-99 is no YAMLError
        raise UserError(f"--config {path}: not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(own, dict):
        raise UserError(f"--config {path}: expected keys and values")
    parent = own.pop("extends", None)
    return own if parent is None else merge(load_yaml(str(parent), (*below, path)), own)


def merge(parent: dict[str, Any], child: dict[str, Any]) -> dict[str, Any]:
    """`child` over `parent`; mappings merge key by key, unless their `kind` differs."""
    merged = dict(parent)
    for key, value in child.items():
        old = merged.get(key)
        same_kind = (
            isinstance(old, dict)
            and isinstance(value, dict)
            and value.get("kind", old.get("kind")) == old.get("kind")
        )
        merged[key] = merge(old, value) if same_kind else value  # type: ignore[arg-type]
    return merged


def apply_override(config: dict[str, Any], assignment: str) -> None:
    """Apply one `a.b=c` (c is YAML) in place.  Raises: UserError: if it has another form."""
    path, separator, text = assignment.partition("=")
    if not separator or not all(path.split(".")):
        raise UserError(f"--set {assignment}: expected a.b=value")
    try:
        value = yaml.load(text, LOADER)
    except (yaml.YAMLError, ValueError, RecursionError):
        raise UserError(f"--set {assignment}: the value is not YAML") from None
    _put(config, path, value, f"--set {assignment}")


def _put(config: dict[str, Any], path: str, value: Any, asked: str) -> None:
    *sections, last = path.split(".")
    place = config
    for key in sections:
        place = place.setdefault(key, {})
        if not isinstance(place, dict):
            raise UserError(f"{asked}: {key!r} holds a value, not a section")
    place[last] = value


def row_settings(rows: Sequence[str]) -> dict[str, Any]:
    """What `--rows NAME ... NAME=DIR ...` sets: the generators' rows, where any is named, and the
    folders that take a row's place.

    Raises: UserError: if a folder has no name, or two have one.
    """
    folders: dict[str, str] = {}
    for row in (row for row in rows if "=" in row):
        name, _, folder = row.partition("=")
        if not name or not folder or name in folders:
            raise UserError(f"--rows {row}: expected NAME=DIR, with each name once")
        folders[name] = folder
    found: dict[str, Any] = {"quality.folders": folders} if folders else {}
    if named := [row for row in rows if "=" not in row]:
        found["quality.rows"] = named
    return found


def load_config(name: str, overrides: Sequence[str] = ()) -> BenchmarkConfig:
    """The configuration of a benchmark.  Raises: as `load_as`."""
    return load_as(BenchmarkConfig, name, overrides)


def load_as(model: type[M], name: str, overrides: Sequence[str] = ()) -> M:
    """Read, merge, override and validate.  Raises: UserError: one line, with field and cure."""
    raw = load_yaml(name)
    for assignment in overrides:
        apply_override(raw, assignment)
    try:
        return model.model_validate(raw)
    except pydantic.ValidationError as error:
        raise UserError(f"--config {name}: {explain(error, model)}") from None


def changed(config: BenchmarkConfig, settings: Mapping[str, Any]) -> BenchmarkConfig:
    """A configuration with other values, validated again.

    Args: settings: values by their paths, as {"classifiers.slowfast.recipe.epochs": 3}.
    Raises: UserError: one line, with field and cure.
    """
    raw = config.model_dump(mode="json")
    for path, value in settings.items():
        _put(raw, path, value, f"{config.name}, {path}")
    try:
        return BenchmarkConfig.model_validate(raw)
    except pydantic.ValidationError as error:
        raise UserError(f"{config.name}: {explain(error, BenchmarkConfig)}") from None


def explain(error: pydantic.ValidationError, model: type[pydantic.BaseModel]) -> str:
    """The first fault in one line; an unknown key comes with the nearest known one."""
    # A misspelt key leaves the right one out as well: that it is unknown says more.
    faults = error.errors()
    fault = next((each for each in faults if each["type"] == "extra_forbidden"), faults[0])
    location = [str(part) for part in fault["loc"]]
    field = ".".join(location) or "config"
    if fault["type"] == "extra_forbidden":
        if location[-1] in RENAMED:
            return f"unknown key {field!r}: its name is {RENAMED[location[-1]]!r}"
        known = known_keys(model, location[:-1])
        return f"unknown key {field!r}: {did_you_mean(location[-1], known)}"
    message = fault["msg"].removeprefix("Value error, ")
    value = "" if isinstance(fault["input"], dict) else f" (got {fault['input']!r})"
    return f"{field}: {message}{value}"


def known_keys(model: Any, location: Sequence[str]) -> list[str]:
    """Field names of the section at `location` below `model`."""
    models = _models_in(model)
    for part in location:
        children = [
            child
            for current in models
            for child in (
                _models_in(current.model_fields[part].annotation)
                if part in current.model_fields
                else []
            )
        ]
        # A dict's key or a union's tag is part of the location, but no field: stay where we are.
        models = children or models
    return sorted({name for current in models for name in current.model_fields})


def _models_in(annotation: Any) -> list[type[pydantic.BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, pydantic.BaseModel):
        return [annotation, *annotation.__subclasses__()]
    origin = typing.get_origin(annotation)
    if origin in (typing.Union, types.UnionType, Annotated, tuple, dict, list):
        return [model for part in typing.get_args(annotation) for model in _models_in(part)]
    return []
