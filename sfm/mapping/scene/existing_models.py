"""Models that somebody else made, to be grown: free to move, or frozen to the last bit."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Container, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field

import numpy as np
import pycolmap
from numpy.typing import NDArray

from .options import MapperOptions

Element = tuple[int, int]
"""Image id and index of a keypoint."""


@dataclass(frozen=True, slots=True)
class ExistingModels:
    """What registration is to grow.

    Attributes:
        models: with image and camera ids of the database.
        frozen: whether their poses, intrinsics and points must stay as they are.
    """

    models: Sequence[pycolmap.Reconstruction]
    frozen: bool = False

    @property
    def cameras(self) -> frozenset[int]:
        """Ids of their cameras."""
        return frozenset(camera_id for model in self.models for camera_id in model.cameras)

    @property
    def poses(self) -> dict[str, pycolmap.Rigid3d]:
        """cam_from_world of the images of the first model, by name; other models have worlds of their own."""
        first = self.models[0]
        images = (first.image(image_id) for image_id in sorted(first.reg_image_ids()))
        return {image.name: image.cam_from_world() for image in images}

    def base_of(self, model: pycolmap.Reconstruction) -> pycolmap.Reconstruction | None:
        """The given model that `model` grew from: the one it shares most images with; None: it is new."""
        ids = set(model.reg_image_ids())
        shared = [len(ids.intersection(existing.reg_image_ids())) for existing in self.models]
        best = max(range(len(shared)), key=lambda i: shared[i], default=None)
        return self.models[best] if best is not None and shared[best] else None


def known_part(model: pycolmap.Reconstruction, image_ids: Container[int]) -> pycolmap.Reconstruction:
    """The model, or a copy without the images that no verified pair connects: no mapper takes those."""
    strangers = [image_id for image_id in sorted(model.reg_image_ids()) if image_id not in image_ids]
    if not strangers:
        return model
    known = copy.deepcopy(model)
    for image_id in strangers:
        for index, point in enumerate(known.image(image_id).points2D):
            if point.has_point3D():
                known.delete_observation(image_id, index)
        known.deregister_frame(known.image(image_id).frame_id)
    known.tear_down()
    return known


def grafted(
    base: pycolmap.Reconstruction,
    grown: pycolmap.Reconstruction,
    options: MapperOptions,
    *,
    adjusts: bool = True,
) -> pycolmap.Reconstruction:
    """`base`, untouched, with the images that `grown` has beyond it, adjusted to it.

    A mapper that holds poses still moves points, merges tracks and filters observations. So what it found
    out about new images is taken over instead: their poses, their observations of points of `base`, and new
    points. These are adjusted once more, with new cameras, and with all of `base` held constant.

    Args:
        base: stays as it is; every pose, camera and point of it is in the result, bit by bit.
        grown: grown from `base`; the same image and camera ids, keypoints only appended.
        options: of the adjustment, and thresholds for observations.
        adjusts: whether new images are adjusted; else their poses and intrinsics stay as they are in `grown`.
    """
    result = copy.deepcopy(base)
    graft = _Graft(result, set(base.reg_image_ids()), set(base.point3D_ids()))
    graft.lengthen_keypoints(grown)
    graft.add_images(grown)
    graft.add_tracks(grown)
    if graft.new_images:
        if adjusts:
            graft.adjust(base, options)
            if len(graft.old_images) == 1:  # which leave the scale open
                (fixed,) = graft.old_images
                scale_as(result, {i: grown.image(i).projection_center() for i in graft.new_images}, fixed)
                graft.restore(base)
        graft.drop_outliers(options.mapper)
    result.update_point_3d_errors()
    return result


def scale_as(model: pycolmap.Reconstruction, centres: Mapping[int, NDArray[np.float64]], fixed: int) -> None:
    """Scale a model about the centre of one image, in place.

    Args:
        model: to scale.
        centres: (3,) of images by id; the median distance from `fixed` is made that of these.
        fixed: id of the image that stays where it is.
    """
    about = model.image(fixed).projection_center()
    ids = [i for i in sorted(centres) if i in set(model.reg_image_ids()) and i != fixed]
    here = [float(np.linalg.norm(model.image(i).projection_center() - about)) for i in ids]
    there = [float(np.linalg.norm(centres[i] - about)) for i in ids]
    if not ids or not np.median(here) > 0 or not np.median(there) > 0:
        return
    ratio = float(np.median(there) / np.median(here))
    model.transform(pycolmap.Sim3d(ratio, pycolmap.Rotation3d(), (1 - ratio) * about))


@dataclass(slots=True)
class _Graft:
    model: pycolmap.Reconstruction
    old_images: Set[int]
    old_points: Set[int]
    new_images: list[int] = field(default_factory=list)
    new_points: list[int] = field(default_factory=list)
    added: list[Element] = field(default_factory=list)
    """Observations of points of the base by new images."""

    def lengthen_keypoints(self, grown: pycolmap.Reconstruction) -> None:
        for image_id in sorted(self.old_images & set(grown.reg_image_ids())):
            points, longer = self.model.image(image_id).points2D, grown.image(image_id).points2D
            for index in range(len(points), len(longer)):
                points.append(pycolmap.Point2D(longer[index].xy))

    def add_images(self, grown: pycolmap.Reconstruction) -> None:
        for image_id in sorted(set(grown.reg_image_ids()) - self.old_images):
            image = grown.image(image_id)
            if not self.model.exists_camera(image.camera_id):
                self.model.add_camera_with_trivial_rig(copy.copy(grown.camera(image.camera_id)))
            xy = np.array([point.xy for point in image.points2D]).reshape(-1, 2)
            copied = pycolmap.Image(image.name, xy, image.camera_id, image_id)
            self.model.add_image_with_trivial_frame(copied, image.cam_from_world())
            self.new_images.append(image_id)

    def add_tracks(self, grown: pycolmap.Reconstruction) -> None:
        owner_of = _points_of_keypoints(self.model, self.old_images)
        new = set(self.new_images)
        for point_id in sorted(grown.point3D_ids()):
            point = grown.point3D(point_id)
            elements = sorted((e.image_id, e.point2D_idx) for e in point.track.elements)
            owner = _owner(elements, owner_of)
            if owner is None:
                self._add_point(point, elements)
                continue
            for image_id, index in elements:
                if image_id in new and not self._is_taken(image_id, index):
                    self.model.add_observation(owner, pycolmap.TrackElement(image_id, index))
                    self.added.append((image_id, index))

    def _add_point(self, point: pycolmap.Point3D, elements: Sequence[Element]) -> None:
        free = [(i, j) for i, j in elements if self.model.exists_image(i) and not self._is_taken(i, j)]
        if len({i for i, _ in free}) >= 2:
            track = pycolmap.Track([pycolmap.TrackElement(i, j) for i, j in free])
            self.new_points.append(self.model.add_point3D(point.xyz, track, point.color))

    def _is_taken(self, image_id: int, index: int) -> bool:
        return bool(self.model.image(image_id).points2D[index].has_point3D())

    def adjust(self, base: pycolmap.Reconstruction, options: MapperOptions) -> None:
        seen_by = {e.image_id for i in self.new_points for e in self.model.point3D(i).track.elements}
        config = pycolmap.BundleAdjustmentConfig()
        for image_id in sorted(seen_by | set(self.new_images)):
            config.add_image(image_id)
            if image_id in self.old_images:
                config.set_constant_rig_from_world_pose(self.model.image(image_id).frame_id)
        for camera_id in base.cameras:
            config.set_constant_cam_intrinsics(camera_id)
        for camera_id in options.mapper.constant_cameras:
            if self.model.exists_camera(camera_id):
                config.set_constant_cam_intrinsics(camera_id)
        for point_id in sorted({self._point_at(*element) for element in self.added}):
            config.add_constant_point(point_id)
        pycolmap.create_default_bundle_adjuster(options.global_ba, config, self.model).solve()
        self.restore(base)

    def _point_at(self, image_id: int, index: int) -> int:
        return int(self.model.image(image_id).points2D[index].point3D_id)

    def restore(self, base: pycolmap.Reconstruction) -> None:
        """What was constant, exactly: adjustment normalises quaternions, constant ones too."""
        for frame_id in base.reg_frame_ids():
            self.model.frame(frame_id).rig_from_world = base.frame(frame_id).rig_from_world
        for camera_id, camera in base.cameras.items():
            self.model.camera(camera_id).params = camera.params
        for point_id in self.old_points:
            self.model.point3D(point_id).xyz = base.point3D(point_id).xyz

    def drop_outliers(self, options: pycolmap.IncrementalMapperOptions) -> None:
        manager = pycolmap.ObservationManager(self.model)
        manager.filter_points3D(
            options.filter_max_reproj_error, options.filter_min_tri_angle, set(self.new_points)
        )
        for image_id, index in self.added:
            image = self.model.image(image_id)
            point2D = image.points2D[index]
            seen = image.project_point(self.model.point3D(point2D.point3D_id).xyz)
            if seen is None or np.linalg.norm(seen - point2D.xy) > options.filter_max_reproj_error:
                self.model.delete_observation(image_id, index)


def _points_of_keypoints(
    model: pycolmap.Reconstruction, image_ids: Iterable[int]
) -> dict[int, NDArray[np.uint64]]:
    """For each image the point that each keypoint observes; the largest number where it observes none."""
    return {i: np.array([p.point3D_id for p in model.image(i).points2D], np.uint64) for i in image_ids}


def _owner(elements: Sequence[Element], owner_of: Mapping[int, NDArray[np.uint64]]) -> int | None:
    """The old point that most old keypoints of a track observe; None where they observe none."""
    found = [int(owner_of[i][j]) for i, j in elements if i in owner_of and j < len(owner_of[i])]
    votes = Counter(point for point in found if point != pycolmap.INVALID_POINT3D_ID)
    return min(votes, key=lambda point: (-votes[point], point)) if votes else None
