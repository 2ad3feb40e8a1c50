"""Where numbers come from: rows made of run.json."""

from typing import Any

from benchmarks.report.provenance import generator_origins, origins_of, stages_of, times_of

RUN: dict[str, Any] = {
    "config": {"name": "ophnet_phase"},
    "data": "OphSim",
    "corpus": "OphVL-sim",
    "scale": "nano",
    "seeds": [0, 1, 2],
    "device": "cpu",
    "threads": 1,
    "versions": {"torch": "2.12.1"},
    "commit": "0123456789abcdef",
    "datasets": {"phase": {"clips": {"train": 1919, "val": 1043, "test": 2040}}},
    "warnings": ["one video is missing"],
    "generators": {
        "ophora": {
            "samples": 4800,
            "last_loss": 0.25,
            "init": {
                "samples": 16000,
                "last_loss": 0.5,
                "init": {"loaded": "base", "sha256": "f" * 64, "samples": 60800},
            },
        }
    },
    "stages": [
        {"stage": "OphSim, seed 1", "cost": "30 cases", "seconds": 61.0, "commit": "0123456789abc"},
        {"stage": "ClassifierTraining, seed 0", "seconds": 100.0},
        {"stage": "ClassifierTraining, seed 1", "seconds": 3505.0},
    ],
}


def test_everything_that_made_the_numbers_is_named() -> None:
    rows = dict(origins_of(RUN))
    assert rows["Data"] == (
        "OphSim, scale nano; phase: 1,919 / 1,043 / 2,040 clips for training / val / test"
    )
    assert rows["Training seeds"] == "0 to 2" and rows["Commit"] == "0123456789ab"
    assert rows["Warning"] == "one video is missing"
    trained = "16,000 samples, loss 0.500; 4,800 samples, loss 0.250"
    loaded = "loaded base (sha256 ffffffffffff, 60,800 samples)"
    assert rows["Weights of ophora"] == f"{loaded}; trained now: {trained}"
    assert origins_of({}) == []


def test_weights_that_are_given_are_not_said_to_be_trained() -> None:
    given = {
        "bora": {"loaded": "mine", "sha256": "a" * 64, "stills": 128, "clips_of_3_frames": 1024}
    }
    seen = "128 single frames, 1,024 clips of 3 frames"
    shown = f"loaded mine (sha256 aaaaaaaaaaaa, {seen}); trained now: nothing"
    assert generator_origins(given) == [("bora", shown)]


def test_a_training_from_nothing_loads_nothing() -> None:
    record = {"lvdm": {"samples": 1600, "last_loss": 0.5, "init": {"parameters": 3605372}}}
    shown = "loaded nothing; trained now: 1,600 samples, loss 0.500"
    assert generator_origins(record) == [("lvdm", shown)]


def test_stages_are_summed_by_kind_and_listed_one_by_one() -> None:
    assert times_of(RUN) == [("ClassifierTraining", "2", "1:00:05"), ("OphSim", "1", "1:01")]
    assert stages_of(RUN)[0] == ("OphSim, seed 1", "30 cases", "0123456789ab", "1:01")
    assert len(stages_of(RUN)) == 3 and stages_of({}) == []
