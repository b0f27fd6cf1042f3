"""A benchmark's table and chart, drawn from its record alone."""

from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from experiments.report.columns import aligned
from experiments.report.style import INK, encode, looks, style
from jaxft.io import write_atomically

Record = dict[str, Any]


def table(record: Record) -> str:
    """All measurements, then all comparisons, as text for a terminal."""
    config, hardware, rival = record["config"], record["hardware"], record["rival"]
    where = hardware["cpu"] if hardware["platform"] == "cpu" else hardware["device"]
    against = f"torch on {rival['device']}, {rival['threads']} threads" if rival["available"] else "no rival"
    lines = [
        f"{record['name']}: {record['parameters']:,} parameters, {config['dtype']}, {config['rounds']} rounds",
        f"jaxft on {hardware['platform']} ({where}); {against}{_reason(rival)}",
        f"Load of the machine before: {hardware['load_before']:.1f} of {hardware['cpu_cores']} cores.",
        "Medians over rounds, in brackets the lowest and highest. * planned by the compiler, not measured.",
    ]
    measured = [("part", "work", "side", "rate", "ms a run", "memory", "MFU")]
    measured += [_measurement(entry) for entry in record["measurements"]]
    compared = [("comparison", "speed of", "over that of", "ratio", "at least", "")]
    compared += [_comparison(entry) for entry in record["comparisons"]]
    hints = [f"{entry['name']} missed its bar: {entry['hint']}" for entry in record["comparisons"] if entry["hint"]]
    formulas = record["formulas"]
    hints.append(
        f"By formula: projecting adds {formulas['projection_overhead']:.2%} to a full step's operations; "
        f"calibration can reach {formulas['calibration_ceiling']:.2f} of its forward pass."
    )
    return "\n\n".join("\n".join(block) for block in (lines, aligned(measured), aligned(compared), hints)) + "\n"


def chart(record: Record) -> Figure:
    """Speeds, one panel a part; bars are medians, whiskers the lowest and highest round."""
    kept = [entry for entry in record["measurements"] if entry["rate"]]
    parts = list(dict.fromkeys(entry["part"] for entry in kept))
    colours = {side: look[0] for side, look in looks(("jaxft", "torch")).items()}
    with style():
        counts = [sum(entry["part"] == part for entry in kept) for part in parts]
        figure = Figure(figsize=(6.4, 0.9 + sum(0.7 + 0.3 * count for count in counts)))
        panels = figure.subplots(len(parts), 1, squeeze=False, height_ratios=[count + 1 for count in counts])[:, 0]
        for panel, part in zip(panels, parts, strict=True):
            entries = [entry for entry in kept if entry["part"] == part]
            for place, entry in enumerate(entries):
                rate = entry["rate"]
                arms = [[rate["median"] - rate["low"]], [rate["high"] - rate["median"]]]
                panel.barh(place, rate["median"], 0.7, color=colours[entry["side"]])
                panel.errorbar(rate["median"], place, xerr=arms, color=INK, elinewidth=1, capsize=2)
            panel.set_yticks(range(len(entries)), [f"{entry['side']} {entry['work']}" for entry in entries])
            panel.invert_yaxis()
            panel.set_xlim(left=0)
            panel.yaxis.grid(False)
            panel.xaxis.set_major_formatter(lambda value, _: f"{value:,g}")
            panel.set_title(f"{part}: {entries[0]['unit']} a second, more is better")
        figure.suptitle(f"{record['name']}, {record['config']['dtype']}, {record['hardware']['platform']}")
    return figure


def write_chart(record: Record, folder: Path) -> Path:
    """Write benchmark.png into `folder`."""
    path = folder / "benchmark.png"
    write_atomically(path, encode(chart(record), "png"))
    return path


def _reason(rival: Record) -> str:
    return "" if rival["available"] else f" ({rival['reason']})"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _measurement(entry: Record) -> tuple[str, ...]:
    name = (entry["part"], entry["work"], entry["side"])
    if entry["failed"]:
        return (*name, entry["failed"], "", "", "")
    rate, memory = entry["rate"], entry.get("memory")
    speed = f"{_number(rate['median'])} {entry['unit']}/s ({_number(rate['low'])}..{_number(rate['high'])})"
    used = (
        "unknown" if memory is None else f"{_number(memory['bytes'] / 2**20)} MiB{'*' * (memory['kind'] == 'planned')}"
    )
    share = "unknown" if entry["utilisation"] is None else f"{entry['utilisation']:.1%}"
    counted = entry["flops"] is not None
    return (
        *name,
        speed,
        _number(1000 * entry["amount"] / rate["median"]),
        used if entry["part"] == "train" else "",
        share if counted else "",
    )


def _comparison(entry: Record) -> tuple[str, ...]:
    ratio, least = entry["ratio"], entry["least"]
    verdict = {None: "", True: "met", False: "MISSED"}[entry["met"]]
    shown = f"{ratio['median']:.3f} ({ratio['low']:.3f}..{ratio['high']:.3f})"
    return (entry["name"], entry["of"], entry["to"], shown, "-" if least is None else f"{least:.3f}", verdict)
