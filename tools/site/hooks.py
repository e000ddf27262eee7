"""What the site has beyond the files of docs/: generated reference, decisions in the menu, files of the repository.

MkDocs calls the functions named on_*. It puts this folder on the path while it loads this file.
"""

import re
from pathlib import Path

from commands_reference import commands_reference
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from schema_reference import SCHEMAS, schema_reference

ROOT = Path(__file__).parents[2]
FILES = "files"  # where the site keeps what pages link to outside of docs/
PAGES = {"README.md": "readme.md", "CONTRIBUTING.md": "contributing.md"}  # of the repository, as pages of the site
OUTSIDE = re.compile(r"\[(?P<text>[^\]]*)\]\((?P<up>(?:\.\./)+)(?P<path>[^)#\s]+)(?P<rest>#[^)\s]*)?\)")


def generated() -> dict[str, str]:
    """{path in the site: Markdown} of the pages that are written from the code."""
    pages = {"reference/commands.md": commands_reference()}
    pages |= {f"reference/{name}.md": schema_reference(name) for name in SCHEMAS}
    return pages | {page: _moved((ROOT / source).read_text(encoding="utf-8")) for source, page in PAGES.items()}


def _moved(text: str) -> str:
    """A page of the repository's top as if it lay in docs/."""
    return re.sub(r"\]\((?!https?:|#)(docs/(?=[^)]*\.md))?", lambda match: "](" if match[1] else "](../", text)


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Complete the menu: the reference, decisions, and pages that nobody put into it."""
    docs = Path(config.docs_dir)
    assert config.nav is not None
    named = set(_pages(config.nav))
    decisions = sorted(path.relative_to(docs).as_posix() for path in docs.glob("adr/*.md"))
    rest = sorted({path.relative_to(docs).as_posix() for path in docs.rglob("*.md")} - named - set(decisions))
    for section in config.nav:
        if "Reference" in section:
            section["Reference"] += sorted(generated().keys() - PAGES.values())
    config.nav.append({"More": [*PAGES.values(), *rest]})
    config.nav.append({"Decisions": decisions})
    return config


def _pages(nav: object) -> list[str]:
    if isinstance(nav, str):
        return [nav]
    items = nav.values() if isinstance(nav, dict) else nav
    return [page for item in items for page in _pages(item)]  # type: ignore[attr-defined]


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages, and every file of the repository that a page links to."""
    for path, text in generated().items():
        files.append(File.generated(config, path, content=text))
    for page in list(files.documentation_pages()):
        for match in OUTSIDE.finditer(page.content_string):
            path = _outside(page.src_uri, match)
            if (
                path is not None
                and path not in PAGES
                and files.get_file_from_path(f"{FILES}/{path}") is None
                and (ROOT / path).is_file()
            ):
                files.append(File.generated(config, f"{FILES}/{path}", abs_src_path=str(ROOT / path)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Point links that leave docs/ to the copies within the site; a folder has none and is named only."""

    def changed(match: re.Match[str]) -> str:
        path = _outside(page.file.src_uri, match)
        if path is None:
            return match.group()
        back = "../" * page.file.src_uri.count("/")
        if path in PAGES:
            return f"[{match['text']}]({back}{PAGES[path]}{match['rest'] or ''})"
        if (ROOT / path).is_dir():
            return match["text"]
        if not (ROOT / path).is_file():
            raise PluginError(f"{page.file.src_uri} links to {path}, which the repository has not")
        return f"[{match['text']}]({back}{FILES}/{path}{match['rest'] or ''})"

    return OUTSIDE.sub(changed, markdown)


def _outside(page: str, match: re.Match[str]) -> str | None:
    """The path in the repository of a link that leaves docs/; None for one that does not."""
    depth = page.count("/")
    ups = match["up"].count("../")
    return match["path"].rstrip("/") if ups == depth + 1 else None
