"""A scene as a browser reads and draws it, by a reader of glTF of our own in plain WebGL."""

import base64
import io
import json
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tests.report.browser import open_page

PAGE = Path(__file__).with_name("glb_page.html")


@dataclass(frozen=True, slots=True)
class Drawn:
    """What the page made of a file."""

    nodes: dict[str, dict[str, object]]
    """Of each node with a mesh: `mode`, `count` of vertices, `corners` drawn, `middle` of the vertices."""
    rgb: NDArray[np.uint8]
    """(H, W, 3), the points or surfaces from one of the scene's cameras."""
    covered: NDArray[np.bool_]
    """(H, W): where there is something."""


def drawn_by_browser(glb: Path, folder: Path, *, camera: int, size: tuple[int, int]) -> Drawn:
    """Draw a GLB of ours from its `camera` at `size` (W, H); skips the test where there is no Chromium."""
    content = base64.b64encode(glb.read_bytes()).decode()
    filled = {"CONTENT": content, "CAMERA": str(camera), "WIDTH": str(size[0]), "HEIGHT": str(size[1])}
    text = re.sub(r"@(\w+)@", lambda found: filled[found[1]], PAGE.read_text(encoding="utf-8"))
    page = folder / "glb.html"
    page.write_text(text, encoding="utf-8")
    opened = open_page(page, folder / "profile")
    assert opened.console == ()
    told = {name: value for name, value in re.findall(r'data-(\w+)="([^"]*)"', opened.dom)}
    assert told.keys() == {"nodes", "picture"}
    picture = base64.b64decode(told["picture"].removeprefix("data:image/png;base64,"))
    rgba = np.asarray(Image.open(io.BytesIO(picture)).convert("RGBA"))
    return Drawn(json.loads(base64.b64decode(told["nodes"])), rgba[..., :3], rgba[..., 3] > 0)
