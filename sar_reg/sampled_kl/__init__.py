"""One operation: the KL divergence between sampled similarity distributions of class embeddings."""

from sar_reg.sampled_kl.api import similarity_alignment_loss
from sar_reg.sampled_kl.sampling import sample_classes

__all__ = ["sample_classes", "similarity_alignment_loss"]
