"""Time and error of the fuzziness of wide layers: by the factors of Σ_b, and by a pseudo-inverse of Σ_b.

    python benchmarks/separation.py            4096 features, 2560 samples, 10 classes; and 2000 of a convolution
    python benchmarks/separation.py --quick    512 and 250 features

The second method forms the d x d scatter matrices in the features' precision, float32, and calls
torch.linalg.pinv, once by singular values, its default, and once by eigenvalues, with hermitian=True. Errors are
relative to its result in float64.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from engine.measures import fuzziness
from engine.measures.scatter import Factors, scatter_factors, trace_of
from engine.measures.separation import separation_measures

SAMPLES, CLASSES = 2560, 10


class Case(NamedTuple):
    """Activations of a layer, [N, D], and classes, [N]."""

    name: str
    x_ND: torch.Tensor
    y_N: torch.Tensor


def activations(features: int, samples: int, name: str) -> Case:
    """Rectified Gaussians about class means, with scales that fall by feature over 1.5 decades."""
    draw = torch.Generator().manual_seed(0)
    y_N = torch.arange(samples) % CLASSES
    scale_D = torch.logspace(0, -1.5, features)
    means_CD = 0.3 * torch.randn(CLASSES, features, generator=draw)
    x_ND = torch.relu((means_CD[y_N] + torch.randn(samples, features, generator=draw)) * scale_D)
    return Case(name, x_ND, y_N)


def by_factors(case: Case) -> float:
    """log Tr(Σ_w Σ_b⁺) by springtui's factors of Σ_b."""
    w_ND, b_CD = scatter_factors(case.x_ND, case.y_N, CLASSES)
    return math.log(fuzziness.from_factors(Factors(w_ND, b_CD, trace_of(w_ND), trace_of(b_CD))))


def by_pseudo_inverse(case: Case, dtype: torch.dtype = torch.float32, *, symmetric: bool = False) -> float:
    """log Tr(Σ_w Σ_b⁺) from the d x d matrices; Σ_b has rank 9, and its other singular values are rounding."""
    w_ND, b_CD = scatter_factors(case.x_ND.to(dtype), case.y_N, CLASSES)
    within_DD, between_DD = w_ND.T @ w_ND, b_CD.T @ b_CD
    return math.log(float(torch.trace(within_DD @ torch.linalg.pinv(between_DD, rtol=1e-5, hermitian=symmetric))))


def timed(measure: Callable[[Case], float], case: Case, repeats: int) -> tuple[float, float]:
    """The value, and the median of ``repeats`` timings, in seconds."""
    value, seconds = math.nan, []
    for _ in range(repeats):
        began = time.perf_counter()
        value = measure(case)
        seconds.append(time.perf_counter() - began)
    return value, statistics.median(seconds)


def compare(case: Case) -> dict[str, object]:
    """Times in seconds, their ratios, and relative errors of the trace, not of its log."""
    by_factors(case)  # the first call starts threads and loads kernels
    ours, our_seconds = timed(by_factors, case, 7)
    theirs, their_seconds = timed(by_pseudo_inverse, case, 3)
    _, symmetric_seconds = timed(lambda c: by_pseudo_inverse(c, symmetric=True), case, 3)
    _, all_seconds = timed(lambda c: separation_measures(c.x_ND, c.y_N, CLASSES)["fuzziness"], case, 3)
    truth = by_pseudo_inverse(case, torch.float64, symmetric=True)
    return {
        "case": case.name,
        "samples": case.x_ND.shape[0],
        "features": case.x_ND.shape[1],
        "seconds": our_seconds,
        "all_three_measures_seconds": all_seconds,
        "pseudo_inverse_seconds": their_seconds,
        "faster": their_seconds / our_seconds,
        "faster_than_symmetric": symmetric_seconds / our_seconds,
        "relative_error": abs(math.expm1(ours - truth)),
        "pseudo_inverse_relative_error": abs(math.expm1(theirs - truth)),
    }


def main() -> int:
    """Print the comparison; exit status 1 below 100 times faster, or above a relative error of 1e-4."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="512 and 250 features")
    parser.add_argument("--threads", type=int, default=2, help="torch threads")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    wide, convolution = (512, 250) if options.quick else (4096, 2000)
    cases = [
        activations(wide, SAMPLES, "wide layer"),
        activations(convolution, SAMPLES, "convolution 20 x 10 x 10"),
    ]
    results = [compare(case) for case in cases]
    for r in results:
        print(
            f"{r['case']}, d = {r['features']}: {r['seconds']:.4f} s against {r['pseudo_inverse_seconds']:.2f} s, "
            f"{r['faster']:.0f} x ({r['faster_than_symmetric']:.0f} x where it knows of the symmetry); "
            f"relative error {r['relative_error']:.1e}, the pseudo-inverse's in float32 "
            f"{r['pseudo_inverse_relative_error']:.1e}; all three measures {r['all_three_measures_seconds']:.2f} s"
        )
    print(json.dumps({"benchmark": "separation", "threads": options.threads, "results": results}))
    missed = [r for r in results if r["faster"] < 100 or r["relative_error"] > 1e-4]  # type: ignore[operator]
    return 1 if missed and not options.quick else 0


if __name__ == "__main__":
    sys.exit(main())
