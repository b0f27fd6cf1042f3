"""Peak speeds of devices, as their makers state them, for model FLOPs utilisation."""

from jaxft.planning.devices import TPUS

#: Name inside `device_kind` -> dense FLOP/s for (bfloat16, float32); None if not published. The longest name that
#: fits counts. On NVIDIA the float32 peak is that of TF32, in which both frameworks run float32 products here. TPU v2
#: and v3 show two devices a chip and are left out.
PEAKS: dict[str, tuple[float, float | None]] = {
    "TPU v4": (TPUS["v4"].flops, None),
    "TPU v5 lite": (TPUS["v5e"].flops, None),
    "TPU v5e": (TPUS["v5e"].flops, None),
    "TPU v5": (TPUS["v5p"].flops, None),
    "TPU v5p": (TPUS["v5p"].flops, None),
    "TPU v6 lite": (TPUS["v6e"].flops, None),
    "TPU v6e": (TPUS["v6e"].flops, None),
    "A10G": (70e12, 35e12),
    "A100": (312e12, 156e12),
    "L4": (121e12, 60e12),
    "L40S": (362e12, 183e12),
    "H100 PCIe": (756e12, 378e12),
    "H100": (989e12, 495e12),
    "H200": (989e12, 495e12),
    "B200": (2250e12, 1100e12),
}


def peak(device_kind: str, dtype: str) -> float | None:
    """FLOP/s of one device in a dtype; None if unknown, as for every CPU."""
    words = f" {device_kind.replace('-', ' ')} "
    fitting = [name for name in PEAKS if f" {name} " in words]
    if not fitting:
        return None
    return PEAKS[max(fitting, key=len)][("bfloat16", "float32").index(dtype)]
