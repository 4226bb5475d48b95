"""The main job, step by step: `python -m demo` (or `make demo`) on a Kubernetes of its own."""
