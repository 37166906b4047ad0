"""What mkdocs does not do by itself: files outside docs/, links to them, notebooks, generated reference.

Documents link to each other as GitHub reads them, by paths in the repository. On the site README.md is the
first page, documents in docs/ are at its top, and everything else keeps its path.
"""

import os
import re
import sys
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

sys.path.insert(0, str(Path(__file__).parent))
import generated

ROOT = Path(__file__).parents[1]
OUTSIDE = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "examples/README.md", "benchmarks/README.md")
STUDIES = ("experiments/README.md", *(str(p.relative_to(ROOT)) for p in ROOT.glob("experiments/*/README.md")))
LINK = re.compile(r"(?P<before>\]\()(?P<link>[^)\s#]*)(?P<anchor>#[^)\s]*)?(?=\))")
FENCE = re.compile(r"(^```.*?^```$)", re.DOTALL | re.MULTILINE)


def place(path: str) -> str:
    """Return where a file of the repository is on the site."""
    if path == "README.md":
        return "index.md"
    return path.removeprefix("docs/")


def source(uri: str) -> str:
    """Return which file of the repository a file of the site is."""
    if uri == "index.md":
        return "README.md"
    if uri.startswith("notebooks/"):
        return f"docs/{uri}"
    return f"docs/{uri}" if (ROOT / "docs" / uri).exists() else uri


def linked(path: str, text: str) -> list[str]:
    """Return the files that a document of the repository links to, by their paths in it."""
    prose = "".join(part for part in FENCE.split(text) if not part.startswith("```"))
    links = [found["link"] for found in LINK.finditer(prose) if found["link"] and "://" not in found["link"]]
    return [target(path, link) for link in links]


def target(path: str, link: str) -> str:
    """Return the path in the repository of what a document links to; of a folder, its README."""
    found = os.path.normpath(os.path.join(os.path.dirname(path), link))
    return f"{found}/README.md" if (ROOT / found).is_dir() else found


def listing(path: str) -> str:
    """Return a page for a folder that has none: the names of its files."""
    folder = (ROOT / path).parent
    names = sorted(file.name for file in folder.iterdir() if file.is_file())
    return "\n".join((f"# {folder.relative_to(ROOT)}", "", *(f"- [{name}]({name})" for name in names)))


def text_of(file: File) -> str:
    """Return a document as it is in the repository; of a generated one its content."""
    path = ROOT / source(file.src_uri)
    return path.read_text("utf-8") if path.exists() else file.content_string


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the documents outside docs/, and the figures, scripts and JSON that any document links to."""
    for path in (*OUTSIDE, *STUDIES):
        files.append(File.generated(config, place(path), abs_src_path=str(ROOT / path)))
    documents = [file for file in files.documentation_pages() if not file.inclusion.is_excluded()]
    for document in documents:  # grows
        for path in linked(source(document.src_uri), text_of(document)):
            if files.get_file_from_path(place(path)) is not None:
                continue
            if (ROOT / path).is_file():
                added = File.generated(config, place(path), abs_src_path=str(ROOT / path))
            elif (ROOT / path).parent.is_dir() and path.endswith("/README.md"):
                added = File.generated(config, place(path), content=listing(path))
            else:
                continue  # mkdocs says that the link leads nowhere
            files.append(added)
            documents += [added] if added.is_documentation_page() else []
    for path in sorted((ROOT / "docs" / "notebooks").glob("*.ipynb")):
        uri = f"notebooks/{path.stem}.md"
        files.append(File.generated(config, uri, content=generated.notebook(path)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn links by paths in the repository into those of the site, and fill in what is generated."""
    path = source(page.file.src_uri)
    folder = os.path.dirname(page.file.src_uri)

    def site_link(found: re.Match[str]) -> str:
        link = found["link"]
        if not link or "://" in link:
            return found[0]
        uri = place(target(path, link))
        if uri.endswith(".ipynb"):
            uri = uri.removesuffix(".ipynb") + ".md"
        return f"]({os.path.relpath(uri, folder or '.')}{found['anchor'] or ''}"

    parts = FENCE.split(markdown)
    text = "".join(part if part.startswith("```") else LINK.sub(site_link, part) for part in parts)
    return generated.fill(text)
