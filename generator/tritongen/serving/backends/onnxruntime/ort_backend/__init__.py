"""The `onnxruntime` backend in Python: the C++ backend's rules, messages and behaviour on the CPU.

Free of the rest of `tritongen`: only the standard library, numpy, onnxruntime and the module that
Triton's stub provides are imported, and `model` alone imports the last two.

What differs from the C++ backend, by the nature of a process per instance:

- States of `sequence_batching.state` are kept in the instance's process, by correlation id: the
  Python backend has no call that hands a new state to Triton's core. Names and types of states are
  checked when the model loads; the C++ backend fails at the first request.
- The server-wide thread pool of ``--backend-config=onnxruntime,enable-global-threadpool`` does not
  exist; each instance has its own pool, sized by the model's parameters.
- GPU instances run on the CPU, with a warning; GPU parameters are accepted and have no effect.
- BYTES elements must be UTF-8, because ONNX Runtime's Python interface holds strings as text.
"""
