"""Fits the series of `normal.h`: `python normal.py`. Needs numpy and scipy."""

import numpy as np
from scipy.special import log_ndtr, ndtr


def fit(x, y, weight, degree):
    """Coefficients, lowest first, with about the least maximum of |weight error|."""
    powers = np.vander(x, degree + 1, increasing=True)
    cdf, best, least = np.ones_like(x), None, np.inf
    for _ in range(60):
        by = np.sqrt(cdf) * weight
        found = np.linalg.lstsq(powers * by[:, None], y * by, rcond=None)[0]
        error = np.abs((powers @ found - y) * weight)
        if error.max() < least:
            best, least = found, error.max()
        cdf *= error / error.max() + 1e-9
        cdf /= cdf.mean()
    return best, least


def chebyshev(low, high, count=4000):
    return low + (high - low) * (0.5 - 0.5 * np.cos(np.pi * (np.arange(count) + 0.5) / count))


r = chebyshev(-0.5, 0.5)
print("2^r, relative", *fit(r, 2**r, 2**-r, 5))
# log2 of the upper tail of a; what counts is the error of a times the cdf.
a = chebyshev(0.0, 6.0)
weight = ndtr(-a) * np.log(2) * np.maximum(1, a)
print("log2 normal(-a)", *fit(a, log_ndtr(-a) / np.log(2), weight, 7))
# The upper tail of a by that of a bell of height one, weighed in the same way.
bell = np.exp(-a * a / 2)
print("normal(-a) / bell", *fit(a, ndtr(-a) / bell, bell * np.maximum(1, a), 10))
