"""Folders of containers that `up` keeps with the project, since what they hold is costly to make.

They lie below /tmp, which every container may write to; without a mount they end with it.
"""

# Engines that TensorRT builds when a model loads, and how long their kernels took.
ENGINE_CACHE = "/tmp/tritongen-trt"  # noqa: S108  (inside the server's container, of its own)
# What vLLM fetches from the hub.
HUB_CACHE = "/tmp/tritongen-hub"  # noqa: S108  (as above)
