"""The `openvino` backend in Python: the C++ backend's rules and messages on the CPU.

What differs from the C++ backend, by the nature of a process per instance:

- Instances cannot share one compiled model: each has its own, with its part of
  INFERENCE_NUM_THREADS and one stream, so that the threads of all of them are what the parameter
  says.
- TARGET_DEVICE other than CPU is refused.
"""
