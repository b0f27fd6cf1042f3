"""Charts of proficiency against one other axis, with the Pareto front over all methods and learning rates."""

import textwrap

from matplotlib.figure import Figure

from experiments.report.pareto import dominated, front, path
from experiments.report.reading import TARGET, Compared, after_scores, base_scores
from experiments.report.style import BASE_COLOUR, INK, base_lines, better_up_right, looks, quantity, style

#: Maximum number of methods in the legend. With more methods, dominated ones are grey and not in the legend.
LEGEND = 32
#: With more methods than this, the chart is higher, so that the legend fits.
CROWD = 16


def fronts(record: Compared, axis_name: str) -> Figure:
    """Proficiency (x) against one other axis (y) on test data; better is right and up.

    Small points: learning rates, joined in ascending order. Large point: the chosen rate, mean over seeds, hollow if
    the method is dominated. Step line: the Pareto front. Dotted line: the front of methods that read no reference text
    while they train, if others do. Dashed lines: the base model.
    """
    target, axis = record.axes[TARGET], record.axes[axis_name]
    beaten, many = dominated(record), len(record.methods) > LEGEND
    signs = (1 if target.higher_is_better else -1, 1 if axis.higher_is_better else -1)
    points: list[tuple[float, float]] = []
    without: list[tuple[float, float]] = []  # of methods that read no reference text while training
    named = 0
    with style():
        figure = Figure(figsize=(7.6, 4.6 if len(record.methods) <= CROWD else 6.2))
        panel = figure.add_subplot()
        for name, (colour, marker) in looks(record.methods).items():
            method = record.methods[name]
            its = path(method, axis_name)
            points += its
            without += its if method.reference != "while training" else []
            grey = many and name in beaten
            colour = BASE_COLOUR if grey else colour
            layer = {"color": colour, "zorder": 2 if grey else 3}
            panel.plot(*zip(*its, strict=True) if its else ([], []), lw=0.8, marker=marker, ms=3, alpha=0.6, **layer)
            x, y = (after_scores(method).get(each) for each in (TARGET, axis_name))
            if x is None or y is None:
                continue
            face = "white" if name in beaten else colour
            named += not grey
            label = textwrap.fill(name, 32) if not grey and named <= LEGEND else None
            panel.plot([x], [y], ls="", marker=marker, ms=5 if grey else 9, mfc=face, mec=colour, label=label, **layer)
        lines = [("front", points, "-")]
        if len(without) < len(points):  # else it would be the same line
            lines.append(("front, text unread in training", without, ":"))
        for label, candidates, dashes in lines:
            if best := front(candidates, signs):
                line = {"color": INK, "lw": 1.2, "ls": dashes, "drawstyle": "steps-post", "zorder": 1, "label": label}
                panel.plot(*zip(*best, strict=True), **line)
        base = base_scores(record)
        if TARGET in base and axis_name in base:
            base_lines(panel, base[TARGET], base[axis_name], "base")
        better_up_right(panel, target, axis)
        panel.set_xlabel(f"{TARGET}, {quantity(target)}: better to the right")
        panel.set_ylabel(f"{axis_name}, {quantity(axis)}: better is up")
        panel.set_title(f"{TARGET} against {axis_name}" + (", hollow: dominated" if beaten else ""))
        figure.legend(loc="outside right upper", fontsize=8)
    return figure
