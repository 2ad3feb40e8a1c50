"""Every field that a configuration can set says beneath itself what it means."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from typing import Any, Literal, get_args, get_origin

import pydantic

from benchmarks.config.schema import BenchmarkConfig, GeneratorSections
from benchmarks.pretraining.config import PretrainConfig
from classifiers.mvit_v2 import MViTv2
from generator.curation.endpoint import Endpoint
from tests.test_house import HOUSE

Model = type[pydantic.BaseModel]


def models_in(annotation: Any) -> Iterator[Model]:
    """The models that a field's type names, and the kinds of each that it can be."""
    if isinstance(annotation, type) and issubclass(annotation, pydantic.BaseModel):
        yield annotation
        for kind in annotation.__subclasses__():
            if kind.__module__.partition(".")[0] in HOUSE:  # no test's
                yield from models_in(kind)
    for part in get_args(annotation):
        yield from models_in(part)


def reachable() -> set[Model]:
    """The models that the configurations are made of, and those that these inherit from."""
    found: set[Model] = set()
    waiting: list[Model] = [BenchmarkConfig, PretrainConfig]
    while waiting:
        model = waiting.pop()
        if model in found or model.__module__.partition(".")[0] not in HOUSE:
            continue
        found.add(model)
        waiting += [base for base in model.__mro__ if issubclass(base, pydantic.BaseModel)]
        for field in model.model_fields.values():
            waiting += models_in(field.annotation)
    return found - {GeneratorSections}  # made of the families; each section is one of `found`


def bare_fields(model: Model) -> list[str]:
    """The fields that the model brings in without a docstring; a `kind` of one value needs none."""
    (tree,) = ast.parse(inspect.getsource(model)).body
    assert isinstance(tree, ast.ClassDef)
    inherited = {name for base in model.__bases__ for name in getattr(base, "model_fields", ())}
    own = model.model_fields.keys() - inherited
    found = []
    for statement, following in zip(tree.body, [*tree.body[1:], None], strict=True):
        if not isinstance(statement, ast.AnnAssign) or not isinstance(statement.target, ast.Name):
            continue
        match following:
            case ast.Expr(ast.Constant(str())):
                continue
        name = statement.target.id
        if name in own and not has_one_value(model.model_fields[name].annotation):
            found.append(name)
    return found


def has_one_value(annotation: Any) -> bool:
    return get_origin(annotation) is Literal and len(get_args(annotation)) == 1


def test_every_field_of_a_configuration_has_a_docstring() -> None:
    models = reachable()
    # Behind a union of kinds, a family of networks, and a setting of a setting.
    assert {Endpoint, MViTv2} < models and len(models) > 50
    bare = {model.__qualname__: bare_fields(model) for model in models}
    assert {name: fields for name, fields in bare.items() if fields} == {}


class _Bare(pydantic.BaseModel):
    told: int = 1
    """What it is."""
    bare: int = 2
    kind: Literal["bare"] = "bare"
    open: Literal["a", "b"] = "a"


class _Heir(_Bare):
    told: int = 3
    own: int = 4


def test_a_bare_field_is_found() -> None:
    assert bare_fields(_Bare) == ["bare", "open"]
    assert bare_fields(_Heir) == ["own"]
