"""Networks without gradients, and how exact their float32 is on a GPU."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def inference(device: torch.device, *, allow_tf32: bool = False) -> Iterator[None]:
    """Without gradients; float32 is float32 on CUDA, too, where PyTorch's own default rounds convolutions.

    cuDNN's attention is left out: it plans half a second for each new shape, and there are many.

    Args:
        allow_tf32: lets CUDA round float32 products to TF32, which is faster and about 1e-3 less exact.
    """
    with torch.inference_mode():
        if device.type != "cuda":
            yield
            return
        cuda, cudnn = torch.backends.cuda, torch.backends.cudnn
        attention = bool(cuda.cudnn_sdp_enabled())  # type: ignore[no-untyped-call]
        before = cuda.matmul.allow_tf32, cudnn.allow_tf32
        cuda.matmul.allow_tf32 = cudnn.allow_tf32 = allow_tf32
        cuda.enable_cudnn_sdp(False)
        try:
            yield
        finally:
            cuda.matmul.allow_tf32, cudnn.allow_tf32 = before
            cuda.enable_cudnn_sdp(attention)
