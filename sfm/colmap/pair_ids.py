"""COLMAP's ids of pairs: one number for the ids of two images."""

_MAX_IMAGE_ID = 2147483647  # kMaxNumImages of COLMAP, the base of its pair ids


def image_ids_of_pair(pair_id: int) -> tuple[int, int]:
    """The two image ids of COLMAP's pair id, smaller first."""
    return pair_id // _MAX_IMAGE_ID, pair_id % _MAX_IMAGE_ID


def pair_id_of(first: int, second: int) -> tuple[int, bool]:
    """COLMAP's id of the pair of two image ids, and whether it has them the other way round."""
    low, high = sorted((first, second))
    return low * _MAX_IMAGE_ID + high, first != low
