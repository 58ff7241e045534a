"""Comparisons of all features of one set with all of another, block by block.

60,000 by 60,000 float64 distances are 29 GB; a block is at most 128 MiB, and so are the features it is made of.

Axis suffixes: N, M items of the two sets, D features; a block has A rows and B columns.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = [
    "computing_device",
    "inner_products",
    "kth_neighbour_distances",
    "nearest",
    "nearest_distances",
    "neighbours_within",
]

MOST_VALUES = 2**24  # float64 numbers held at a time: 128 MiB
MOST_ROWS = 4096
SAME = 1 + 1e-9  # of two ways of computing one squared distance, by which factor they may differ


def computing_device(device: str) -> torch.device:
    """Return where float64 is computed: mps cannot."""
    return torch.device("cpu" if device.startswith("mps") else device)


def inner_products(
    first_ND: NDArray[np.float32], second_MD: NDArray[np.float32], device: torch.device
) -> Iterator[tuple[slice, slice, Tensor]]:
    """Yield (rows, columns, products_AB float64) over all blocks, row by row."""
    for rows, columns, first_AD, second_BD in _blocks(first_ND, second_MD, device):
        yield rows, columns, first_AD @ second_BD.T


def nearest(
    first_ND: NDArray[np.float32], second_MD: NDArray[np.float32], device: torch.device
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return for each of the first set (its distance to the nearest of the second, which that is)."""
    nearest_N = torch.full((len(first_ND),), torch.inf, dtype=torch.float64, device=device)
    index_N = torch.zeros(len(first_ND), dtype=torch.int64, device=device)
    for rows, columns, squares_AB in _squared_distances(first_ND, second_MD, device):
        least_A, column_A = squares_AB.min(dim=1)
        is_nearer_A = least_A < nearest_N[rows]
        nearest_N[rows] = torch.where(is_nearer_A, least_A, nearest_N[rows])
        index_N[rows] = torch.where(is_nearer_A, column_A + columns.start, index_N[rows])
    return nearest_N.sqrt().cpu().numpy(), index_N.cpu().numpy()


def nearest_distances(
    first_ND: NDArray[np.float32], second_MD: NDArray[np.float32], device: torch.device
) -> NDArray[np.float64]:
    """Return for each of the first set the Euclidean distance to the nearest of the second, which is not empty."""
    nearest_N = torch.full((len(first_ND),), torch.inf, dtype=torch.float64, device=device)
    for rows, _, squares_AB in _squared_distances(first_ND, second_MD, device):
        nearest_N[rows] = torch.minimum(nearest_N[rows], squares_AB.amin(dim=1))
    return nearest_N.sqrt().cpu().numpy()


def kth_neighbour_distances(features_ND: NDArray[np.float32], k: int, device: torch.device) -> NDArray[np.float64]:
    """Return each item's Euclidean distance to its k-th nearest neighbour, itself not counted; needs k + 1 items."""
    smallest_Nk = torch.full((len(features_ND), k), torch.inf, dtype=torch.float64, device=device)
    for rows, columns, squares_AB in _squared_distances(features_ND, features_ND, device):
        own_A = torch.arange(rows.start, rows.stop, device=device)
        own_B = torch.arange(columns.start, columns.stop, device=device)
        squares_AB.masked_fill_(own_A[:, None] == own_B, torch.inf)
        merged = torch.cat([smallest_Nk[rows], squares_AB], dim=1)
        smallest_Nk[rows] = merged.topk(k, dim=1, largest=False).values
    return smallest_Nk.amax(dim=1).sqrt().cpu().numpy()


def neighbours_within(
    centres_ND: NDArray[np.float32], radii_N: NDArray[np.float64], points_MD: NDArray[np.float32], device: torch.device
) -> NDArray[np.int64]:
    """Return for each point in how many of the balls around the centres it lies, borders included."""
    squares_N = torch.from_numpy(radii_N**2 * SAME).to(device)
    inside_M = torch.zeros(len(points_MD), dtype=torch.int64, device=device)
    for rows, columns, squares_AB in _squared_distances(points_MD, centres_ND, device):
        inside_M[rows] += (squares_AB <= squares_N[columns]).sum(dim=1)
    return inside_M.cpu().numpy()


def _squared_distances(
    first_ND: NDArray[np.float32], second_MD: NDArray[np.float32], device: torch.device
) -> Iterator[tuple[slice, slice, Tensor]]:
    """Yield (rows, columns, squared distances_AB) over all blocks.

    |a - b|^2 = |a|^2 + |b|^2 - 2 ab needs float64: in float32 an exact copy would seem to lie as far away as a
    neighbour does. The origin is moved to the mean of the second set, where the three terms are smallest.
    """
    origin_D = torch.from_numpy(second_MD.mean(axis=0, dtype=np.float64)).to(device)
    for rows, columns, first_AD, second_BD in _blocks(first_ND, second_MD, device):
        moved_AD, moved_BD = first_AD - origin_D, second_BD - origin_D
        norms_AB = moved_AD.square().sum(dim=1)[:, None] + moved_BD.square().sum(dim=1)
        yield rows, columns, torch.addmm(norms_AB, moved_AD, moved_BD.T, alpha=-2).clamp_min_(0)


def _blocks(
    first_ND: NDArray[np.float32], second_MD: NDArray[np.float32], device: torch.device
) -> Iterator[tuple[slice, slice, Tensor, Tensor]]:
    step = min(MOST_ROWS, max(1, MOST_VALUES // max(1, first_ND.shape[1])))

    def part(features: NDArray[np.float32], chosen: slice) -> Tensor:
        return torch.from_numpy(np.array(features[chosen])).to(device).to(torch.float64)

    for row in range(0, len(first_ND), step):
        rows = slice(row, min(row + step, len(first_ND)))
        for column in range(0, len(second_MD), step):
            columns = slice(column, min(column + step, len(second_MD)))
            yield rows, columns, part(first_ND, rows), part(second_MD, columns)
