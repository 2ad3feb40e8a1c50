"""Draw one clip of one operation on one case's eye."""

from dataclasses import dataclass, replace
from typing import Final, Literal, overload

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.datasets.ophsim.appearance import CaseAppearance
from benchmarks.datasets.ophsim.background import develop, eye, view_of
from benchmarks.datasets.ophsim.canvas import Canvas, Points, polar, rotate
from benchmarks.datasets.ophsim.effects import EFFECTS
from benchmarks.datasets.ophsim.effects.moment import Moment
from benchmarks.datasets.ophsim.motions import PRIMITIVES, Stroke
from benchmarks.datasets.ophsim.programmes import SITES, EffectUse, Programme, ToolUse, table
from benchmarks.datasets.ophsim.tools import TOOLS, Pose, draw_tool
from benchmarks.datasets.taxonomy import OTHERS_OPERATION, OTHERS_PHASE, PHASE_OF_OPERATION

# Below this height frames are drawn twice as large and averaged, so that thin tips survive.
_SUPERSAMPLE_BELOW: Final = 128
_NEAR: Final = 0.9  # eye units from the pupil's centre that the frame shows anyway
_FOLLOW: Final = 0.38  # share of the way that the microscope follows
_PIVOTS: Final = {"main": polar(1.0, 35.0), "side": polar(1.0, 165.0)}


@dataclass(frozen=True)
class _Style:
    """How this clip differs from others of its operation."""

    speed: float  # exponent of the time warp
    turn: float  # degrees: where the surgeon sits
    amplitude: float
    entry: tuple[float, float]  # degrees, per hand
    aim: Points  # (2, 2) eye units: each hand's offset from its site
    hand: float  # +1, or -1 for strokes in the opposite sense
    phase: float  # degrees

    @classmethod
    def draw(cls, rng: np.random.Generator, spread: float) -> "_Style":
        """Args: spread: 0-1, how much clips of an operation differ (`CaseAppearance.hand`)."""

        def between(low: float, high: float, usual: float) -> float:
            drawn = float(rng.uniform(low, high))
            return drawn if spread == 1.0 else usual + spread * (drawn - usual)

        return cls(
            speed=between(0.8, 1.25, 1.0),
            turn=between(-12, 12, 0.0),
            amplitude=between(0.78, 1.22, 1.0),
            entry=(between(-12, 12, 0.0), between(-12, 12, 0.0)),
            aim=spread * rng.normal(0, 0.035, (2, 2)),
            hand=-1.0 if rng.random() >= 0.6 and spread > 0.5 else 1.0,
            phase=between(-25, 25, 0.0),
        )


def _local_time(progress: float, enter: float, leave: float) -> float:
    return float(np.clip((progress - enter) / max(leave - enter, 1e-6), 0.0, 1.0))


def _pose(use: ToolUse, hand: int, progress: float, style: _Style) -> Pose:
    """Where a tool is: slides in along its shaft, moves at its site, slides out again."""
    side = style.hand if use.motion in ("sweep", "line", "wander", "loop", "rotate") else 1.0
    stroke = Stroke(
        amplitude=use.amp * style.amplitude,
        cycles=use.cycles,
        phase=use.phase + (0.0 if use.motion == "circle" else style.phase * (use.cycles > 1)),
        turn=use.turn,
    )
    s = _local_time(progress, use.enter, use.leave)
    move = PRIMITIVES[use.motion](s, stroke)
    centre = np.array(SITES[use.site]) + style.aim[hand] + np.array([move.east, move.south])
    centre = rotate(centre[None], move.swing)[0]
    angle = use.entry + style.entry[hand] + move.swing * 0.5
    if use.pivot != "none":
        to_wound = _PIVOTS[use.pivot] - centre
        angle = float(np.rad2deg(np.arctan2(to_wound[1], to_wound[0]))) + 0.3 * style.entry[hand]
    back = polar(1.0, angle)
    tip = centre - back * move.forward + np.array([-back[1], back[0]]) * move.lateral * side
    if use.pivot != "none":  # the shaft keeps passing through its wound
        to_wound = _PIVOTS[use.pivot] - tip
        if float(np.hypot(*to_wound)) > 0.15:
            angle = float(np.rad2deg(np.arctan2(to_wound[1], to_wound[0])))
            back = polar(1.0, angle)
    away = 0.0
    if progress < use.enter:
        away = 1.0 - progress / use.enter
    elif progress > use.leave:
        away = (progress - use.leave) / max(1.0 - use.leave, 1e-6)
    tip = tip + back * 2.0 * away
    jaw = 0.5 - 0.5 * np.cos(2 * np.pi * use.jaw * s) if use.jaw else use.jaw_open
    return Pose(
        float(tip[0]), float(tip[1]), angle + move.turn * side, float(jaw), visible=away < 0.98
    )


def _filed_others(phase_id: int, seed: int) -> Programme:
    """ "Others" that OphNet files under another phase: that phase's tissue and tools, in a motion
    that none of its operations has."""
    own = [i for i, phase in enumerate(PHASE_OF_OPERATION) if phase == phase_id]
    if not own:
        raise ValueError(f"phase_id={phase_id} has no operation; use one of the phases 0-51")
    rng = np.random.default_rng([OTHERS_OPERATION, seed])
    base = table().operations[own[int(rng.integers(len(own)))]].variants[0]
    tools = tuple(
        use.model_copy(update={"motion": "wander", "cycles": 0.6, "amp": max(use.amp, 0.15)})
        for use in base.tools
    )
    return base.model_copy(update={"tools": tools})


def _choose(operation_id: int, seed: int, phase_id: int | None) -> Programme:
    operations = table().operations
    if not 0 <= operation_id < len(operations):
        raise ValueError(
            f"operation_id={operation_id} is not in 0-{len(operations) - 1} (OphNet's operations)"
        )
    if operation_id == OTHERS_OPERATION and phase_id is not None and phase_id != OTHERS_PHASE:
        return _filed_others(phase_id, seed)
    variants = operations[operation_id].variants
    return variants[int(np.random.default_rng([operation_id, seed, 1]).integers(len(variants)))]


def _focus(programme: Programme) -> Points:
    """(2,) eye units: the microscope follows the first hand when it works at the wound or outside
    the cornea, so that the site is not at the frame's edge."""
    for use in programme.tools[:1]:
        site = np.array(SITES[use.site])
        if use.pivot == "none" and float(np.hypot(*site)) > _NEAR:
            return -_FOLLOW * site
    return np.zeros(2)


class _Clip:
    """The state shared by the frames of one clip."""

    def __init__(
        self,
        programme: Programme,
        appearance: CaseAppearance,
        rng: np.random.Generator,
        width: int,
        height: int,
    ) -> None:
        self.programme, self.appearance = programme, appearance
        self.width, self.height = width, height
        self.style = _Style.draw(rng, appearance.hand)
        scene = table().scenes[programme.scene]
        self.effects: list[tuple[EffectUse, bool]] = [(use, True) for use in scene]
        self.effects += [(use, False) for use in programme.effects]
        self.focus = _focus(programme)
        self.random = rng.random((len(self.effects), 64))
        self.drift_phase = rng.uniform(0, 2 * np.pi, 4)
        self.jerk = rng.normal(0, 1, (2, 64))

    def _drift(self, second: float, index: int) -> tuple[float, float]:
        """Eye, head and microscope movement in pixels: slow sway plus hand tremor."""
        phase, unit = self.drift_phase, self.appearance.limbus_px * self.height
        sway_x = np.sin(2.1 * second + phase[0]) + 0.5 * np.sin(5.3 * second + phase[1])
        sway_y = np.sin(1.7 * second + phase[2]) + 0.5 * np.sin(4.7 * second + phase[3])
        tremor = self.appearance.tremor * self.jerk[:, index % 64]
        amplitude = self.appearance.drift
        return (
            float(amplitude * sway_x + tremor[0]) * unit,
            float(amplitude * sway_y + tremor[1]) * unit,
        )

    def _poses(self, progress: float) -> list[Pose]:
        return [
            _pose(use, hand, progress, self.style) for hand, use in enumerate(self.programme.tools)
        ]

    def _trail(self, hand: int, start: float, stop: float) -> Points:
        times = np.linspace(start, stop, max(int((stop - start) * 40), 2))
        use = self.programme.tools[hand]
        poses = [_pose(use, hand, float(time), self.style) for time in times]
        return np.array([[pose.x, pose.y] for pose in poses])

    def _apply(self, now: Moment, index: int) -> None:
        use, complete = self.effects[index]
        v = 1.0 if complete else _local_time(now.progress, use.start, use.stop)
        if use.reverse:
            v = 1.0 - v
        now.random = self.random[index]
        if use.at in ("tool", "tool2"):
            now.at = now.tip(0 if use.at == "tool" else 1)
        else:
            now.at = np.array(SITES[use.at])
        EFFECTS[use.effect](now, v, **use.args)

    def frame(
        self, index: int, count: int, fps: float
    ) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        """(height, width, 3) uint8 before the camera, and (height, width) bool mask."""
        factor = 2 if self.height < _SUPERSAMPLE_BELOW else 1
        width, height = self.width * factor, self.height * factor
        dx, dy = self._drift(index / fps, index)
        dx, dy = dx * factor, dy * factor
        view = view_of(self.appearance, width, height)
        # Turning the programme but not the eye: the surgeon sits elsewhere.
        view = replace(view, angle=view.angle + float(np.deg2rad(self.style.turn)))
        move_x, move_y = view.matrix @ self.focus
        dx, dy = dx + float(move_x), dy + float(move_y)
        view = view.shifted(dx, dy)
        shift = np.array([[1.0, 0.0, dx - width / 2], [0.0, 1.0, dy - height / 2]])
        still = eye(self.appearance, width, height)
        image = cv2.warpAffine(still, shift, (width, height), borderMode=cv2.BORDER_REPLICATE)
        canvas = Canvas(image, view)
        progress = float(((index + 0.5) / count) ** self.style.speed)
        now = Moment(
            canvas=canvas,
            appearance=self.appearance,
            progress=progress,
            at=np.zeros(2),
            tips=self._poses(progress),
            trail=self._trail,
            random=self.random[0],
            pupil=self.appearance.pupil,
        )
        order = range(len(self.effects))
        for position in (p for p in order if not self.effects[p][0].over):
            self._apply(now, position)
        offstage = self.programme.scene.startswith("offstage")
        if self.appearance.haze and not offstage:
            canvas.disc((0, 0), 0.99, (196, 202, 208), self.appearance.haze)
        canvas.mask = np.zeros((height, width), np.uint8)
        for use, pose in zip(self.programme.tools, now.tips, strict=True):
            draw_tool(canvas, TOOLS[use.tool], pose, self.appearance)
        mask, canvas.mask = canvas.mask, None
        for position in (p for p in order if self.effects[p][0].over):
            self._apply(now, position)
        if not offstage:
            _glints(canvas, self.appearance)
        if factor > 1:
            image = cv2.resize(image, (self.width, self.height), interpolation=cv2.INTER_AREA)
            mask = cv2.resize(mask, (self.width, self.height), interpolation=cv2.INTER_AREA)
        return image, mask > 127


def _glints(canvas: Canvas, appearance: CaseAppearance) -> None:
    """Reflections of the microscope's lamps on the cornea."""
    for x, y, radius in appearance.glints:
        canvas.disc((x, y), radius * 1.5, (255, 255, 255), 0.35)
        canvas.disc((x, y), radius * 0.8, (255, 255, 255))


@overload
def render_clip(
    operation_id: int, appearance: CaseAppearance, seed: int, num_frames: int, width: int,
    height: int, fps: float = ..., with_mask: Literal[False] = ..., noise: bool = ...,
    phase_id: int | None = ...,
) -> NDArray[np.uint8]: ...  # fmt: skip


@overload
def render_clip(
    operation_id: int, appearance: CaseAppearance, seed: int, num_frames: int, width: int,
    height: int, fps: float = ..., *, with_mask: Literal[True], noise: bool = ...,
    phase_id: int | None = ...,
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]: ...  # fmt: skip


def render_clip(
    operation_id: int,
    appearance: CaseAppearance,
    seed: int,
    num_frames: int,
    width: int,
    height: int,
    fps: float = 8.0,
    with_mask: bool = False,
    noise: bool = True,
    phase_id: int | None = None,
) -> NDArray[np.uint8] | tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """The whole of an operation in `num_frames` frames; the same arguments give the same frames.

    Args: seed: varies speed, entry, amplitude and sense of the strokes. fps: sets only how far
    the eye drifts between frames. phase_id: for "Others" (106), the phase it is filed under.
    Returns: (T, H, W, 3) uint8 RGB, and with `with_mask` also (T, H, W) bool, True on instruments.
    Raises: ValueError: unknown operation, or no frames.
    """
    if num_frames < 1:
        raise ValueError(f"num_frames={num_frames} must be at least 1")
    rng = np.random.default_rng([operation_id, seed])
    clip = _Clip(_choose(operation_id, seed, phase_id), appearance, rng, width, height)
    frames = np.empty((num_frames, height, width, 3), np.uint8)
    masks = np.empty((num_frames, height, width), np.bool_)
    for index in range(num_frames):
        image, masks[index] = clip.frame(index, num_frames, fps)
        frames[index] = develop(image, appearance, rng, noise)
    return (frames, masks) if with_mask else frames
