"""The audit's stages: videos of a folder, their cameras, their novel views."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import pydantic

from benchmarks.audits.scene import field, splats
from benchmarks.audits.scene.cameras import Cameras
from benchmarks.audits.scene.field import FieldSettings
from benchmarks.audits.scene.parallax import MATCHES, Motion, motion_of
from benchmarks.audits.scene.registration import register
from benchmarks.audits.scene.splats import SplatSettings
from benchmarks.audits.scene.views import means, scores, shuffled, split
from core.clip import MANIFEST_NAME, Clip, Manifest
from core.errors import UnreadableVideo, UserError
from core.files import read_json, remembered_sha256_of_files, write_json
from core.folders import files_below, is_video
from core.left_out import note_left_out
from core.progress import track
from core.stage import ClipStage, FolderStage, Stage
from core.video import Frames, probe, read_span

Outcome = Literal["placed", "no parallax", "not registered", "unreadable"]
Settings = Annotated[FieldSettings | SplatSettings, pydantic.Field(discriminator="method")]
PLACED_SHARE = 0.8  # of the frames, our choice: with fewer, what is left is another clip
FEWEST = 5  # frames: four training views and a novel one
REASONS = {
    "still": "nothing moves",
    "flat": "the camera only turns or zooms, or what it sees is flat: one homography explains "
    "{explained:.0%} of the motion",
}


class Filmed(FolderStage):
    """The first `limit` videos below a folder, by path, of which nothing more is known."""

    limit: int = pydantic.Field(ge=1)

    @classmethod
    def at(cls, root: Path, limit: int, memory: Path, **common: Any) -> Self:
        """The videos of a folder that exists.  Raises: UserError: if it does not, or holds none."""
        files = videos_of(root, limit)
        sha256 = remembered_sha256_of_files(root, files, memory, "hashing videos")
        return cls(root=root.resolve(), content_sha256=sha256, limit=limit, **common)

    def execute(self, folder: Path) -> dict[str, Any]:
        paths = [path.relative_to(self.root) for path in videos_of(self.root, self.limit)]
        clips = [_clip(path.as_posix()) for path in paths]
        Manifest(root=self.root, clips=tuple(clips)).save(folder / MANIFEST_NAME)
        return {"clips": len(clips)}


def videos_of(root: Path, limit: int) -> list[Path]:
    """The first videos below a folder.  Raises: UserError: if there is none."""
    if not root.is_dir():
        raise UserError(f"clips {root}: no such folder: name one that holds videos")
    found = sorted(path for path in files_below(root) if is_video(path))[:limit]
    if not found:
        raise UserError(f"clips {root}: no video in it: name a folder that holds videos")
    return found


def _clip(path: str) -> Clip:
    identity = hashlib.sha256(path.encode()).hexdigest()[:16]
    return Clip(clip_id=identity, video_id=identity, path=path, source="filmed")


class SceneCameras(Stage):
    """Where the camera of each clip stood, or why that cannot be said.

    Frames: `num_frames` from the first `seconds`, at most `side_px` wide or high.
    """

    clips: ClipStage
    num_frames: int = pydantic.Field(default=16, ge=FEWEST)  # Source: Endora's clips
    seconds: float = pydantic.Field(default=2.0, gt=0)
    side_px: int = pydantic.Field(default=192, ge=32)
    seed: int = pydantic.Field(default=0, ge=0)

    def execute(self, folder: Path) -> dict[str, Any]:
        """`clips`: outcome and reason by path; cameras in `<clip id>.json`.

        Raises: UserError: if a clip needs pycolmap, and it is missing; as `note_left_out`, for
        unreadable clips.
        """
        found: dict[str, dict[str, str]] = {}
        clips = self.clips.manifest().clips
        for clip in track(clips, total=len(clips), description="cameras", unit="clips"):
            path = folder / f"{clip.clip_id}_outcome.json"
            if not path.is_file():
                outcome, reason = self._place(clip, folder)
                write_json(path, {"outcome": outcome, "reason": reason})
            found[clip.path] = read_json(path)
        lost = [f"{p}: {f['reason']}" for p, f in found.items() if f["outcome"] == "unreadable"]
        note_left_out({"unreadable": lost}, len(clips), what="clips", cure="re-encode them")
        return {"clips": found}

    def frames(self, clip: Clip) -> Frames:
        """(T, H, W, 3) uint8.  Raises: UnreadableVideo."""
        path = self.clips.manifest().path_of(clip)
        seen = probe(path)
        scale = min(1.0, self.side_px / max(seen.width, seen.height))
        size = (round(scale * seen.width), round(scale * seen.height)) if scale < 1 else None
        end_s = min(self.seconds, seen.duration_s)
        return read_span(path, end_s=end_s, num_frames=self.num_frames, size=size, short="keep")

    def _place(self, clip: Clip, folder: Path) -> tuple[Outcome, str]:
        try:
            frames = self.frames(clip)
        except UnreadableVideo as error:
            return "unreadable", error.reason
        if len(frames) < FEWEST:
            return "not registered", f"{len(frames)} frames, of {FEWEST} that are needed"
        motion = motion_of(frames)
        if motion.kind in REASONS:
            return "no parallax", REASONS[motion.kind].format(explained=motion.explained)
        return self._registered(clip, frames, motion, folder)

    def _registered(
        self, clip: Clip, frames: Frames, motion: Motion, folder: Path
    ) -> tuple[Outcome, str]:
        if motion.kind == "featureless":
            return "not registered", f"frames have fewer than {MATCHES} features in common"
        cameras = register(frames, self.seed)
        placed = 0 if cameras is None else len(cameras)
        if cameras is None or placed < max(FEWEST, PLACED_SHARE * len(frames)):
            needed = f"{PLACED_SHARE:.0%} are needed"
            reason = f"structure from motion placed {placed} of {len(frames)} frames; {needed}"
            return "not registered", reason
        cameras.save(folder / f"{clip.clip_id}.json")
        return "placed", f"{placed} of {len(frames)} frames"


class NovelViews(Stage):
    """How well a reconstruction from the training views of each clip shows its novel ones.

    shuffled: the frames change places among the cameras first; what is reached then is due to
    the frames' likeness, not to a scene.
    """

    cameras: SceneCameras
    settings: Settings = FieldSettings()
    shuffled: bool = False

    def execute(self, folder: Path) -> dict[str, Any]:
        """`clips`: `views.scores` by path; `mean` of them."""
        outcomes = self.cameras.run()["clips"]
        manifest = self.cameras.clips.manifest()
        placed = [c for c in manifest.clips if outcomes[c.path]["outcome"] == "placed"]
        found: dict[str, dict[str, float]] = {}
        for clip in track(placed, total=len(placed), description="novel views", unit="clips"):
            path = folder / f"{clip.clip_id}.json"
            if not path.is_file():
                write_json(path, self._scores(clip, folder / clip.clip_id))
            found[clip.path] = read_json(path)
        return {"method": self.settings.method, "clips": found, "mean": means(list(found.values()))}

    def _scores(self, clip: Clip, folder: Path) -> Mapping[str, float]:
        cameras = Cameras.load(self.cameras.folder / f"{clip.clip_id}.json")
        frames = self.cameras.frames(clip)[list(cameras.frames)]
        if self.shuffled:
            frames = shuffled(frames, self.cameras.seed)
        views, device = split(len(cameras)), self.runtime.torch_device()
        training = views.training
        if isinstance(self.settings, SplatSettings):
            render = splats.reconstruct(cameras, frames, training, self.settings, device)
        else:
            render = field.reconstruct(cameras, frames, training, self.settings, folder, device)
        return scores(render, frames, views)
