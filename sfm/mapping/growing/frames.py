"""Images that one rig took at the same moment: they are registered together, by their frame."""

from __future__ import annotations

from ..scene.journal import Journal
from ..scene.session import MapperSession


def frame_mates(session: MapperSession, name: str) -> list[str]:
    """The other images of an image's frame, in order of their names; none without rigs."""
    rec = session.reconstruction
    image_id = session.scene.id_of[name]
    frame = rec.frame(rec.image(image_id).frame_id)
    ids = [data.id for data in frame.image_ids if data.id != image_id]
    return sorted(session.scene.name_of[i] for i in ids if i in session.scene.name_of)


def triangulate_frame_mates(session: MapperSession, name: str, journal: Journal) -> None:
    """Triangulate from the images that came in with `name`, and note that they did."""
    for mate in frame_mates(session, name):
        image_id = session.scene.id_of[mate]
        session.mapper.triangulate_image(session.options.triangulation, image_id)
        num = session.reconstruction.image(image_id).num_points3D
        journal.note("registered", name=mate, how="rig", num_visible=num, num_inliers=num)
