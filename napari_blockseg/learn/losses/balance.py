"""How much each class weighs in the loss."""

from __future__ import annotations

import torch
from torch import Tensor

# Log of 4: the rarest and the commonest class differ by 16 at most.
_BOUND = 1.386


def class_weights(counts: Tensor, balance: float) -> Tensor:
    """Return loss weights per class, bounded, with mean 1 over the labelled cells.

    Parameters
    ----------
    counts : (classes,) tensor
        Labelled cells of each class.
    balance : float
        0 gives equal weights; 1 the inverse square root of the frequency.

    Returns
    -------
    (classes,) float tensor
        Between 1/4 and 4 times one another's geometric mean; classes without labels get 1.

    Notes
    -----
    The bound is what keeps a class of one block from deciding every step: with one block beside a
    hundred thousand it weighs 16 times as much, not 316 times.
    """
    counts = counts.float()
    present = counts > 0
    weights = torch.ones_like(counts)
    if not present.any():
        return weights
    log = -0.5 * balance * counts[present].log()
    weights[present] = (log - log.mean()).clamp(-_BOUND, _BOUND).exp()
    return weights / ((weights * counts).sum() / counts.sum())
