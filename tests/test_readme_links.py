"""READMEs say what is there: links and paths exist, the front page is short, and its code runs."""

import re
from pathlib import Path

import jax
import numpy as np
import optax
import pytest

ROOT = Path(__file__).parents[1]
TOP = ("jaxft", "experiments", "configs", "tests", "tpu", r"\.github", r"\.ci")
PATH = re.compile(rf"(?<![\w/.-])(?:{'|'.join(TOP)})/[\w./*-]*\w")
FILE = re.compile(r"[\w./*-]+\.(?:py|sh|md)")  # in backticks, as seen from the page's folder
PAGES = [ROOT / "README.md", *(p for top in (".github", *TOP[:5]) for p in sorted((ROOT / top).rglob("*.md")))]


def anchors(page: Path) -> set[str]:
    """GitHub's names of a page's headings."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def missing(page: Path) -> list[str]:
    """Links, paths and files that a page names and that do not exist."""
    text, folder = page.read_text(), page.parent
    found = [path for path in PATH.findall(text) if not list(ROOT.glob(path))]
    quoted = {name for name in re.findall(r"`([^`\n]+)`", text) if FILE.fullmatch(name)}
    found += [name for name in quoted if not list(folder.glob(name)) and not list(ROOT.glob(name))]
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if link.startswith("https://"):
            continue
        name, _, anchor = link.partition("#")
        target = (folder / name).resolve() if name else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            found.append(link)
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_what_a_page_names_exists(page):
    assert missing(page) == []


def test_a_page_that_names_what_is_absent_is_found(tmp_path):
    page = tmp_path / "README.md"
    page.write_text("# Here\n[a](b.md) [c](#here) [d](#there) `configs/none.py` `e.py` `jaxft/errors.py`\n")
    assert set(missing(page)) == {"configs/none.py", "e.py", "b.md", "#there"}


def test_records_that_the_results_name_exist():
    folder = ROOT / "experiments/results"
    named = set(re.findall(r"`(\w+\.json)`", (folder / "README.md").read_text()))
    assert named and named <= {path.name for path in folder.glob("*.json")}


def test_front_page_is_short_and_has_the_two_commands():
    text = (ROOT / "README.md").read_text()
    assert len(text.splitlines()) <= 150
    assert "\npip install -e . && jaxft compare configs/quickstart.py\n" in text
    assert "\npip install -e '.[test]' && pytest\n" in text


def test_transforms_of_the_front_page_run():
    code = re.search(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), flags=re.DOTALL)
    assert code
    names: dict = {}
    exec(code[1], names)  # noqa: S102 - our own page
    base, basis = names["base"], names["bases"]["up"]
    inside = {}
    for name in ("projection", "l2sp"):
        tx, weights = names[name], base
        state = tx.init(weights)
        for step in range(5):
            gradient = {"up": jax.random.normal(jax.random.key(step), weights["up"].shape)}
            updates, state = tx.update(gradient, state, weights)
            weights = optax.apply_updates(weights, updates)
        change = weights["up"] - base["up"]
        inside[name] = float(np.linalg.norm(basis.split(change)[0]) / np.linalg.norm(change))
    assert inside["projection"] < 1e-4 < 0.1 < inside["l2sp"]
