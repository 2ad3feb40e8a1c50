"""Structure from motion by COLMAP: where the camera stood at each frame.

frames -> SIFT features -> all pairs matched and verified -> cameras added one by one -> the largest
model. All pairs, so the order of the frames does not matter.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import cv2
import numpy as np

from benchmarks.audits.scene.cameras import Cameras
from core.errors import UserError
from core.video import Frames

# COLMAP's defaults are for many large photographs from all around. Our choice, for a short clip:
FIRST_ANGLE_DEG = 4.0  # between the rays of the first two cameras; 16 there
FIRST_MATCHES = 30  # of the first two cameras; 100 there
POSE_MATCHES = 15  # of each further one; 30 there


def check_installed() -> None:
    """Raises: UserError: if pycolmap is not."""
    if importlib.util.find_spec("pycolmap") is None:
        raise UserError(
            "structure from motion: pycolmap is not installed; `pip install --no-deps pycolmap`"
        )


def register(frames: Frames, seed: int = 0) -> Cameras | None:
    """(T, H, W, 3) uint8 -> the cameras of the frames that could be placed; None if none could.

    Raises: UserError: if pycolmap is not installed.
    """
    check_installed()
    import pycolmap

    pycolmap.logging.minloglevel = pycolmap.logging.Level.FATAL.value
    with TemporaryDirectory() as place:
        folder = Path(place)
        (folder / "frames").mkdir()
        for number, frame in enumerate(frames):
            # Not PNG: COLMAP cannot inflate it once decord, with a zlib of its own, is loaded.
            path = folder / "frames" / f"{number:05d}.bmp"
            path.write_bytes(
                cv2.imencode(".bmp", cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))[1].tobytes()
            )
        models = _models(pycolmap, folder, seed)
    if not models:
        return None
    return _cameras(max(models, key=lambda model: (model.num_reg_images(), model.num_points3D())))


def _models(pycolmap: Any, folder: Path, seed: int) -> list[Any]:
    """COLMAP's reconstructions of `folder`/frames: separate ones where they do not connect."""
    pycolmap.set_random_seed(seed)
    database, images = folder / "database.db", folder / "frames"
    reader = pycolmap.ImageReaderOptions(camera_model="SIMPLE_PINHOLE")
    extraction = pycolmap.FeatureExtractionOptions(num_threads=1, use_gpu=False)
    pycolmap.extract_features(
        database,
        images,
        camera_mode=pycolmap.CameraMode.SINGLE,
        reader_options=reader,
        extraction_options=extraction,
        device=pycolmap.Device.cpu,
    )
    matching = pycolmap.FeatureMatchingOptions(num_threads=1, use_gpu=False)
    verification = pycolmap.TwoViewGeometryOptions()
    verification.ransac.random_seed = seed
    pycolmap.match_exhaustive(
        database,
        matching_options=matching,
        verification_options=verification,
        device=pycolmap.Device.cpu,
    )
    options = pycolmap.IncrementalPipelineOptions(
        num_threads=1, random_seed=seed, min_model_size=3, extract_colors=False
    )
    options.mapper.init_min_tri_angle = FIRST_ANGLE_DEG
    options.mapper.init_min_num_inliers = FIRST_MATCHES
    options.mapper.abs_pose_min_num_inliers = POSE_MATCHES
    options.mapper.init_max_forward_motion = 1.0  # endoscopes move forwards
    return list(pycolmap.incremental_mapping(database, images, folder, options=options).values())


def _cameras(model: Any) -> Cameras:
    images = sorted(model.images.values(), key=lambda image: image.name)
    placed = [image for image in images if image.has_pose]
    poses = [image.cam_from_world() for image in placed]
    camera = next(iter(model.cameras.values()))
    return Cameras(
        focal_px=float(camera.params[0]),
        size=(camera.width, camera.height),
        rotations=np.array([pose.rotation.matrix() for pose in poses]),
        translations=np.array([pose.translation for pose in poses]),
        frames=tuple(int(Path(image.name).stem) for image in placed),
        points=np.array([point.xyz for point in model.points3D.values()]),
    )
