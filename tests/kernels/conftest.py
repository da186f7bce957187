"""Triton's kernels are tested in its interpreter where there is no GPU."""

import os
from importlib.util import find_spec

import torch

# Triton reads it when it is first imported, which no test module has done yet.
if find_spec("triton") is not None and not torch.cuda.is_available():
    os.environ.setdefault("TRITON_INTERPRET", "1")
