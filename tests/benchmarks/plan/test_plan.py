"""From configuration to stages: choices that change which stages there are."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from augment.arm import Arm
from benchmarks.config.files import load_config
from benchmarks.metrics.encoders import EncoderFolder
from benchmarks.metrics.torchscript_encoders import TorchScriptEncoder
from benchmarks.plan import Inputs, Plan
from classifiers.checkpoints import Checkpoint
from core.errors import UserError
from generator.base import BeforehandTraining
from generator.bora.training import BoraTraining
from generator.endora.training import EndoraTraining
from generator.ophora.training import GivenOphora, OphoraTraining
from tests.benchmarks.metrics.tiny_scripts import TinyI3d, TinyInception, save
from tests.presets import MVITV2_NANO

BEFOREHAND = [
    "ophora.tpt_weights=generator/weights/ophora_base",
    "bora.start=generator/weights/bora_base",
    "endora.start=generator/weights/endora_base",
    "sources=[bora,ophora,endora]",
]


def test_trainings_done_beforehand_are_gone_on_from(tmp_path: Path) -> None:
    given = Plan(load_config("smoke", BEFOREHAND), Inputs(tmp_path)).generators.models
    live = Plan(load_config("smoke"), Inputs(tmp_path)).generators.models  # trains all of it
    assert isinstance(given["ophora_tpt"], GivenOphora)
    assert isinstance(given["ophora_tpt"].given, BeforehandTraining)
    assert isinstance(live["ophora_tpt"], OphoraTraining)
    for plan, tpt in ((given, given["ophora_tpt"]), (live, live["ophora_tpt"])):
        assert isinstance(plan["ophora"], OphoraTraining) and plan["ophora"].init == tpt
    bora, endora = given["bora"], given["endora"]
    assert isinstance(bora, BoraTraining) and isinstance(bora.init, BeforehandTraining)
    assert isinstance(endora, EndoraTraining) and isinstance(endora.init, BeforehandTraining)
    assert not isinstance(live["bora"].init, BeforehandTraining)  # type: ignore[attr-defined]
    folder = bora.init.weights()  # real files: transformer of one folder, the rest of the other
    assert {path.name for path in folder.iterdir()} >= {"transformer", "vae", "tokenizer"}


@pytest.mark.parametrize(
    "field", ["ophora.base", "ophora.tpt_weights", "bora.start", "endora.base", "endora.dino"]
)
def test_weights_that_are_nowhere_are_refused_by_their_field(field: str, tmp_path: Path) -> None:
    chosen = ["sources=[bora,ophora,endora]", f"{field}=nowhere"]
    if field == "endora.dino":
        chosen.append("endora.prior={weight: 0.5, layers: [0], blocks: [0]}")
    with pytest.raises(UserError, match=f"^{field} nowhere: no such folder; give a folder or"):
        Plan(load_config("smoke", chosen), Inputs(tmp_path)).check()


def test_narrated_captions_may_be_longer_than_instructions(tmp_path: Path) -> None:
    rows = ["quality.rows=[cogvideox_ophvl,ophora_tpt]"]
    rows += ["ophora.tpt_weights=null", "ophora.ophvl_weights=null"]
    for given, expected in (("48", 48), ("null", 20)):
        config = load_config("generation_quality", [*rows, f"ophora.ophvl_text_tokens={given}"])
        generators = Plan(config, Inputs(tmp_path)).generators.models
        uncurated, curated = generators["cogvideox_ophvl"], generators["ophora_tpt"]
        assert isinstance(uncurated, OphoraTraining) and isinstance(curated, OphoraTraining)
        assert uncurated.encoding.max_text_tokens == expected
        assert uncurated.max_text_tokens == (48 if expected == 48 else None)
        assert curated.encoding.max_text_tokens == 20 and curated.max_text_tokens is None


def test_a_classifier_starts_from_the_checkpoint_that_its_section_names(tmp_path: Path) -> None:
    network = MVITV2_NANO.build(400, 8, 64)
    torch.save({"state_dict": network.state_dict()}, tmp_path / "mvit.pth")
    weights = f"classifiers.mvit_v2.weights={tmp_path / 'mvit.pth'}"
    plan = Plan(load_config("ophnet_phase", [weights, "sources=[source]"]), Inputs(tmp_path / "r"))
    starts = {cell.classifier: cell.stage.start for cell in plan.cells}
    assert starts["SlowFast"] is None
    assert isinstance(starts["MViTv2"], Checkpoint)
    assert starts["MViTv2"].path == tmp_path / "mvit.pth"
    assert [name for name, stages, _ in plan.waves() if starts["MViTv2"] in stages] == ["data"]


def test_a_pt_file_is_a_torchscript_encoder_called_by_its_protocol(tmp_path: Path) -> None:
    i3d = save(TinyI3d(), tmp_path / "i3d.pt")
    inception = save(TinyInception(), tmp_path / "inception.pt")

    def plan(video: Path) -> Plan:
        chosen = [f"quality.video_encoder={video}", f"quality.image_encoder={inception}"]
        chosen.append("quality.video_protocol=videogpt")
        return Plan(load_config("smoke", chosen), Inputs(tmp_path / "r"))

    stage = plan(i3d).quality.rows[0].stage
    video, image = stage.video_encoder, stage.image_encoder
    assert isinstance(video, TorchScriptEncoder) and isinstance(image, TorchScriptEncoder)
    assert (video.path, video.protocol, image.protocol) == (i3d, "videogpt", "inception_v3")
    assert isinstance(stage.image_text_encoder, EncoderFolder)
    (tmp_path / "noise.pt").write_bytes(b"noise")
    with pytest.raises(UserError, match=r"noise\.pt: not a torchscript file"):
        plan(tmp_path / "noise.pt").check()


def test_arms_are_refused_with_one_line(tmp_path: Path) -> None:
    def fault(*overrides: str) -> str:
        with pytest.raises(UserError) as found:
            _ = Plan(load_config("smoke", list(overrides)), Inputs(tmp_path, tmp_path)).arms.clips
        return str(found.value)

    assert "arm 'a': no generator or earlier arm 'ophra': did you mean 'ophora'" in fault(
        "arms.a={kind: subset, of: ophra, clips_per_class: 1}"
    )
    assert "arm 'ophora': give it a name of its own" in fault("arms.ophora={kind: captioned}")
    assert "unknown source 'froze': did you mean 'frozen'" in fault("sources=[source, froze]")
    assert "captioned: an arm of narrated clips needs" in fault("sources=[source, captioned]")
    assert "arm 'extra_real' draws more cases" in fault("sources=[source, extra_real]")


@pytest.mark.parametrize(
    ("chosen", "words"),
    [
        ("sources=[source, ophora, Ophora=/a]", "source 'Ophora=/a': give it a name of its own"),
        ("sources=[source, SOURCE=/a]", "source 'SOURCE=/a': give it a name of its own"),
        ("sources=[mine=/a, Mine=/b]", "source 'Mine=/b': give it a name of its own"),
        ("sources=[Frozen=/a]", "source 'Frozen=/a': give it a name of its own"),
        ("sources=[a-matched_steps=/a]", "'a-matched_steps=/a': give it a name of its own"),
        ("sources=[mine=/a, mine=/b]", "a source is named twice: mine, mine"),
        ("arms.Frozen={kind: captioned}", "arm 'Frozen': give it a name of its own"),
        ("arms.Bora={kind: captioned}", "arm 'Bora': give it a name of its own"),
        ("sources=[ophora_only, only-ophora=/a]", "'ophora_only' and 'only-ophora' are one arm"),
    ],
)
def test_no_two_arms_have_one_name_or_one_file(chosen: str, words: str) -> None:
    """Names that differ in upper and lower case alone would share a file."""
    with pytest.raises(UserError, match=words):
        load_config("smoke", [chosen])


def test_contrasts_are_of_every_two_sources_or_of_those_named() -> None:
    def compared(*overrides: str) -> list[tuple[str, str]]:
        return load_config(
            "smoke", ["sources=[source, bora, ophora, mine=/a]", *overrides]
        ).compared()

    assert compared() == [("ophora", "bora"), ("mine", "bora"), ("mine", "ophora")]
    assert compared("contrasts=[[bora, mine]]") == [("bora", "mine")]
    # Of sources that the run leaves out, nothing can be said.
    assert compared("contrasts=[[ophora, shuffled], [mine, ophora]]") == [("mine", "ophora")]
    assert compared("contrasts=[]") == []
    for pair, words in (
        ("[ophora, source]", "Table 2 has every difference from source"),
        ("[ophora, ophora]", "'ophora' against itself"),
        ("[ophora, bara]", "no 'bara': did you mean 'bora'"),
    ):
        with pytest.raises(UserError, match=words):
            compared(f"contrasts=[{pair}]")


def test_narrated_clips_come_with_or_without_text(tmp_path: Path) -> None:
    plan = Plan(load_config("smoke"), Inputs(tmp_path))
    assert plan.arms.clips_of("captioned", "phase").clips is plan.data.curated
    assert plan.arms.clips_of("captioned_clean", "phase").clips is plan.data.clean


@pytest.mark.parametrize(
    ("arm", "mixing", "words"),
    [
        ("alone", "until=0.5", r"mixing\.until: an arm without real clips, or of"),
        ("unlabelled", "until=0.5", r"mixing\.until: an arm without real clips, or of"),
    ],
)
def test_a_mixing_that_an_arm_cannot_have_is_refused_before_anything_runs(
    arm: str, mixing: str, words: str, tmp_path: Path
) -> None:
    def check(name: str) -> None:
        chosen = [f"arms.a={{kind: {arm}, of: ophora}}", f"sources=[source, {name}]"]
        Plan(load_config("smoke", [f"mixing.{mixing}", *chosen]), Inputs(tmp_path)).check()

    check("ophora")
    with pytest.raises(UserError, match=f"^{words}"):
        check("a")


def test_an_arm_needs_the_encoder_of_prompts_only_where_prompts_choose(tmp_path: Path) -> None:
    def missing(prompts: str) -> list[str]:
        chosen = [f"arms.a={{kind: confident, of: ophora, prompts: {prompts}}}"]
        chosen += ["sources=[source, a]", "quality.image_text_encoder=nowhere"]
        plan = Plan(load_config("smoke", chosen), Inputs(tmp_path))
        _ = plan.arms.clips
        return plan.data.missing

    assert missing("false") == []
    assert "nowhere" in " ".join(missing("true"))


def test_an_arm_brings_the_generator_that_it_comes_from(tmp_path: Path) -> None:
    def generators(*sources: str) -> set[str]:
        config = load_config("smoke", [f"sources=[source, {', '.join(sources)}]"])
        return set(Plan(config, Inputs(tmp_path)).generators.models)

    assert generators("oversampled") == set()
    assert generators("shuffled") == {"ophora_tpt", "ophora"}
    assert generators("ophora_only", "bora") == {"ophora_tpt", "ophora", "bora"}


def test_evidence_costs_no_training_and_refuses_no_run(tmp_path: Path) -> None:
    def plan(*overrides: str) -> Plan:
        return Plan(load_config("smoke", list(overrides)), Inputs(tmp_path))

    both = plan("sources=[source, oversampled]")
    arm = both.arms.named("oversampled")
    names = [("phase", arm, name) for name in ("SlowFast", "MViTv2")]
    assert list(both.evidence.agreements) == names and list(both.evidence.distances["phase"]) == [
        names[0][1]
    ]
    trained = {cell.stage.infra.uid() for cell in both.cells}
    assert {verdict.judge.infra.uid() for verdict in both.evidence.agreements.values()} <= trained
    assert plan("sources=[oversampled]").evidence.agreements == {}
    assert plan("sources=[source]").evidence.distances == {"phase": {}}
    nowhere = plan("sources=[source, oversampled]", "quality.video_encoder=nowhere")
    nowhere.check()
    assert nowhere.evidence.distances == {} and list(nowhere.evidence.agreements) == names
    matched = plan("sources=[source, oversampled]", "schedules=[matched_steps]")
    trained = {cell.stage.infra.uid() for cell in matched.cells}
    assert {
        verdict.judge.infra.uid() for verdict in matched.evidence.agreements.values()
    } <= trained


def test_source_is_trained_once_whatever_the_order_of_the_schedules(tmp_path: Path) -> None:
    def cells(schedules: str) -> list[tuple[str, str, str]]:
        config = load_config("smoke", ["sources=[source, oversampled]", f"schedules={schedules}"])
        planned = Plan(config, Inputs(tmp_path)).cells
        return [(each.arm.label, each.schedule, each.stage.infra.uid()) for each in planned]

    both = cells("[matched_steps, matched_epochs]")
    assert [schedule for name, schedule, _ in both if name == "Source"].count("matched_epochs") == 2
    assert len(both) == 6 and both == cells("[matched_epochs, matched_steps, matched_epochs]")
    alone = {uid for name, _, uid in cells("[matched_steps]") if name == "Source"}
    assert alone == {uid for name, _, uid in both if name == "Source"}  # read from the cache
    with pytest.raises(UserError, match="schedules"):
        load_config("smoke", ["schedules=[]"])


def labels(sweeps: dict[str, list[Arm]]) -> dict[str, list[str]]:
    return {whole: [arm.label for arm in arms] for whole, arms in sweeps.items()}


def test_a_sweep_is_an_arm_s_parts_and_the_arm(tmp_path: Path) -> None:
    arms = [
        "arms.ten={kind: subset, of: ophora, clips_per_class: 10}",
        "arms.two={kind: subset, of: ophora_only, clips_per_class: 2}",
    ]
    sources = "sources=[source, ophora, ten, ophora_only, two]"
    sweeps = Plan(load_config("smoke", [*arms, sources]), Inputs(tmp_path)).arms.sweeps
    assert labels(sweeps) == {
        "ophora": ["Source + ten", "Source + Ophora"],
        "ophora_only": ["Source + two"],  # the whole stands alone: no gain by more of it
    }
    alone = Plan(load_config("smoke", [*arms, "sources=[source, ten]"]), Inputs(tmp_path))
    assert labels(alone.arms.sweeps) == {"ophora": ["Source + ten"]}


def test_every_training_seed_has_synthetic_clips_of_its_own(tmp_path: Path) -> None:
    changes = ["seeds=2", "first_seed=3", "sources=[source,ophora,shuffled]"]
    apart = Plan(load_config("smoke", changes), Inputs(tmp_path))
    shared = Plan(load_config("smoke", [*changes, "one_synthetic_set=true"]), Inputs(tmp_path))

    def keys(plan: Plan, name: str) -> set[tuple[int, str]]:
        """Training seeds, and the clips that join the real ones."""
        return {
            (cell.seed, cell.stage.mixture.sources[-1].infra.uid())
            for cell in plan.cells
            if cell.arm.name == name
        }

    for name in ("Ophora", "shuffled"):
        assert len({clips for _, clips in keys(apart, name)}) == 2
        assert len({clips for _, clips in keys(shared, name)}) == 1
    assert len({clips for _, clips in keys(apart, "Source")}) == 1
    made = apart.arms_of(3).synthetic["phase"][apart.arms.named("ophora")]
    assert made.requests()[0].seed != shared.arms.clips_of("ophora", "phase").requests()[0].seed
    assert apart.arms is apart.arms_of(3)
    waves = {name: stages for name, stages, _ in apart.waves()}
    wanted = {clips for name in ("Ophora", "shuffled") for _, clips in keys(apart, name)}
    assert wanted <= {stage.infra.uid() for stage in waves["synthesis"]}
