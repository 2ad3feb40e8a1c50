"""The taxonomy that a configuration names: its classes and its prompts, checked together."""

from __future__ import annotations

from augment.prompts import PromptBook
from benchmarks.datasets.labels import Task, Taxonomy


def named_taxonomy(name: str) -> Taxonomy:
    """One that comes with the suite, by its name, or a file.

    Raises: UserError: if the file is no taxonomy or its prompts no prompts. ValueError: for a class
    without prompts that is not promptless, and for prompts of a class that is not there.
    """
    taxonomy = Taxonomy.load(name)
    book = PromptBook.load(taxonomy.path)
    leaf: Task = "operation" if "operation" in taxonomy.classes else "phase"
    for leaf_id in book.operations:
        if not 0 <= leaf_id < taxonomy.num_classes(leaf):
            raise ValueError(f"taxonomy {name}: prompts of {leaf} {leaf_id}: no such class")
    for task in taxonomy.classes:
        for class_id in book.silent(task, taxonomy.leaves_of(task)):
            raise ValueError(
                f"taxonomy {name}: {task} {taxonomy.names(task)[class_id]!r}: no prompts: give one "
                "at least, or say promptless: true"
            )
    return taxonomy
