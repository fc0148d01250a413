"""The ring operation as two Triton kernels: one launch forward, one backward; no atomics, no random numbers.

Imported only when it is to run, so that the package needs no Triton.
"""

from sar_reg.sampled_kl.kernels.backward import backward
from sar_reg.sampled_kl.kernels.forward import forward

__all__ = ["backward", "forward"]
