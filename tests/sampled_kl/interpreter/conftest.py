"""These tests run the Triton kernels on the CPU, for which Triton must be told before it is imported.

`tests/sampled_kl/test_interpreter.py` runs them in a process of their own.
"""

import os

collect_ignore_glob = [] if os.environ.get("TRITON_INTERPRET") == "1" else ["*.py"]
