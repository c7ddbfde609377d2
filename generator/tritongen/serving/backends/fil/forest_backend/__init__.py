"""The `fil` backend in Python, on the engine that the C++ backend has for the CPU: treelite's.

Parameters for the GPU are accepted and have no effect. SHAP values (`treeshap_output`) are refused.
"""
