"""The built dashboard, served from the package: hashed assets cached for ever, every other page by index.html."""

from __future__ import annotations

import mimetypes
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from litestar import Request, Response, Router, route
from litestar.di import NamedDependency
from litestar.exceptions import NotFoundException
from litestar.params import FromPath

_NOT_PAGES: Final = ("api/", "schema", "metrics", "assets/")
_UNBUILT: Final = b"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Variant Planner</title></head>
<body><h1>Variant Planner</h1>
<p>The server is running, but this installation has no dashboard: it was built without one.</p>
<p>The API is at <a href="/api/v1/health">/api/v1/</a>, its description at
<a href="/schema/openapi.json">/schema/openapi.json</a>. To add the dashboard, install a released wheel, or run
<code>npm ci &amp;&amp; npm run build</code> in <code>web/</code> and start the server again.</p>
</body></html>
"""


class Page:
    """One file of the dashboard, held in memory: there are few and they never change while the server runs."""

    def __init__(self, path: str, content: bytes, *, hashed: bool) -> None:
        self.content = content
        self.media_type = mimetypes.guess_type(path)[0] or "application/octet-stream"
        self.cache = "public, max-age=31536000, immutable" if hashed else "no-cache"

    def response(self) -> Response[bytes]:
        """Return the page as a response."""
        return Response(self.content, media_type=self.media_type, headers={"Cache-Control": self.cache})


class Dashboard:
    """The files of the built dashboard; empty when none was built."""

    def __init__(self, folder: Path | None) -> None:
        self.pages: dict[str, Page] = {}
        if folder is not None and (folder / "index.html").is_file():
            for file in sorted(folder.rglob("*")):
                if file.is_file() and not file.is_symlink():
                    path = file.relative_to(folder).as_posix()
                    self.pages[path] = Page(path, file.read_bytes(), hashed=path.startswith("assets/"))
        self.index = self.pages.get("index.html") or Page("index.html", _UNBUILT, hashed=False)


def find_folder() -> Path | None:
    """Return the folder of the built dashboard: in the installed package, or in the checkout beside it."""
    package = Path(str(files("planner")))
    for folder in (package / "dashboard", package.parent / "web" / "dist"):
        if (folder / "index.html").is_file():
            return folder
    return None


@route("/", http_method=["GET", "HEAD"], include_in_schema=False, sync_to_thread=False)
def home(dashboard: NamedDependency[Dashboard]) -> Response[bytes]:
    """Return the dashboard's first page."""
    return dashboard.index.response()


@route("/{path:path}", http_method=["GET", "HEAD"], include_in_schema=False, sync_to_thread=False)
def page(
    dashboard: NamedDependency[Dashboard], request: Request[Any, Any, Any], path: FromPath[str]
) -> Response[bytes]:
    """Return a file of the dashboard; index.html for the addresses its own router knows."""
    name = path.lstrip("/")
    if found := dashboard.pages.get(name):
        return found.response()
    wants_page = "text/html" in request.headers.get("accept", "")
    if name.startswith(_NOT_PAGES) or not wants_page:
        raise NotFoundException
    return dashboard.index.response()


router = Router("/", route_handlers=[home, page])
