"""The version, the command that installs it, and where its documentation is."""

__version__ = "0.1.0"

#: Whether this name is the project's on the package index. Until then, a package of that name there is someone
#: else's, and messages, README and docs install from a clone or a wheel. Change it here, then: make install-lines
PUBLISHED = False

#: Where the pages of `docs/` are, as help and errors name them: a folder of the repository until the site is published,
#: then its address, as https://example.org/edgefeat.
DOCUMENTATION = "docs"


def page(name: str) -> str:
    """Return where a page of the documentation is, such as `bundle`."""
    if "://" not in DOCUMENTATION:
        return f"{DOCUMENTATION}/{name}.md"
    # A site has the page of a folder at the folder's own address.
    folder = name.removesuffix("README").strip("/")
    return f"{DOCUMENTATION}/{folder}/" if folder else f"{DOCUMENTATION}/"


def install_command(extra: str) -> str:
    """Return the shell command that adds `extra` to this installation, from the place that it was installed from."""
    return f"pip install {_source(extra)}"


def device_install_command(extra: str) -> str:
    """Return the shell command that installs edgefeat on another machine, to which its wheel was copied."""
    return f"pip install {_named(extra)}"


def update_command() -> str:
    """Return what brings a newer version, as a shell command or a sentence."""
    return "pip install -U edgefeat" if PUBLISHED else "pull the clone of edgefeat, and install it again from there"


def _source(extra: str) -> str:
    if PUBLISHED:
        return _named(extra)
    import json
    from importlib.metadata import PackageNotFoundError, distribution
    from urllib.parse import unquote, urlsplit

    try:
        origin = json.loads(distribution("edgefeat").read_text("direct_url.json") or "{}")
    except (PackageNotFoundError, ValueError):
        origin = {}
    place = urlsplit(origin.get("url", ""))
    editable = "-e " if origin.get("dir_info", {}).get("editable") else ""
    if place.scheme == "file":
        path = unquote(place.path)
        if path[:1] == "/" and path[2:3] == ":":  # /C:/Users of Windows
            path = path[1:]
        return f"{editable}'{path}[{extra}]'"
    return _named(extra)


def _named(extra: str) -> str:
    return f"'edgefeat[{extra}]'" if PUBLISHED else f"'./edgefeat-{__version__}-py3-none-any.whl[{extra}]'"
