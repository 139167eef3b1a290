"""A contact sheet as one self-contained HTML file."""

from __future__ import annotations

import base64
import html
import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from edgefeat._bundle.atomic_files import write_file
from edgefeat._commands.cli.terminal import printable
from edgefeat._commands.neighbours.sheets.sheet import Sheet, SheetRow, Tile
from edgefeat._commands.neighbours.thumbnail import thumbnail
from edgefeat._errors import PictureError

__all__ = ["write_html"]

_SIDE = 320  # pixels; displayed at half size, so that it is sharp on phones
_QUALITY = 80

_HEAD = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>{title}</title>
<style>
:root {{ --paper: #fff; --ink: #1b1b1b; --faint: #595959; --rule: #ddd; --empty: #eee; }}
@media (prefers-color-scheme: dark) {{
  :root {{ --paper: #16181b; --ink: #e8e8e8; --faint: #a8a8a8; --rule: #3a3d42; --empty: #26292e; }}
}}
body {{ margin: 0 auto; max-width: 80rem; padding: 1rem; background: var(--paper); color: var(--ink);
  font: 1rem/1.4 system-ui, sans-serif; }}
h1 {{ font-size: 1.4rem; margin: 0 0 .3rem; }}
h2 {{ font-size: .95rem; font-weight: 500; margin: 0 0 .6rem; color: var(--faint); overflow-wrap: anywhere; }}
p {{ margin: 0 0 1rem; color: var(--faint); }}
section {{ border-top: 1px solid var(--rule); padding: .8rem 0 1.2rem; display: grid; gap: .8rem;
  grid-template-columns: 10rem 1fr; }}
section h2 {{ grid-column: 1 / -1; margin: 0; }}
ul {{ list-style: none; margin: 0; padding: 0; display: grid; gap: .8rem;
  grid-template-columns: repeat(auto-fill, minmax(8.5rem, 1fr)); align-content: start; }}
figure {{ margin: 0; min-width: 0; }}
figure > a, .gone {{ display: grid; place-items: center; aspect-ratio: 1; background: var(--empty); border-radius: 4px;
  overflow: hidden; }}
.gone {{ padding: .5rem; text-align: center; font-size: .85rem; color: var(--faint); }}
figure > a {{ position: relative; }}
img {{ position: absolute; inset: 0; width: 100%; height: 100%; object-fit: contain; }}
figcaption {{ font-size: .8rem; margin-top: .25rem; overflow-wrap: anywhere; }}
figcaption span {{ display: block; color: var(--faint); }}
.lead > a, .lead > .gone {{ outline: 2px solid var(--faint); outline-offset: 1px; }}
@media (max-width: 40rem) {{
  section {{ grid-template-columns: 1fr; }}
  .lead {{ max-width: 60%; }}
  ul {{ grid-template-columns: repeat(2, 1fr); }}
}}
</style>
</head>
<body>
<h1>{title}</h1>
<p>{about}</p>
<main>
"""


def write_html(sheet: Sheet, path: str | os.PathLike[str]) -> None:
    """Write the sheet with embedded thumbnails; each links to its photo."""

    def write(stream: BinaryIO) -> None:
        stream.write(_HEAD.format(title=_text(sheet.title), about=_text(sheet.about)).encode("utf-8"))
        for row in sheet.rows:
            for part in _section(row):
                stream.write(part.encode("utf-8"))
        stream.write(b"</main>\n</body>\n</html>\n")

    write_file(path, write)


def _section(row: SheetRow) -> Iterator[str]:
    yield f"<section>\n<h2>{_text(row.heading)}</h2>\n"
    yield _figure(row.lead, ' class="lead"')
    yield "<ul>\n"
    for tile in row.tiles:
        yield f"<li>{_figure(tile, '')}</li>\n"
    yield "</ul>\n</section>\n"


def _figure(tile: Tile, kind: str) -> str:
    name, caption = _text(os.path.basename(tile.path)), _text(tile.caption)
    try:
        small = thumbnail(tile.path, _SIDE)
    except PictureError as error:
        picture = f'<div class="gone" role="img" aria-label="{name}">{name}: {_text(str(error))}</div>'
    else:
        data = io.BytesIO()
        small.save(data, "JPEG", quality=_QUALITY)
        source = base64.b64encode(data.getvalue()).decode("ascii")
        size = f'width="{small.width}" height="{small.height}"'
        picture = (
            f'<a href="{_text(Path(os.path.abspath(tile.path)).as_uri())}" title="{_text(tile.path)}">'
            f'<img src="data:image/jpeg;base64,{source}" {size} alt="{name}" loading="lazy"></a>'
        )
    return f"<figure{kind}>{picture}<figcaption>{caption}<span>{name}</span></figcaption></figure>\n"


def _text(value: str) -> str:
    """Return escaped text: control characters are spelled out, and bytes that are not UTF-8 become question marks."""
    return html.escape(printable(value).encode("utf-8", "replace").decode("utf-8"))
