"""The links between the documents: each leads to a file that is there, and to a heading in it.

    python links.py
"""

import pathlib
import re
import subprocess

HERE = pathlib.Path(__file__).resolve().parent.parent


def prose(text):
    """A document without what is quoted in it."""
    return re.sub(r"^( *)```.*?^\1```", "", text, flags=re.M | re.S)


def anchors(text):
    """What can be linked in a document, as GitHub makes it of its headings."""
    found = set()
    for heading in re.findall(r"^#+ (.+)$", prose(text), re.M):
        shown = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        plain = re.sub(r"[^\w\- ]", "", shown.lower()).replace(" ", "-")
        count = sum(1 for other in found if re.fullmatch(rf"{re.escape(plain)}(-\d+)?", other))
        found.add(f"{plain}-{count}" if count else plain)
    return found


def links(text):
    """Where a document's links lead."""
    return re.findall(r"\]\(<?([^)>\s]+)>?\)", re.sub(r"`[^`\n]*`", "", prose(text)))


def wrong(document):
    text = document.read_text()
    for link in links(text):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (document.parent / path).resolve() if path else document
        if not target.exists() or HERE not in target.parents:
            yield f"{document.relative_to(HERE)}: {link} is not there"
        elif anchor and target.suffix == ".md" and anchor not in anchors(target.read_text()):
            yield f"{document.relative_to(HERE)}: {link} leads to no heading"


def main():
    known = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", "*.md"], cwd=HERE, capture_output=True, text=True, check=True)
    documents = [HERE / name for name in known.stdout.split()]
    found = [what for document in documents for what in wrong(document)]
    if found:
        raise SystemExit("\n".join(found))
    print(f"{sum(len(links(document.read_text())) for document in documents)} links in {len(documents)} documents lead somewhere")


if __name__ == "__main__":
    main()
