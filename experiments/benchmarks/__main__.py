"""`python -m experiments.benchmarks CONFIG`: measure, and leave record and chart in runs/<name>."""

import shlex
import sys
from pathlib import Path

from experiments.benchmarks import benchmark, load_benchmark, table, write_chart

settings = load_benchmark(sys.argv[1])
folder = Path("runs") / settings.name
found = benchmark(settings, folder, shlex.join(["python", "-m", "experiments.benchmarks", *sys.argv[1:]]))
print(table(found))
print(f"chart: {write_chart(found, folder)}")
