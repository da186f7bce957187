"""Every option of the engine, its type, range, default and what it does.

Plain frozen dataclasses: stages receive their own section. Ranges are `annotated_types`; the text below a
field is its documentation, which `sfm config` and the JSON schema print. Validation is in `loading.py`.
Fields annotated "internal" are for tests and benchmarks, which set them as `internal.SECTION.FIELD`; a field
`colmap` carries what the section `colmap` sets of the same stage.
"""

from dataclasses import dataclass, field, replace
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le

from retrieval.config import RetrievalConfig

from .colmap import NOTHING_SET, ColmapValues
from .cores import num_cores

CameraModel = Literal[
    "SIMPLE_PINHOLE",
    "PINHOLE",
    "SIMPLE_RADIAL",
    "RADIAL",
    "OPENCV",
    "FULL_OPENCV",
    "FOV",
    "SIMPLE_DIVISION",
    "DIVISION",
    "EUCM",
    "SIMPLE_FISHEYE",
    "FISHEYE",
    "SIMPLE_RADIAL_FISHEYE",
    "RADIAL_FISHEYE",
    "OPENCV_FISHEYE",
    "THIN_PRISM_FISHEYE",
    "RAD_TAN_THIN_PRISM_FISHEYE",
    "EQUIRECTANGULAR",
]
"""All of pycolmap's; which of their parameters are focal lengths, principal point or distortion, it says."""

LossFunction = Literal["evidence", "TRIVIAL", "CAUCHY"]


@dataclass(frozen=True, slots=True)
class ImagesConfig:
    """How photos are read and which cameras took them."""

    camera_model: Literal[CameraModel, "auto"] = "auto"
    """COLMAP camera model of photos whose intrinsics are not given. auto: SIMPLE_RADIAL,
    SIMPLE_RADIAL_FISHEYE where the matches of several pairs clearly speak for a fisheye, or EQUIRECTANGULAR
    where most photos are panoramas that show the whole sphere."""
    camera_sharing: Literal["auto", "single", "per_folder", "per_image"] = "auto"
    """Which photos share one camera. auto: with EXIF per device, focal length and size; without per folder
    and size."""
    camera_params: str | None = None
    """Known intrinsics, comma-separated in COLMAP's order, for all photos; they are not refined."""
    cameras_file: str | None = None
    """Known intrinsics as a COLMAP cameras.txt: one camera for all photos, or several, assigned by image
    size."""
    rig_config: str | None = None
    """Cameras that are fixed to each other, as COLMAP's rig_config.json; unknown poses in the rig are found
    from a first model."""
    default_focal_factor: Annotated[float, Gt(0)] = 1.2
    """Focal length of photos without EXIF, as a multiple of the longer side (a first guess, refined)."""
    masks: str | None = None
    """Folder of masks, COLMAP's naming (photo.jpg.png): no keypoints where the mask is black."""
    thumbnail_size: Annotated[int, Ge(64), Le(1024), "internal"] = 256
    """Longer side of the report's thumbnails, px."""

    @property
    def first_camera_model(self) -> CameraModel:
        """The model that cameras begin with."""
        return "SIMPLE_RADIAL" if self.camera_model == "auto" else self.camera_model


@dataclass(frozen=True, slots=True)
class SiftConfig:
    """SIFT keypoints and descriptors: OpenCV's, or those of pycolmap where its own options are set."""

    max_image_size: Annotated[int, Ge(64)] = 2400
    """Larger photos are reduced to this longer side before detection, px; bounds memory (about 1.5 GB a
    thread)."""
    max_num_features: Annotated[int, Ge(16)] = 8192
    """Keypoints a photo, largest scale first; one with two orientations counts once, and is stored twice."""
    upright: bool = False
    """Ignore keypoint orientation; only where no photo is rolled."""
    colmap: ColmapValues = NOTHING_SET


@dataclass(frozen=True, slots=True)
class MatchingConfig:
    """How a pair of photos is matched."""

    colmap: ColmapValues = NOTHING_SET


@dataclass(frozen=True, slots=True)
class AlikedConfig:
    """The aliked backend: ALIKED keypoints and LightGlue matches; needs `pip install 'loopsfm[aliked]'`."""

    device: Annotated[Literal["auto", "cpu", "cuda", "mps"], "internal"] = "auto"
    """Where the networks run; auto: the fastest device."""
    detector: Annotated[Literal["n16rot", "n16", "n32"], "internal"] = "n16rot"
    """ALIKED's published networks: n16rot for photos that may be turned, n16, or n32 with more samples."""
    max_keypoints: Annotated[int, Ge(16), "internal"] = 2048
    """Keypoints a photo, best first."""


@dataclass(frozen=True, slots=True)
class Mast3rConfig:
    """The mast3r backend: a network that matches photos densely; needs weights (`sfm weights`)."""

    weights: str | None = None
    """The network's weights: a .pth, a .safetensors with its config.json beside it, or a folder with either,
    such as the Hugging Face hub writes; null: from the weights folder, else from the hub's cache. Retrieval's
    files are looked for beside it, then in the weights folder."""
    weights_dir: str | None = None
    """Folder of the weights; null: $LOOPSFM_WEIGHTS, else the user's cache folder."""
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """Where the network runs."""
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    """Arithmetic of encoder and decoder. auto: bf16 on CUDA, fp32 elsewhere."""
    image_size: Annotated[int, Ge(32), Le(2048)] = 512
    """Longer side of the network's images, px; the weights were trained at 512."""
    batch_size: Annotated[int, Ge(1)] | None = None
    """Pairs at a time; null: by free memory. Halved when memory runs out."""
    compile: bool = False
    """Compile the network first: minutes once, quicker pairs."""
    subsample_px: Annotated[int, Ge(1), "internal"] = 8
    """Matches start from every so-many-th pixel of the network's images."""
    min_confidence: Annotated[float, Ge(0), "internal"] = 1.001
    """Matches with a smaller descriptor confidence are dropped."""
    one_direction_first: Annotated[bool, "internal"] = True
    """Infer a pair in one direction first, and in the other only when enough matches were found."""
    min_first_matches: Annotated[int, Ge(0), "internal"] = 40
    """Confident matches that one direction must give for the other to be inferred."""
    pointmaps: Annotated[bool, "internal"] = False
    """Infer all pairs in both directions and keep sums over all their points, as register.mapper=alignment
    always does. `sfm extend` sets it for models made so."""
    depth: Literal["never", "few", "all"] = "few"
    """Depth of photos, for low overlap and metric scale: never; few: from a photo's first few kept pairs;
    all: of both photos of every kept pair."""
    depth_pairs_per_photo: Annotated[int, Ge(1), "internal"] = 2
    """With depth=few: kept pairs that depth of a photo is taken from."""
    depth_lifting: Annotated[bool, "internal"] = True
    """Let depth stand in where a photo shares no point with a model but matches one of its photos."""
    max_keypoints: Annotated[int, Ge(16)] = 8192
    """Keypoints a photo in the first round."""
    max_matches: Annotated[int, Ge(16), "internal"] = 4096
    """Matches a pair."""
    tracks: Annotated[Literal["canonical", "naive", "union-find"], "internal"] = "canonical"
    """How matches become keypoints: canonical keypoints, transferred by the local affine field. To compare,
    naive: rounded to network pixels; union-find: the same without tracks of two keypoints of a photo."""
    snap_to_sift: bool = False
    """Move new keypoints onto SIFT corners within a network pixel."""
    refine_matches: bool = False
    """Refine matches to less than a pixel by the correlation of descriptors."""
    coarse_to_fine: bool = False
    """Match photos larger than the network's images again in windows at full size; slow without a GPU."""
    max_windows: Annotated[int, Ge(1)] = 16
    """With coarse_to_fine: window pairs a pair of photos."""
    oracle: Annotated[str | None, "internal"] = None
    """Folder of a scene rendered with depth (tools/render_scene.py --depth) that answers in place of the
    network; for tests."""
    oracle_wrong_matches: Annotated[float, Ge(0), Le(1), "internal"] = 0.0
    """With oracle: share of patches that exchange their descriptors, for wrong matches; for tests."""
    oracle_noise: Annotated[float, Ge(0), "internal"] = 1.0
    """With oracle: its noise (matches 0.2 px, depth 1 %, scale of a direction 2 %) times this; for tests."""
    oracle_sky: Annotated[float | None, "internal"] = None
    """With oracle: where sky is put, in depths of the farthest things of its photo; null puts all of it very
    far away, straight ahead; for tests."""


@dataclass(frozen=True, slots=True)
class VerifyConfig:
    """Two-view geometry: which matches of a pair are consistent with one motion."""

    max_error_px: Annotated[float, Gt(0)] = 4.0
    """RANSAC threshold, px."""
    min_num_inliers: Annotated[int, Ge(15)] = 15
    """Pairs with fewer inliers are refused; registration never takes those with fewer than 15."""
    colmap: ColmapValues = NOTHING_SET


@dataclass(frozen=True, slots=True)
class RegisterConfig:
    """Camera poses and points from verified pairs."""

    mapper: Literal["graph", "alignment", "dense-alignment", "incremental", "global", "hierarchical"] = (
        "graph"
    )
    """graph: ours, with the closed loop. With backend mast3r, alignment: MASt3R-SfM's sparse global
    alignment; dense-alignment: DUSt3R's, of up to 20 photos. The others are COLMAP's own. All but graph
    end with the first registration: no rounds follow that ask for pairs where models are weak."""
    poses: str | None = None
    """A COLMAP model (or the OUT of a run) with known poses; its photos are recognised by name. Points are
    triangulated from them, and the other photos registered around them. The first pairs are chosen as
    generously as without rounds; rounds follow for the other photos alone. For mappers graph and alignment;
    not for sfm map."""
    poses_use: Literal["fixed", "refine"] = "fixed"
    """fixed: poses and intrinsics of that model stay as they are; refine: they are where registration starts,
    and the result is moved back onto them as a whole."""
    min_model_size: Annotated[int, Ge(2)] = 3
    """Smaller models are dropped. Two photos make a model of both; with mapper=alignment or dense-alignment,
    the largest model stays however small."""
    max_models: Annotated[int, Ge(1)] = 50
    """At most this many separate models."""
    max_rounds: Annotated[int, Ge(0)] = 6
    """Rounds of matching more pairs once there are models; 0 switches the closed loop off."""
    pairs_per_photo: Annotated[float, Ge(0)] = 6.0
    """Budget: about this many pairs a photo are matched, the first graph included, and fewer where the models
    need no more."""
    max_pairs_per_photo: Annotated[float, Ge(0)] = 16.0
    """Limit of pairs a photo, on average: beyond `pairs_per_photo` come only those that may register a photo
    or join two models, and those for a stronger matcher."""
    inconsistent_pairs: Literal["defer", "trust"] = "defer"
    """Verified pairs that are likelier false than true, as matches between look-alike places are (visual
    aliasing). defer: models grow without them, and pairs that agree with a model are admitted afterwards;
    trust: they count like all others. Of mapper graph."""
    min_probability: Annotated[float, Ge(0), Le(1)] = 0.0
    """Leave photos out of the models whose pose is right with a smaller probability; `sfm run --strict` sets
    0.5. 0: they stay, and the report names them."""
    processes: Annotated[int, Ge(1)] | None = 1
    """Processes that map parts of a large collection side by side, which are then joined; they share
    run.threads, and null starts one a thread. 1: everything is mapped in one piece, a little more
    exactly."""
    cluster_size: Annotated[int, Ge(20), "internal"] = 250
    """Photos of such a part, about; collections of fewer than twice as many are mapped in one piece."""
    colmap: ColmapValues = NOTHING_SET

    def for_photos(self, count: int) -> "RegisterConfig":
        """With models of all photos allowed, however few they are."""
        return replace(self, min_model_size=min(self.min_model_size, max(count, 2)))

    @property
    def aligns(self) -> bool:
        """Whether poses come from an alignment of pointmaps."""
        return self.mapper in ("alignment", "dense-alignment")

    @property
    def defers(self) -> bool:
        """Whether models grow without inconsistent pairs, and can test these afterwards."""
        return self.mapper == "graph" and self.inconsistent_pairs == "defer"


@dataclass(frozen=True, slots=True)
class AlignmentConfig:
    """Global alignment, register.mapper=alignment: options by the names of MASt3R-SfM's demo."""

    kinematic: Annotated[
        Literal["hclust-ward", "hclust-single", "hclust-complete", "hclust-average", "mst"], "internal"
    ] = "hclust-ward"
    """The tree along which poses are relative: by clustering of the photos, or the maximum spanning tree."""
    lr1: Annotated[float, Gt(0), Le(10), "internal"] = 0.07
    """Learning rate of the coarse stage, which brings matched points together."""
    niter1: Annotated[int, Ge(0), "internal"] = 300
    """Steps of the coarse stage."""
    lr2: Annotated[float, Gt(0), Le(10), "internal"] = 0.01
    """Learning rate of the fine stage, which minimises reprojection errors."""
    niter2: Annotated[int, Ge(0), "internal"] = 300
    """Steps of the fine stage."""
    level: Literal["coarse", "refine", "refine+depth"] = "refine+depth"
    """coarse: without the fine stage; refine: the fine stage holds depth; refine+depth: it moves depth."""
    start: Annotated[Literal["pointmaps", "identity"], "internal"] = "pointmaps"
    """Where poses start: at the points that the network predicts of pairs, or, as published, at one place."""
    min_confidence: Annotated[float, Ge(0), "internal"] = 1.001
    """Correspondences with a smaller descriptor confidence take no part; MASt3R-SfM takes all (0)."""
    matching_conf_thr: Annotated[float, Ge(0), "internal"] = 0.0
    """Pairs without a correspondence that is more confident are held together by their pointmaps alone."""
    refine: Literal["ba", "none"] = "ba"
    """ba: models end with bundle adjustment, as with mapper graph; none: as aligned, as MASt3R-SfM's; each
    photo then has its own pinhole camera, unless images.camera_model or camera_sharing says otherwise."""
    initialise: Annotated[bool, "internal"] = True
    """Let mapper graph start a model by alignment from up to eight photos that no pair of photos starts."""
    precision: Annotated[Literal["fp32", "fp64"], "internal"] = "fp32"
    """Of the optimisation; fp64 on the CPU alone."""


@dataclass(frozen=True, slots=True)
class RefineConfig:
    """Which intrinsics bundle adjustment may change, and the last adjustment, which mapper graph makes."""

    focal_length: bool = True
    """Refine focal lengths (not of cameras that the user gave)."""
    principal_point: Literal["evidence", "never", "always"] = "evidence"
    """Free the principal point in a last adjustment. evidence: of cameras shared by three photos or
    more, where observations say where it is (Akaike's criterion); with backend mast3r as never. COLMAP's
    mappers have only never and always."""
    max_camera_model: Literal["auto", "SIMPLE_RADIAL", "RADIAL", "OPENCV", "FULL_OPENCV"] = "auto"
    """Richest model that a last adjustment may give to cameras that are SIMPLE_RADIAL or RADIAL, by log
    evidence, and likewise among fisheyes. SIMPLE_RADIAL: cameras keep the model that they have. auto: OPENCV,
    and SIMPLE_RADIAL with backend mast3r. FULL_OPENCV: also THIN_PRISM_FISHEYE; few trainers read such
    cameras, but exports undistort them."""
    loss_function: LossFunction = "evidence"
    """Loss of that adjustment. evidence: CAUCHY where residuals have heavier tails than Gaussian ones, as
    those of photos have; else TRIVIAL, least squares."""


@dataclass(frozen=True, slots=True)
class GeoreferenceConfig:
    """Where models stand: positions of photos, from GPS or a file, as priors and as the result's frame."""

    mode: Literal["auto", "never"] = "auto"
    """auto: where positions suffice, models come out in metres, east, north and up of a recorded origin, or
    in the frame of positions_file; never: in a frame of their own."""
    positions_file: str | None = None
    """Known positions in place of the photos' GPS, a photo a line: name x y z, in metres. One or two standard
    deviations (horizontal, vertical) may follow. A first line of column names may give lat, lon, alt."""
    sigma_horizontal_m: Annotated[float, Gt(0)] = 5.0
    """Standard deviation of positions, horizontally, where the file gives none: a phone or drone without
    corrections."""
    sigma_vertical_m: Annotated[float, Gt(0)] = 10.0
    """The same vertically; heights by satellite are about half as good."""
    adjust: Literal["evidence", "never", "always"] = "evidence"
    """A last bundle adjustment with the positions as robust priors. evidence: kept where the reprojection
    error does not rise by more than 2 %; never: the model is only moved, turned and scaled."""
    gravity: Literal["auto", "never"] = "auto"
    """auto: a model that positions do not place is turned so that +z is up, where enough of its photos were
    held level."""


@dataclass(frozen=True, slots=True)
class ExportConfig:
    """What is written besides the binary COLMAP model."""

    text: bool = False
    """Also write cameras.txt, images.txt and points3D.txt."""
    scene: Literal["never", "points", "mesh"] = "never"
    """points, mesh: also write scene.glb, depth/ and confidence/, as sfm export --to views --as does; preset
    scene: points. Where no alignment gave depth, the network of backend mast3r is asked for it."""
    report: bool = True
    """Write report.html."""


@dataclass(frozen=True, slots=True)
class RunConfig:
    """Resources and repeatability."""

    seed: Annotated[int, Ge(0)] = 0
    """Seed of everything random."""
    threads: Annotated[int, Ge(1)] | None = None
    """Threads to use; null takes all cores. Equal results are promised for 1; with more, the order of sums
    varies."""

    @property
    def num_threads(self) -> int:
        """Threads to use: as configured, else one for each core that this process may run on."""
        return self.threads or num_cores()


@dataclass(frozen=True, slots=True)
class Config:
    """The whole configuration."""

    photos: str | None = None
    """Folder of photos, relative to this file."""
    output: str | None = None
    """Folder for the result, relative to this file."""
    backend: Literal["auto", "sift", "aliked", "mast3r"] = "auto"
    """Matcher: sift (no weights, no GPU needed), aliked (networks for wide baselines, no GPU needed),
    mast3r (a network; wide baselines, weak texture), or auto: mast3r where its weights and a GPU are, else
    sift, with aliked for pairs where SIFT fails if it is installed."""
    run: RunConfig = field(default_factory=RunConfig)
    images: ImagesConfig = field(default_factory=ImagesConfig)
    sift: SiftConfig = field(default_factory=SiftConfig)
    retrieval: RetrievalConfig = field(default_factory=RetrievalConfig)
    aliked: AlikedConfig = field(default_factory=AlikedConfig)
    mast3r: Mast3rConfig = field(default_factory=Mast3rConfig)
    matching: MatchingConfig = field(default_factory=MatchingConfig)
    verify: VerifyConfig = field(default_factory=VerifyConfig)
    register: RegisterConfig = field(default_factory=RegisterConfig)
    alignment: AlignmentConfig = field(default_factory=AlignmentConfig)
    refine: RefineConfig = field(default_factory=RefineConfig)
    georeference: GeoreferenceConfig = field(default_factory=GeoreferenceConfig)
    export: ExportConfig = field(default_factory=ExportConfig)


COMMON = frozenset(
    {
        *("photos", "output", "backend", "run.seed", "run.threads"),
        *("images.camera_model", "images.camera_sharing", "images.camera_params", "images.masks"),
        *("sift.max_image_size", "sift.max_num_features"),
        *("retrieval.mode", "retrieval.exhaustive_max_photos", "retrieval.pairs_file"),
        *("mast3r.weights", "mast3r.device", "mast3r.image_size"),
        *("register.mapper", "register.poses", "register.max_rounds"),
        *("register.pairs_per_photo", "register.max_pairs_per_photo"),
        *("refine.focal_length", "refine.principal_point"),
        *("georeference.mode", "georeference.positions_file", "export.text", "export.report"),
    }
)
"""Options that `sfm config` prints first."""
