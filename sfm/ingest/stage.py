"""First stage: a folder of files becomes a collection of sound photos with cameras."""

from __future__ import annotations

import logging
import os
import stat
import warnings
from collections.abc import Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from pathlib import Path

from sfm.config.schema import ImagesConfig
from sfm.errors import InputError
from sfm.ingest.cameras import Shot, assign_cameras
from sfm.ingest.discover import FoundFile, Listing, discover, with_earlier
from sfm.ingest.examine import Examined, Shelf, Unusable
from sfm.ingest.manifest import Manifest
from sfm.ingest.masks import Maskable, find_masks
from sfm.ingest.names import model_name
from sfm.ingest.placement import SoundPhoto, name_photos, place_photos
from sfm.ingest.rigs import check_rig_photos, read_rig_config, sensors_of
from sfm.ingest.survey import examine_all
from sfm.types import CameraSpec, Collection, Photo, Rig, RigSensor, Skipped
from sfm.untrusted.names import path_below
from sfm.workspace.events import EventSink
from sfm.workspace.progress import Progress
from sfm.workspace.workspace import os_errors_as_workspace_errors, refuse_links

_log = logging.getLogger(__name__)

_NUM_LISTED = 10
_RAW_SUFFIXES = frozenset({".cr2", ".cr3", ".nef", ".arw", ".dng", ".raf", ".orf", ".rw2", ".pef", ".srw"})
_VIDEO_SUFFIXES = frozenset({".mp4", ".mov", ".avi", ".mkv", ".m4v", ".webm", ".mts"})
_ARCHIVE_SUFFIXES = frozenset({".zip", ".tar", ".gz", ".tgz", ".7z", ".rar"})
_FRAMES_OF_A_VIDEO = "take frames out of a video first: ffmpeg -i VIDEO -r 2 -q:v 2 photos/%05d.jpg"


def ingest(
    root: Path,
    *,
    images_dir: Path,
    cache_dir: Path,
    config: ImagesConfig,
    threads: int,
    events: EventSink,
    progress: Progress,
    min_photos: int = 2,
    earlier: Sequence[FoundFile] = (),
) -> Collection:
    """Find, check and name all photos of a folder, and give them cameras and masks.

    Each photo is decoded completely once; later calls reuse `cache_dir/images.json` for unchanged files.
    Afterwards `images_dir` holds each photo under its model name. An entry is a link to the user's file, or
    an upright copy (`x.heic.jpg`) where COLMAP cannot read it. Thumbnails are at `thumbnail_path`.

    Args:
        root: the user's photos, in any depth of folders; never written to.
        images_dir: the model's photo folder, only entries of ours are replaced or removed.
        cache_dir: for thumbnails, converted copies, links to masks and the manifest.
        events: gets `photo`, `skipped`, `duplicate` and `ignored`.
        min_photos: fewer usable ones are refused.
        earlier: photos from elsewhere that come first and keep their names, see `with_earlier`.

    Raises:
        ConfigError: two kinds of known intrinsics at once.
        InputError: no such folder, fewer than `min_photos` usable photos, or masks, intrinsics or rigs that
            do not fit.
        WorkspaceError: the output cannot be written, or a foreign file stands in a photo's place.
    """
    rigs = read_rig_config(Path(config.rig_config)) if config.rig_config is not None else ()
    with os_errors_as_workspace_errors(images_dir), _quiet_decoders():
        for folder in sorted({file.path.parent for file in earlier}):
            refuse_links(images_dir.parent, folder)
        listing = _listing(root, images_dir=images_dir, cache_dir=cache_dir, config=config)
        listing = with_earlier(listing, earlier, root.resolve().name)
        shelf = Shelf(cache_dir, config.thumbnail_size)
        manifest = Manifest(shelf)
        results = examine_all(listing.files, shelf, manifest, threads, progress)
        skipped = [*listing.unreachable]
        kept = frozenset(file.name for file in earlier)
        sound, duplicates = _without_duplicates(listing.files, results, skipped, kept)
        if len(sound) < min_photos:
            raise _too_few(root, sound, listing, skipped, min_photos)
        placed = place_photos(name_photos(sound), root, images_dir, shelf, manifest, skipped)
        if len(placed) < min_photos:
            raise _too_few(root, placed, listing, skipped, min_photos)
        masks = _masks(placed, config, manifest, cache_dir, threads)
        manifest.save(present=frozenset(file.name for file in listing.files))
        if config.rig_config is not None:
            check_rig_photos(Path(config.rig_config), rigs, [photo.name for photo in placed])
        cameras, camera_ids = assign_cameras(_shots(placed, rigs), config)
    photos = tuple(_photo(p, images_dir, camera_ids[p.name], masks.get(p.name)) for p in placed)
    shown = tuple(sorted((Skipped(model_name(s.name), s.reason) for s in skipped), key=lambda s: s.name))
    collection = Collection(photos, cameras, shown, duplicates, rigs)
    _emit(collection, listing, events)
    return collection


def require_photos(root: Path) -> None:
    """Refuse a folder that can hold no photos, before anything else is asked for.

    Raises:
        InputError: no such folder, or no file in it that could be a photo.
    """
    _require_folder(root)
    listing = discover(root)
    if not listing.files:
        raise _too_few(root, (), listing, listing.unreachable, min_photos=2)


def thumbnail_path(cache_dir: Path, photo: Photo) -> Path:
    """Upright JPEG of a photo, `ImagesConfig.thumbnail_size` px at most, made by `ingest`."""
    return Shelf(cache_dir, 0).thumbnail(photo.sha256)


@contextmanager
def _quiet_decoders() -> Iterator[None]:
    """Pillow warns of damaged metadata; what matters of it reaches the user as a reason."""
    # Once around all threads, since filters belong to the whole process.
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=UserWarning, module="PIL")
        warnings.filterwarnings("ignore", category=UserWarning, module="pillow_heif")
        yield


def _listing(root: Path, *, images_dir: Path, cache_dir: Path, config: ImagesConfig) -> Listing:
    _require_folder(root)
    real, output = Path(os.path.realpath(root)), Path(os.path.realpath(images_dir.parent))
    if real == output or real.is_relative_to(Path(os.path.realpath(images_dir))):
        raise InputError(f"{root} is the output folder itself", hint="choose another folder for the output")
    refuse_links(images_dir.parent, root)
    masks = Path(config.masks) if config.masks is not None else None
    beside = masks is not None and Path(os.path.realpath(masks)) == real
    excluded = [images_dir.parent, cache_dir, *([masks] if masks is not None and not beside else [])]
    listing = discover(root, excluded=excluded)
    return _without_masks(listing) if beside else listing


def _require_folder(root: Path) -> None:
    try:
        status = root.stat()
    except FileNotFoundError:
        raise InputError(f"{root} does not exist", hint="give the folder that holds the photos") from None
    except OSError as error:
        raise InputError(f"{root} cannot be read: {error.strerror}") from error
    if not stat.S_ISDIR(status.st_mode):
        raise InputError(f"{root} is a file", hint=_hint_for_file(root))


def _without_masks(listing: Listing) -> Listing:
    """Masks that lie among the photos are no photos."""
    names = {file.name for file in listing.files}
    photos = tuple(f for f in listing.files if not (f.name.endswith(".png") and f.name[:-4] in names))
    return Listing(photos, listing.unreachable, listing.num_ignored, listing.ignored_examples)


def _without_duplicates(
    files: Sequence[FoundFile],
    results: Mapping[str, Examined | Unusable],
    skipped: list[Skipped],
    kept: Set[str],
) -> tuple[list[tuple[FoundFile, Examined]], tuple[tuple[str, ...], ...]]:
    """The first of each group of equal files, and all that are `kept`; others are appended to `skipped`."""
    groups: dict[str, list[tuple[FoundFile, Examined]]] = {}
    for file in files:
        match results[file.name]:
            case Unusable(reason=reason):
                skipped.append(Skipped(file.name, reason))
            case Examined() as found:
                groups.setdefault(found.sha256, []).append((file, found))
    for (first, _), *others in groups.values():
        reason = f"same content as {model_name(first.name)}"
        skipped += [Skipped(file.name, reason) for file, _ in others if file.name not in kept]
    repeated = tuple(
        tuple(model_name(file.name) for file, _ in group) for group in groups.values() if len(group) > 1
    )
    sound = [one for group in groups.values() for i, one in enumerate(group) if i == 0 or one[0].name in kept]
    return sound, repeated


def _too_few(
    root: Path, usable: Sequence[object], listing: Listing, skipped: Sequence[Skipped], min_photos: int
) -> InputError:
    if not usable and not skipped:
        return InputError(f"no photos under {root}", hint=_hint_for(listing))
    reasons = [f"{model_name(s.name)}: {s.reason}" for s in skipped[:_NUM_LISTED]]
    if len(skipped) > _NUM_LISTED:
        reasons.append(f"and {len(skipped) - _NUM_LISTED} more")
    count = "only one usable photo" if usable else "no usable photo"
    why = f" (skipped: {'; '.join(reasons)})" if reasons else ""
    return InputError(f"{count} under {root}{why}", hint=needed_photos(min_photos))


def needed_photos(min_photos: int) -> str:
    """Advice where there are fewer photos than a model needs."""
    if min_photos < 2:
        return "a model needs a photo"
    return (
        "a model needs at least two different photos; of one alone, `sfm run` with backend=mast3r makes a "
        "scene from the depth that its network sees (sfm weights)"
    )


def _hint_for_file(path: Path) -> str:
    if path.suffix.lower() in _VIDEO_SUFFIXES:
        return _FRAMES_OF_A_VIDEO
    if path.suffix.lower() in _ARCHIVE_SUFFIXES:
        return "unpack it, and give the folder that holds the photos"
    return "give the folder that holds the photos"


def _hint_for(listing: Listing) -> str:
    suffixes = _suffixes(listing)
    if suffixes & _RAW_SUFFIXES:
        return "convert raw files to JPEG or TIFF first"
    if suffixes & _VIDEO_SUFFIXES:
        return _FRAMES_OF_A_VIDEO
    return "photos are .jpg .png .tif .webp .heic .avif .bmp files, in any subfolder"


def _suffixes(listing: Listing) -> set[str]:
    return {Path(name).suffix.lower() for name in listing.ignored_examples}


def _masks(
    photos: Sequence[SoundPhoto], config: ImagesConfig, manifest: Manifest, cache_dir: Path, threads: int
) -> Mapping[str, Path]:
    if config.masks is None:
        return {}
    maskable = [
        Maskable(p.name, p.file.name, p.file.path, (p.found.width, p.found.height), p.found.orientation)
        for p in photos
    ]
    try:
        return find_masks(maskable, Path(config.masks), manifest, cache_dir=cache_dir, threads=threads)
    finally:
        # Where one mask is refused, the others need not be decoded again.
        manifest.save()


def _shots(photos: Sequence[SoundPhoto], rigs: Sequence[Rig]) -> list[Shot]:
    prefix_of = sensors_of(rigs, [photo.name for photo in photos])
    sensor_of = {sensor.prefix: sensor for rig in rigs for sensor in rig.sensors}
    return [_shot(photo, sensor_of.get(prefix_of.get(photo.name, ""))) for photo in photos]


def _shot(photo: SoundPhoto, sensor: RigSensor | None) -> Shot:
    found, size = photo.found, (photo.found.width, photo.found.height)
    return Shot(photo.name, size, found.exif.focal_px, found.device, sensor, found.is_panorama)


def _photo(photo: SoundPhoto, images_dir: Path, camera_id: int, mask: Path | None) -> Photo:
    found = photo.found
    return Photo(
        name=photo.name,
        path=path_below(images_dir, photo.name) if found.copy_suffix else photo.file.path,
        source=photo.file.path,
        sha256=found.sha256,
        width=found.width,
        height=found.height,
        orientation=found.orientation,
        camera_id=camera_id,
        exif=found.exif,
        mask=mask,
    )


def _emit(collection: Collection, listing: Listing, events: EventSink) -> None:
    for photo in collection.photos:
        _emit_photo(photo, collection.cameras[photo.camera_id], events)
    for skipped in collection.skipped:
        events.emit("ingest", "skipped", name=skipped.name, reason=skipped.reason)
    for names in collection.duplicates:
        events.emit("ingest", "duplicate", names=list(names))
    if listing.num_ignored:
        examples = [model_name(name) for name in listing.ignored_examples]
        events.emit("ingest", "ignored", num_files=listing.num_ignored, examples=examples)
        if _suffixes(listing) & (_RAW_SUFFIXES | _VIDEO_SUFFIXES):
            _log.warning(
                "%d files are not photos and were left out, such as %s: %s",
                listing.num_ignored,
                examples[0],
                _hint_for(listing),
            )


def _emit_photo(photo: Photo, camera: CameraSpec, events: EventSink) -> None:
    # A photo that bears another name in the model than on the disk is listed with its file.
    renamed = {} if str(photo.source).endswith(photo.name) else {"source": model_name(str(photo.source))}
    events.emit(
        "ingest",
        "photo",
        name=photo.name,
        width=photo.width,
        height=photo.height,
        camera_id=photo.camera_id,
        orientation=photo.orientation,
        has_prior_focal_length=camera.has_prior_focal_length,
        **renamed,
    )
