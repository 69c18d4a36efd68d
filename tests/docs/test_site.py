"""The site: pages in the navigation, links, versions; it builds without a warning."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml

import mureg

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
MADE = {"reference/api.md", "reference/command-line-options.md", "reference/settings.md", "reference/model-cards.md"}
"""Pages that `scripts/site_pages.py` makes when the site is built."""
PAGES = [
    *(ROOT / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "evidence/README.md")),
    *sorted(DOCS.rglob("*.md")),
]


def in_navigation(part: object) -> Iterator[str]:
    if isinstance(part, str):
        yield part
    elif isinstance(part, dict):
        for value in part.values():
            yield from in_navigation(value)
    elif isinstance(part, list):
        for value in part:
            yield from in_navigation(value)


def text_without_code(page: Path) -> str:
    text = re.sub(r"^( *)```.*?^\1```", "", page.read_text("utf-8"), flags=re.S | re.M)
    return re.sub(r"`[^`\n]*`", "", text)


def anchors(page: Path) -> set[str]:
    """Names of the headings of a page, as MkDocs and GitHub make them."""
    text = re.sub(r"^( *)```.*?^\1```", "", page.read_text("utf-8"), flags=re.S | re.M)
    headings = re.findall(r"^#+ +(.*?) *$", text, re.M)
    plain = [re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "") for heading in headings]
    return {re.sub(r"[\s]+", "-", re.sub(r"[^\w\s-]", "", heading).strip().lower()) for heading in plain}


def hook():
    spec = importlib.util.spec_from_file_location("site_pages", ROOT / "scripts" / "site_pages.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_page_is_in_the_navigation_once() -> None:
    listed = list(in_navigation(yaml.safe_load((ROOT / "mkdocs.yml").read_text("utf-8"))["nav"]))
    assert len(listed) == len(set(listed))
    assert set(listed) == {page.relative_to(DOCS).as_posix() for page in DOCS.rglob("*.md")} | MADE


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", text_without_code(page)):
        if re.match(r"(https?|mailto):", target):
            continue
        path, _, anchor = target.partition("#")
        there = Path(os.path.normpath(page.parent / path)) if path else page
        made = there.is_relative_to(DOCS) and there.relative_to(DOCS).as_posix() in MADE
        assert made or there.exists(), f"{page.name}: {target}"
        if anchor and there.suffix == ".md" and not made:
            assert anchor in anchors(there), f"{page.name}: {target}"


def test_the_site_names_every_public_name() -> None:
    made = hook()
    assert {name for names in made.PYTHON.values() for name in names} == set(mureg.__all__) - {
        "RESEARCH_USE_ONLY",
        "__version__",
    }


def test_a_model_card_for_every_file_of_weights() -> None:
    page = hook().model_cards()
    weights = sorted((ROOT / "src/mureg/data/weights").glob("*.onnx"))
    assert weights
    for path in weights:
        assert f"`{path.name}`" in page
    for said in ("intended use", "not for", "limits", "licence", "SHA-256"):
        assert said in page


def test_links_out_of_the_site_become_paths() -> None:
    class Page:
        class file:
            src_uri = "concepts/page.md"

    text = hook().on_page_markdown(
        "[a](../../evidence/README.md), [b](../evidence.md#x), [c](https://e.org)", Page, None, None
    )
    assert text == "a (`evidence/README.md` in the repository), [b](../evidence.md#x), [c](https://e.org)"


def test_versions_agree() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    assert project["version"] == mureg.__version__ == citation["version"]
    assert citation["license"] in project["license"]
    assert citation["references"][0]["title"] in (ROOT / "README.md").read_text("utf-8").replace("\n", " ")
    assert re.search(
        rf"^## ({re.escape(mureg.__version__)}|Unreleased)\b", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.M
    )


@pytest.mark.parametrize("path", sorted((ROOT / ".github").rglob("*.yml")), ids=lambda path: path.name)
def test_forms_and_workflows_are_yaml(path) -> None:
    content = yaml.safe_load(path.read_text("utf-8"))
    if "workflows" in path.parts:
        assert all(job["runs-on"] and job["steps"] for job in content["jobs"].values())
    elif path.name != "config.yml":
        assert {"name", "description", "body"} <= set(content)


def test_hooks_are_programs_of_this_project() -> None:
    (repository,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text("utf-8"))["repos"]
    assert repository["repo"] == "local"
    assert all(one["language"] == "system" and one["entry"].startswith(".venv/") for one in repository["hooks"])


@pytest.mark.slow
@pytest.mark.skipif(
    find_spec("mkdocs") is None or find_spec("mkdocstrings") is None,
    reason="mkdocs is missing: pip install '.[docs]'",
)
def test_it_builds_without_a_warning(tmp_path) -> None:
    """Nothing that a browser reads comes from elsewhere."""
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    for page in (tmp_path / "site").rglob("*.html"):
        fetched = re.findall(r"""<(?:script|img|link)[^>]*(?:src|href)=["'](https?:[^"']+)""", page.read_text("utf-8"))
        assert not [one for one in fetched if "canonical" not in one], page
    assert "examine" in (tmp_path / "site/reference/api.html").read_text("utf-8")
