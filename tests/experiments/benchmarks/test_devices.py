"""Names as JAX and torch report them."""

from __future__ import annotations

import pytest

from experiments.benchmarks.devices import peak


@pytest.mark.parametrize(
    ("kind", "dtype", "expected"),
    [
        ("TPU v4", "bfloat16", 275e12),
        ("TPU v5 lite", "bfloat16", 197e12),
        ("TPU v5", "bfloat16", 459e12),
        ("TPU v5p", "bfloat16", 459e12),
        ("TPU v6 lite", "bfloat16", 918e12),
        ("TPU v6 lite", "float32", None),
        ("NVIDIA A100-SXM4-80GB", "float32", 156e12),
        ("NVIDIA H100 80GB HBM3", "bfloat16", 989e12),
        ("NVIDIA H100 PCIe", "bfloat16", 756e12),
        ("NVIDIA H200", "bfloat16", 989e12),
        ("NVIDIA L40S", "bfloat16", 362e12),
        ("NVIDIA L40", "bfloat16", None),
        ("cpu", "float32", None),
    ],
)
def test_peaks(kind: str, dtype: str, expected: float | None) -> None:
    assert peak(kind, dtype) == expected
