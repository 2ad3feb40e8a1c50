"""A taxonomy is one file: OphNet2024's says what it always said, a wrong one is refused."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from augment.arm import SOURCE
from augment.prompts import PromptBook, hash_of_prompts
from augment.synthesis import ClassSynthesis, SynthesisSettings, class_requests
from benchmarks.config.catalogue import catalogue
from benchmarks.config.files import load_config
from benchmarks.datasets.labels import (
    TASKS,
    TAXONOMY_ROOT,
    Taxonomy,
    default_taxonomy,
    taxonomy_names,
)
from benchmarks.plan import Inputs, Plan
from benchmarks.scoring.evaluation import evaluate
from core.errors import UserError
from tests.benchmarks.datasets.cataract_folders import cataract_101
from tests.benchmarks.scores import PROVENANCE, TRAINING
from tests.command import ROOT

PAGE = ROOT / "docs" / "own_labels.md"


def from_page(folder: Path) -> Path:
    """The taxonomy that the page shows, as a file."""
    text = PAGE.read_text(encoding="utf-8").split("```yaml\n")[1].split("```")[0]
    path = folder / "my_labels.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()[:16]


def test_the_default_is_the_table_of_ophnet2024() -> None:
    """Names, clips, hierarchy and prompts, in digests of the csv and the prompt file that they were
    before they were one file; the last one is in the keys of synthesised clips."""
    taxonomy = default_taxonomy()
    found = {
        task: digest(
            [
                taxonomy.names(task),
                [[each.clips[split] for each in taxonomy.classes[task]] for split in range(3)],  # type: ignore[index]
                taxonomy.leaves_of(task),
            ]
        )
        for task in TASKS
    }
    assert found == {"phase": "b47b17a4ac4257b1", "operation": "f58b1108fba42c45"}
    assert digest(taxonomy.parents("operation")) == "4c29da759003bed9"
    assert digest(sorted(PromptBook.load().operations.items())) == "7fc681ea8297ba62"
    assert hash_of_prompts(taxonomy.path).startswith("5e956e92f8e4f9f40c512b7be532276685575565")
    assert taxonomy.is_default and taxonomy.parents("phase") is None


def test_the_ones_that_come_with_the_suite_can_be_asked_for() -> None:
    sizes = {name: Taxonomy.load(name).num_classes("phase") for name in taxonomy_names()}
    assert sizes == {"cataract_101": 10, "cataract_1k": 12, "ophnet2024": 52, "polypdiag": 2}
    assert "ophnet2024    OphNet2024: 52 phases, 107 operations" in catalogue()
    for name in ("cataract_101", "cataract_1k", "polypdiag"):
        own = Taxonomy.load(name)
        asked = class_requests(
            PromptBook.load(own.path),
            "phase",
            own.leaves_of("phase"),
            SynthesisSettings(clips_per_class=2),
        )
        assert len({request.prompt for request in asked}) == 2 * sizes[name]


def test_a_taxonomy_of_ones_own_has_levels_names_and_prompts(tmp_path: Path) -> None:
    path = from_page(tmp_path)
    own = Taxonomy.load(path)
    assert own.names("phase")[:2] == ("Opening", "Lens") and own.num_classes("operation") == 7
    assert own.parents("operation") == (0, 0, 1, 2, 3, 4, 5)
    assert own.leaves_of("phase") == ((0, 1), (2,), (3,), (4,), (5,), (6,))
    assert own.class_id("phase", "lens WORK") == 1 and own.class_id("phase", "Pause") is None
    book = PromptBook.load(path)
    assert not own.is_default
    everything = SynthesisSettings(clips_per_class=1, policy="all")
    asked = class_requests(book, "phase", own.leaves_of("phase"), everything)
    assert [request.labels["phase"] for request in asked] == [0, 1, 2, 3, 4]  # Idle has none
    before = hash_of_prompts(path)
    path.write_text(path.read_text().replace("Main incision", "First incision"))
    assert hash_of_prompts(path) != before


def test_a_record_keeps_the_whole_of_ones_own_and_the_name_of_the_default(tmp_path: Path) -> None:
    path = from_page(tmp_path)
    config = load_config("ophnet_phase", [f"taxonomy={path}"])
    kept = config.model_dump(mode="json")
    path.unlink()  # the record is read elsewhere
    assert type(config).model_validate(kept).taxonomy == config.taxonomy
    assert load_config("ophnet_phase").model_dump(mode="json")["taxonomy"] == "ophnet2024"


def test_operations_of_ones_own_are_scored_by_its_hierarchy(tmp_path: Path) -> None:
    """Main incision and Side port are of one phase: a guess of the other one is consistent."""
    labels, guesses = np.array([0, 0, 2, 3, 4, 5]), np.array([0, 1, 0, 3, 4, 5])
    for split in ("train", "val", "test"):
        np.save(tmp_path / f"labels_{split}.npy", labels)
        np.save(tmp_path / f"logits_{split}.npy", np.eye(7, dtype=np.float32)[guesses])
        ids = [{"clip_id": str(clip), "video_id": "a"} for clip in range(len(labels))]
        (tmp_path / f"clips_{split}.json").write_text(json.dumps(ids))
    cell = evaluate(
        tmp_path,
        task="operation",
        classifier="SlowFast",
        arm=SOURCE,
        seed=0,
        training=TRAINING,
        provenance=PROVENANCE,
        taxonomy=Taxonomy.load(from_page(tmp_path)),
    )
    scores = cell.splits["test"]
    assert (scores.top1, scores.hierarchical_consistency) == (66.67, 83.33)


def test_a_generator_is_asked_for_ones_own_classes(tmp_path: Path) -> None:
    """The stage of synthesis reads the file's prompts; what they say is in its key."""
    data = cataract_101(tmp_path / "data")
    base = "ophora.weights=generator/weights/ophora_base"
    own = tmp_path / "own.yaml"
    text = (TAXONOMY_ROOT / "cataract_101.yaml").read_text()
    keys = []
    for old, new in (("Incision", "Incision"), ("a keratome is pushed", "a blade is pushed")):
        own.write_text(text.replace(old, new))
        settings = ["sources=[source,ophora]", base, f"taxonomy={own}"]
        plan = Plan(load_config("smoke", settings), Inputs(tmp_path / "r", data))
        (clips,) = plan.arms.synthetic["phase"].values()
        assert isinstance(clips, ClassSynthesis)
        asked = clips.requests()
        assert {request.labels["phase"] for request in asked} == set(range(10))
        assert asked[0].prompt.startswith(new) or old == new
        assert plan.cells[0].stage.num_classes == 10
        keys.append(clips.infra.uid())
    assert keys[0] != keys[1]


SIX = [{"name": letter, "prompts": [f"prompt {letter}"]} for letter in "ABCDEF"]
OPERATIONS = [{**each, "phase": each["name"]} for each in SIX]


@pytest.mark.parametrize(
    ("classes", "fault"),
    [
        ({"phase": [*SIX, {"name": "a!", "prompts": ["x"]}]}, "two classes have the name 'a!'"),
        ({"phase": [*SIX, {"name": "G", "prompts": ["x"], "also": ["F"]}]}, "have the name 'F'"),
        ({"phase": [*SIX, SIX[0]]}, "two classes have the name 'A'"),
        ({"phase": SIX[:5]}, "5 classes: give 6 at least"),
        ({"phase": SIX[:5]}, "unless the file says few_classes: true"),
        ({"phase": [*SIX, "G"]}, "phase 'G': no prompts: give one at least, or say promptless"),
        (
            {
                "phase": list("ABCDEF"),
                "operation": [*OPERATIONS[:5], {**OPERATIONS[5], "phase": "H"}],
            },
            "operation 'F': no phase 'H'",
        ),
        ({"phase": list("ABCDEF"), "operation": SIX}, "operation 'A': name its phase"),
        ({"phase": list("ABCDEFG"), "operation": OPERATIONS}, "phase 'G': no operation belongs"),
        ({"phase": SIX, "operation": OPERATIONS}, "its prompts are those of its operations"),
        ({"phase": [*SIX, {"name": "G", "prompts": ["prompt A"]}]}, "share the prompt 'prompt A'"),
        ({"phase": [*SIX, {"name": "G", "prompt": "x"}]}, "prompt: Extra inputs"),
        ({"phase": SIX, "tool": SIX}, "unknown task 'tool'"),
        ({"operation": SIX}, "give phases"),
        (["A"], "expected `name` and `classes`"),
    ],
)
def test_a_wrong_one_is_refused_in_a_line(tmp_path: Path, classes: Any, fault: str) -> None:
    path = tmp_path / "wrong.yaml"
    path.write_text(yaml.dump({"name": "wrong", "classes": classes}))
    with pytest.raises(UserError) as raised:
        load_config("ophnet_phase", [f"taxonomy={path}"])
    assert str(path) in str(raised.value) and fault in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_missing_one_a_misspelt_one_and_a_task_that_it_lacks(tmp_path: Path) -> None:
    for setting, fault in (
        (f"taxonomy={tmp_path}/none.yaml", "No such file"),
        ("taxonomy=cataract101", "did you mean 'cataract_101'"),
    ):
        with pytest.raises(UserError, match=fault):
            load_config("ophnet_phase", [setting])
    with pytest.raises(UserError, match="Cataract-101 has no classes of 'operation'"):
        load_config("ophnet_operation", ["taxonomy=cataract_101"])


def test_prompts_by_id_name_classes_that_there_are(tmp_path: Path) -> None:
    path = tmp_path / "two.yaml"
    classes = yaml.dump({"name": "two", "classes": {"phase": list("ABCDEF")}})
    for wrong, fault in (
        ({9: ["x"]}, "phase 9: no such class"),
        ({0: ["x"]}, "phase 'B': no prompts"),
    ):
        path.write_text(classes + "\n---\n" + yaml.dump({"operations": wrong}))
        with pytest.raises(UserError, match=fault):
            load_config("ophnet_phase", [f"taxonomy={path}"])
