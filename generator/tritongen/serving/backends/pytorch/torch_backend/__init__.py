"""The `pytorch` backend in Python: the C++ backend's rules and messages on the CPU.

What differs from the C++ backend, by the nature of a process per instance:

- The thread counts of a model hold for its own processes; no other model's counts win.
- States of `sequence_batching.state` are kept in the instance's process, by correlation id: the
  Python backend has no call that hands a new state to Triton's core.
- `runtime: "model.py"` is refused: that flavour's own runner belongs to Triton's image.
- AOT Inductor packages are not served: the embedded server's release does not know their platform.
- GPU instances run on the CPU, with a warning; GPU parameters are accepted and have no effect.
"""
