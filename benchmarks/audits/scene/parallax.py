"""Do near things move against far ones? Without that, pictures hold no depth.

frames -> SIFT features -> matches of frames far apart -> how many one homography explains, of those
that a fundamental matrix does

A camera that only turns or zooms, and one that moves before a flat wall, give a homography.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from core.video import Frames

MATCHES = 15  # Source: COLMAP's min_num_inliers
FLAT = 0.8  # Source: COLMAP's max_H_inlier_ratio
RATIO = 0.8  # between the nearest and the second nearest feature. Source: COLMAP's max_ratio
ERROR_PX = 1.0  # our choice: COLMAP's 4 are for photographs of a thousand pixels and more
STILL_PX = 0.5  # our choice: what encoding moves a feature by
GAPS = (0.75, 0.5, 0.25)  # of the clip: the widest at which frames still have much in common

Kind = Literal["parallax", "flat", "still", "featureless"]
Seen = tuple[Sequence[Any], NDArray[np.float32] | None]  # keypoints, descriptors
Matched = NDArray[np.float32]  # (M, 2, 2): x, y in the one frame and in the other


@dataclass(frozen=True)
class Motion:
    """What the frames of a clip do.

    kind: "flat" where one homography a pair explains the motion, "still" where nothing moves,
    "featureless" where too little is found again. shift_px: median way of a feature. explained: the
    share of the matches of rigid motion that a homography explains.
    """

    kind: Kind
    shift_px: float = 0.0
    explained: float = 1.0


def motion_of(frames: Frames) -> Motion:
    """(T, H, W, 3) uint8 -> how its picture moves."""
    sift = cv2.SIFT.create(nfeatures=1000)
    seen = [sift.detectAndCompute(cv2.cvtColor(f, cv2.COLOR_RGB2GRAY), None) for f in frames]
    last = len(frames) - 1
    for gap in dict.fromkeys(max(1, round(share * last)) for share in GAPS):
        pairs = [matched(seen[i], seen[i + gap]) for i in range(len(frames) - gap)]
        enough = [pair for pair in pairs if len(pair) >= MATCHES]
        if enough and 2 * len(enough) >= len(pairs):
            return _judged(enough)
    return Motion("featureless")


def _judged(pairs: list[Matched]) -> Motion:
    """The motion that pairs of frames show together."""
    ways = np.concatenate([np.linalg.norm(pair[:, 1] - pair[:, 0], axis=1) for pair in pairs])
    shift = float(np.median(ways))
    if np.quantile(ways, 0.9) < STILL_PX:
        return Motion("still", shift)
    rigid, flat = np.sum([_explained(pair) for pair in pairs], axis=0)
    share = float(flat / max(rigid, 1))
    return Motion("flat" if share >= FLAT else "parallax", shift, share)


def matched(one: Seen, other: Seen) -> Matched:
    """The features of two frames that are each other's nearest."""
    if one[1] is None or other[1] is None or min(len(one[1]), len(other[1])) < 2:
        return np.empty((0, 2, 2), np.float32)
    matcher = cv2.BFMatcher(cv2.NORM_L2)
    back = {pair[0].queryIdx: pair[0].trainIdx for pair in matcher.knnMatch(other[1], one[1], k=1)}
    kept = [
        (one[0][first.queryIdx].pt, other[0][first.trainIdx].pt)
        for first, second in matcher.knnMatch(one[1], other[1], k=2)
        if first.distance < RATIO * second.distance and back[first.trainIdx] == first.queryIdx
    ]
    return np.array(kept, np.float32).reshape(-1, 2, 2)


def _explained(pair: Matched) -> tuple[int, int]:
    """How many matches a fundamental matrix explains, and how many of those a homography."""
    one, other = pair[:, 0], pair[:, 1]
    _, rigid = cv2.findFundamentalMat(one, other, cv2.FM_RANSAC, ERROR_PX, 0.999)
    _, flat = cv2.findHomography(one, other, cv2.RANSAC, ERROR_PX, confidence=0.999)
    if rigid is None or flat is None:
        return 0, 0
    return int(rigid.sum()), int((rigid & flat).sum())
