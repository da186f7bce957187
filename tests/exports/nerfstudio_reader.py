"""Run by nerfstudio's own interpreter: parses both exports and prints what it found as JSON."""

import json
import sys
from pathlib import Path

import numpy as np
import torch
from nerfstudio.data.dataparsers.colmap_dataparser import ColmapDataParserConfig
from nerfstudio.data.dataparsers.nerfstudio_dataparser import NerfstudioDataParserConfig


def main(splats: Path, transforms: Path) -> None:
    """Parse the two folders."""
    parsers = {
        "3dgs": ColmapDataParserConfig(
            data=splats, colmap_path=Path("sparse/0"), images_path=Path("images"), downscale_factor=1
        ),
        # Its own loading of points needs Open3D, hence `transformed_ply`.
        "nerfstudio": NerfstudioDataParserConfig(data=transforms, downscale_factor=1, load_3D_points=False),
    }
    print(json.dumps({name: summary(config) for name, config in parsers.items()}))


def summary(config: object) -> dict[str, object]:
    """Number of photos and points, and where the cameras see the points."""
    parser = config.setup()
    train, test = (parser.get_dataparser_outputs(split) for split in ("train", "test"))
    points = train.metadata.get("points3D_xyz")
    if points is None:
        points = transformed_ply(config.data, train)
    return {
        "num_images": len({*train.image_filenames, *test.image_filenames}),
        "files_exist": all(Path(name).is_file() for name in train.image_filenames),
        "num_points": len(points),
        "mean_offset": mean_offset(train.cameras, points),
    }


def transformed_ply(folder: Path, outputs: object) -> torch.Tensor:
    """Points of `ply_file_path` in the parser's normalised world."""
    scene = json.loads((folder / "transforms.json").read_text())
    _, body = (folder / scene["ply_file_path"]).read_bytes().split(b"end_header\n", 1)
    vertices = np.frombuffer(body, np.dtype([("xyz", "<f4", 3), ("rgb", "u1", 3)]))
    turned = np.array(scene["applied_transform"])
    world = (vertices["xyz"] - turned[:, 3]) @ turned[:, :3]
    transform = outputs.dataparser_transform.double()
    moved = torch.from_numpy(world) @ transform[:, :3].T + transform[:, 3]
    return (moved * outputs.dataparser_scale).float()


def mean_offset(cameras: object, points: torch.Tensor) -> float:
    """Mean distance of projected points from the image centre, in image widths."""
    rotation, centre = cameras.camera_to_worlds[:, :, :3], cameras.camera_to_worlds[:, :, 3]
    local = torch.einsum("nji,npj->npi", rotation, points[None] - centre[:, None])
    if not (local[..., 2] < 0).all():
        return float("inf")
    xy = local[..., :2] / -local[..., 2:]
    scale = (cameras.fx / cameras.width)[:, None]
    return float((xy.norm(dim=-1) * scale).mean())


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
