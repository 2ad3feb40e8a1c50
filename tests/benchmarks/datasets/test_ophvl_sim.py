import csv
import hashlib
from collections import Counter

import decord
import numpy as np
import pydantic
import pytest

from augment.prompts import PromptBook
from benchmarks.datasets.ophvl_sim.defects import cut_together, freeze, shake
from benchmarks.datasets.ophvl_sim.narration import NarrationBook, load_descriptions, narrate
from benchmarks.datasets.ophvl_sim.overlays import (
    OverlayBook,
    burn_in,
    clock_text,
    draw_overlays,
)
from benchmarks.datasets.ophvl_sim.writer import (
    CLIPS_PER_VIDEO,
    CorpusMix,
    plan_clip,
    render,
    write_ophvl_sim,
)
from benchmarks.datasets.taxonomy import OPERATION_COUNTS, OPERATIONS
from core.errors import UserError

BOOK = OverlayBook.load()
# Small and with every defect, so that a dozen clips show all of them.
SMALL = CorpusMix(
    static_share=0.25,
    shaky_share=0.25,
    hard_cut_share=0.25,
    low_resolution_share=0.3,
    size=(144, 96),
    large_size=(192, 128),
    low_size=(80, 54),
    seconds=(1.0, 1.5),
    draw_height=48,
)


def _plans(count, mix=CorpusMix(), seed=0):  # noqa: B008 (frozen)
    return [plan_clip(i, seed=seed, mix=mix, book=BOOK) for i in range(count)]


def _rows(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _hashes(root):
    files = sorted(path for path in root.rglob("*") if path.is_file())
    return {p.relative_to(root): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    root = tmp_path_factory.mktemp("ophvl")
    write_ophvl_sim(root, seed=3, num_clips=12, mix=SMALL)
    return root


def test_files_tables_and_truth_agree(corpus):
    clips, truth = _rows(corpus / "clips.csv"), _rows(corpus / "ground_truth.csv")
    assert list(clips[0]) == ["clip id", "caption"]
    assert [row["clip id"] for row in clips] == [row["clip id"] for row in truth]
    assert {p.stem for p in (corpus / "clips").iterdir()} == {row["clip id"] for row in clips}
    for row in truth:
        reader = decord.VideoReader(str(corpus / "clips" / f"{row['clip id']}.mp4"))
        assert reader[0].shape == (int(row["height"]), int(row["width"]), 3)
        assert len(reader) == int(row["num_frames"])
        assert bool(row["overlay_text"]) == ("text" in row["defects"].split("+"))
        small = (row["width"], row["height"]) == ("80", "54")
        assert small == ("low_resolution" in row["defects"].split("+"))
    seen = {defect for row in truth for defect in row["defects"].split("+")}
    assert {"static", "shaky", "hard_cut", "low_resolution", "text"} <= seen


def test_clips_of_a_video_share_the_case(corpus):
    cases = {}
    for row in _rows(corpus / "ground_truth.csv"):
        video, _, _ = row["clip id"].rpartition("_")
        cases.setdefault(video, []).append(row["appearance_seed"])
    assert {len(seeds) for seeds in cases.values()} == {CLIPS_PER_VIDEO}
    assert all(len(set(seeds)) == 1 for seeds in cases.values())
    assert len({seeds[0] for seeds in cases.values()}) == len(cases)


def test_static_clips_stand_still_on_disk_and_bad_ones_jump(corpus):
    change = {}
    for row in _rows(corpus / "ground_truth.csv"):
        frames = decord.VideoReader(str(corpus / "clips" / f"{row['clip id']}.mp4"))
        frames = frames.get_batch(range(len(frames))).asnumpy().astype(float)
        # The lower and upper rows carry text that may appear in mid-clip, and running clocks.
        rows = frames.shape[1]
        middle = frames[:, rows // 4 : -rows // 4, :, :]
        kinds = row["defects"].split("+")
        kind = next((k for k in ("static", "shaky", "hard_cut") if k in kinds), "normal")
        change.setdefault(kind, []).append(
            np.median(np.abs(np.diff(middle, axis=0)).mean((1, 2, 3)))
        )
    assert max(change["static"]) < 1.5
    assert min(change["shaky"]) > 10


@pytest.mark.slow
def test_workers_and_interruptions_do_not_change_the_files(corpus, tmp_path):
    write_ophvl_sim(tmp_path, seed=3, num_clips=12, mix=SMALL, workers=2)
    expected = _hashes(corpus)
    assert _hashes(tmp_path) == expected
    (tmp_path / "clips.csv").unlink()
    next((tmp_path / "clips").iterdir()).unlink()
    write_ophvl_sim(tmp_path, seed=3, num_clips=12, mix=SMALL)
    assert _hashes(tmp_path) == expected


def test_another_mix_never_enters_a_folder(corpus):
    other = SMALL.model_copy(update={"text_share": 0.5})
    with pytest.raises(UserError, match=r"with mix .* remove that folder or choose another"):
        write_ophvl_sim(corpus, seed=3, num_clips=12, mix=other)


@pytest.mark.parametrize("seed", [0, 1])
def test_shares_are_kept_even_in_small_corpora(seed):
    plans = _plans(400, seed=seed)
    dynamics = Counter(plan.dynamics for plan in plans)
    mix = CorpusMix()
    assert dynamics["static"] / 400 == pytest.approx(mix.static_share, abs=0.01)
    assert dynamics["shaky"] / 400 == pytest.approx(mix.shaky_share, abs=0.01)
    assert dynamics["hard_cut"] / 400 == pytest.approx(mix.hard_cut_share, abs=0.01)
    remaining = [p for p in plans if p.dynamics == "normal" and not p.low_resolution]
    clean = sum(not plan.overlays for plan in remaining) / len(remaining)
    assert clean == pytest.approx(28_175 / 129_748, abs=0.03)  # Ophora, Sec. 2.1


def test_operations_follow_the_frequency_or_are_uniform():
    rare = min(range(len(OPERATIONS)), key=lambda i: OPERATION_COUNTS["train"][i])
    by_frequency = _plans(2_000, CorpusMix(uniform_share=0.0))
    uniform = _plans(2_000, CorpusMix(uniform_share=1.0))
    counts = Counter(plan.operation_id for plan in by_frequency)
    assert counts.most_common(1)[0][0] == 0  # Viscoelastic Injection
    expected = OPERATION_COUNTS["train"][0] / sum(OPERATION_COUNTS["train"])
    assert counts[0] / 2_000 == pytest.approx(expected, abs=0.01)
    assert counts[rare] <= 1
    assert min(Counter(plan.operation_id for plan in uniform).values()) >= 15
    assert len({plan.operation_id for plan in _plans(600)}) == len(OPERATIONS)


def test_a_plan_does_not_depend_on_the_size_of_the_corpus():
    assert _plans(10) == _plans(40)[:10]
    assert _plans(10) != _plans(10, seed=1)


def test_captions_bury_the_description_word_for_word():
    prompts = {p for prompts in PromptBook.load().operations.values() for p in prompts}
    descriptions, plans = load_descriptions(), _plans(300)
    for plan in plans:
        assert plan.description in descriptions[plan.operation_id]
        assert plan.description in plan.caption.lower()
        assert len(plan.caption) > len(plan.description) + 15
        assert not any(prompt in plan.caption.lower() for prompt in prompts)
    assert len({plan.caption for plan in plans}) > 295


def test_every_lead_in_takes_the_description():
    book = NarrationBook.load()
    assert all(line.count("{description}") == 1 for line in book.lead_ins)
    assert "the iris" in narrate(np.random.default_rng(0), "the iris moves", book).lower()


def test_text_changes_only_a_part_of_the_picture():
    grey = np.full((8, 192, 288, 3), 120, np.uint8)
    for seed in range(40):
        overlays = draw_overlays(np.random.default_rng(seed), BOOK)
        assert 1 <= len(overlays) <= BOOK.max_texts
        burned = burn_in(grey, overlays, fps=8.0)
        changed = (burned != grey).any(axis=(0, 3)).mean()
        assert 0.002 < changed < 0.35
    assert (grey == 120).all()


def test_letters_are_large_enough_to_read():
    grey = np.full((1, 192, 288, 3), 120, np.uint8)
    for seed in range(40):
        overlay = draw_overlays(np.random.default_rng(seed), BOOK)[0]
        whole = overlay.__class__(**{**vars(overlay), "visible": (0.0, 1.0)})
        rows = (burn_in(grey, [whole], fps=8.0) != grey).any(axis=(0, 2, 3))
        assert rows.sum() >= 6


def test_clocks_run():
    clock = OverlayBook(
        overlays=(next(kind for kind in BOOK.overlays if kind.kind == "timestamp"),),
        names=("A B",),
    )
    overlay = draw_overlays(np.random.default_rng(2), clock)[0]
    assert clock_text(overlay, 0) != clock_text(overlay, 1)
    assert "{" not in clock_text(overlay, 0)


def test_overlays_are_the_callers_choice():
    kind = BOOK.overlays[0].model_copy(
        update={
            "texts": ("words of another book",),
            "fonts": ("STIXGeneral",),
            "positions": ("centre",),
        }
    )
    book = OverlayBook(overlays=(kind,), names=("X Y",), brief_share=0.0)
    mix = SMALL.model_copy(update={"text_share": 1.0, "low_resolution_share": 0.0})
    plan = plan_clip(0, seed=0, mix=mix, book=book)
    assert [overlay.text for overlay in plan.overlays] == ["words of another book"]
    bare = plan_clip(0, seed=0, mix=mix.model_copy(update={"text_share": 0.0}), book=book)
    with_text, without = render(plan, mix), render(bare, mix)
    rows = np.flatnonzero((with_text != without).any(axis=(0, 2, 3)))
    height = with_text.shape[1]
    assert height / 4 < rows.min() <= rows.max() < 3 * height / 4


def test_defects_do_what_their_names_say():
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 255, (8, 12, 16, 3), dtype=np.uint8)
    assert (freeze(frames) == frames[4]).all()
    assert shake(rng, frames).shape == frames.shape
    scenes = [np.full((6, 2, 2, 3), value, np.uint8) for value in (10, 20)]
    assert cut_together(scenes, 8)[:, 0, 0, 0].tolist() == [10, 10, 20, 20, 10, 10, 20, 20]


def test_shares_above_one_are_refused():
    with pytest.raises(pydantic.ValidationError, match=r"add up to 1\.10"):
        CorpusMix(static_share=0.5, shaky_share=0.5, hard_cut_share=0.1)
