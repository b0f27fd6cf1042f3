"""The wheel holds every file that the code reads: the base that ships, rubrics, labelled replies, parts of the page."""

import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_package_data_names_every_file_that_is_no_code():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]
    for package, patterns in settings.items():
        folder = ROOT / package
        packed = {path for pattern in patterns for path in folder.glob(pattern)}
        others = (path for path in folder.rglob("*") if path.is_file() and path.suffix not in {".py", ".pyc", ".md"})
        read = {path for path in others if path.parent != ROOT / "experiments/results"}  # records are for people
        assert read and read <= packed
