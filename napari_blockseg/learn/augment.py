"""Random changes of crops, as torchvision v2 transforms over image and masks together."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import v2

Orientation = Literal["any", "upright"]


class RandomQuarterTurn(v2.Transform):  # type: ignore[misc]
    """Turn image and masks together by 0, 90, 180 or 270 degrees. They must be square."""

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        """Draw the number of quarter turns."""
        return {"turns": int(torch.randint(4, ()))}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        """Turn one input."""
        return self._call_kernel(v2.functional.rotate, inpt, angle=90.0 * params["turns"])


class RandomIntensity(v2.Transform):  # type: ignore[misc]
    """Change brightness, contrast, gamma and the balance of channels of images in 0..1.

    Parameters
    ----------
    strength : float
        0 changes nothing; 1 is as strong as is sensible.

    Notes
    -----
    Works for any number of channels, unlike torchvision's ``ColorJitter``, whose hue also costs
    more than the rest of the crop.
    """

    def __init__(self, strength: float = 0.5) -> None:
        super().__init__()
        self.strength = strength

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        """Draw the change, the same for all pixels of a crop."""
        image = next(x for x in flat_inputs if isinstance(x, tv_tensors.Image))
        draw = (torch.rand(4) * 2 - 1) * self.strength
        balance = (torch.rand(image.shape[-3]) * 2 - 1) * self.strength * 0.2
        return {
            "gain": 1 + 0.5 * draw[0],
            "offset": 0.25 * draw[1],
            "gamma": torch.exp(0.4 * draw[2]),
            "saturation": 1 + 0.6 * draw[3],
            "balance": (1 + balance).view(-1, 1, 1),
        }

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        """Change images; masks pass through."""
        if not isinstance(inpt, tv_tensors.Image):
            return inpt
        image = inpt.as_subclass(Tensor)
        if image.shape[-3] > 1:
            grey = image.mean(-3, keepdim=True)
            image = grey + (image - grey) * params["saturation"] * params["balance"]
        middle = image.mean()
        image = (image - middle) * params["gain"] + middle + params["offset"]
        return tv_tensors.wrap(image.clamp_(0, 1).pow_(params["gamma"]), like=inpt)


def crop_transform(orientation: Orientation) -> v2.Transform:
    """Return the transform of one crop: flips, quarter turns where allowed, intensity.

    Parameters
    ----------
    orientation : {"any", "upright"}
        "upright" keeps up and down apart: only left and right are exchanged.
    """
    parts: list[v2.Transform] = [v2.RandomHorizontalFlip()]
    if orientation == "any":
        parts += [v2.RandomVerticalFlip(), RandomQuarterTurn()]
    return v2.Compose([*parts, RandomIntensity()])
