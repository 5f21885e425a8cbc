"""Take the pictures of the documentation anew: pages, contact sheets, explanations.

    python tools/pictures.py docs --photographs CALTECH.zip
    python tools/pictures.py recorded
    python tools/pictures.py photographs --photographs CALTECH.zip --code runs/reference@L7
    python tools/pictures.py drawings --drawings FOLDER --code runs/reference@L7

`docs` makes docs/images/: the pictures are what the commands and the service show, by the shipped
network unless `--code` names another. `recorded` draws plots from recorded figures alone: the
reliability diagram and those of the compression. `photographs` and `drawings` make the contact
sheets in results/collections/; the drawings are Debian's package openclipart-png
(`apt-get download openclipart-png`, then `dpkg -x`, usr/share/openclipart/png), and what is said
there of the sheets was seen by eye in those of the reference run.

Pages are photographed by Playwright in the system's Chromium, which must be on the PATH.
"""

from __future__ import annotations

import argparse
import io
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from PIL import Image

from neuralcodes.common.errors import UserError, run_script
from neuralcodes.common.files import atomic_write, read_json
from neuralcodes.images.photographs import clothing_photographs
from neuralcodes.serve.client import Client

IMAGES = Path("docs/images")
SHEETS = Path("results/collections")
CLASSES = "photos.zip/101_ObjectCategories"  # in Caltech's archive
QUERY, REGION_QUERY = (
    f"{CLASSES}/grand_piano/image_0010.jpg",
    f"{CLASSES}/grand_piano/image_0003.jpg",
)
PAIR = (f"{CLASSES}/Leopards/image_0001.jpg", f"{CLASSES}/Leopards/image_0003.jpg")
REGION = "0.2,0.1,0.75,0.7"  # of the piano
TROUSERS = "clothing/pants/046d0a65.jpg"
APPLE = "drawings/food/fruit/apple.png"
PATIENCE = 120_000.0  # ms
LARGEST = 240_000  # bytes of a picture in git
QUALITY = 80  # of JPEG


def run(folder: Path, *words: str) -> None:
    """A command of ours in a folder, so that no path of this machine comes into a picture.

    Raises:
        UserError: it failed; its own message is above.
    """
    done = subprocess.run([sys.executable, "-m", "neuralcodes", *words], cwd=folder, check=False)
    if done.returncode:
        raise UserError(f"neuralcodes {' '.join(words)}: failed; its message is above")


def index(folder: Path, pictures: str, collection: str, code: str) -> None:
    """A collection; networks of this folder keep their names there."""
    first = Path(code.partition("@")[0]).parts[0]
    if Path(first).exists() and not (folder / first).exists():
        (folder / first).symlink_to(Path(first).resolve())
    run(folder, "index", pictures, "--collection", collection, "--code", code)


def id_of(address: str, name: str) -> int:
    """The number of the served image whose path ends with this folder and name.

    Raises:
        UserError: there is none.
    """
    with Client(address) as client:
        after: int | None = 0
        while after is not None:
            page = client.images(after, 100)
            for image in page.images:
                if image.path.endswith("/".join(Path(name).parts[-2:])):
                    return int(image.id)
            after = page.next
    raise UserError(f"{name}: not served at {address}; these are not the pictures meant")


class Camera:
    """Chromium, from addresses to pictures."""

    def __init__(self, browser: Any) -> None:
        self._browser = browser

    @contextmanager
    def page(self, address: str, size: tuple[int, int], dark: bool = False) -> Iterator[Any]:
        """A page that has come to rest."""
        scheme = "dark" if dark else "light"
        viewport = {"width": size[0], "height": size[1]}
        context = self._browser.new_context(viewport=viewport, color_scheme=scheme)
        context.set_default_timeout(PATIENCE)
        page = context.new_page()
        page.goto(address)
        yield page
        context.close()

    def take(self, page: Any, out: Path) -> None:
        """What is seen of the page, when its pictures are there."""
        page.evaluate(
            "() => Promise.all([...document.images].filter((one) => {"
            " const box = one.getBoundingClientRect();"
            " return box.top < innerHeight && box.bottom > 0; })"
            ".map((one) => one.decode().catch(() => null)))"
        )
        if out.suffix == ".jpg":
            picture = page.screenshot(type="jpeg", quality=QUALITY)
        else:
            picture = small_png(page.screenshot(type="png"))
        with atomic_write(out) as file:
            file.write(picture)
        print(f"{out}: {len(picture):,} bytes", flush=True)

    def sheet(self, file: Path, out: Path, size: tuple[int, int], style: str = "") -> None:
        """The top of a contact sheet, with more style."""
        with self.page(file.resolve().as_uri(), size) as page:
            if style:  # the sheet's own policy lets styles in
                page.add_style_tag(content=style)
            self.take(page, out)


def small_png(data: bytes) -> bytes:
    """With as many colours as the largest file has room for."""
    picture = Image.open(io.BytesIO(data)).convert("RGB")
    for colours in (0, 256, 128, 64):
        file = io.BytesIO()
        (picture.quantize(colours) if colours else picture).save(file, "PNG", optimize=True)
        if file.tell() <= LARGEST:
            break
    return file.getvalue()


@contextmanager
def camera() -> Iterator[Camera]:
    """A browser of the system.

    Raises:
        UserError: none is there.
    """
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        raise UserError("chromium: not on the PATH; install it (apt-get install chromium)")
    try:
        from playwright.sync_api import sync_playwright
    except ModuleNotFoundError:
        raise UserError('playwright: not installed; pip install "neuralcodes[dev]"') from None
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--disable-gpu"]
        )
        yield Camera(browser)
        browser.close()


@contextmanager
def served(folder: Path, *collections: str) -> Iterator[str]:
    """The address of a service over these."""
    command = [sys.executable, "-m", "neuralcodes", "serve", *collections, "--port", "0"]
    environment = {**os.environ, "NEURALCODES_CACHE": str(folder / "cache")}
    server = subprocess.Popen(
        command, cwd=folder, stdout=subprocess.PIPE, text=True, env=environment
    )
    try:
        assert server.stdout is not None
        line = server.stdout.readline()
        if " at http://" not in line:
            raise UserError(f"neuralcodes serve {' '.join(collections)}: did not start")
        yield line.partition(" at ")[2].split()[0].rstrip("/")
    finally:
        server.terminate()
        server.wait()


def take_docs(options: argparse.Namespace, folder: Path) -> None:
    """docs/images/ but for the plot."""
    link(options.photographs, folder / "photos.zip", "--photographs")
    shutil.copytree(clothing_photographs(), folder / "clothing")
    index(folder, "photos.zip", "photographs.nc", options.code)
    index(folder, "photos.zip", "other.nc", options.other_code)
    index(folder, "clothing", "clothes.nc", options.code)
    for name in ("photographs.nc", "clothes.nc"):
        run(folder, "calibrate", name)
    run(folder, "explain", *PAIR, "--collection", "photographs.nc", "--out", "explain.png")
    shutil.copyfile(folder / "explain.png", IMAGES / "explain.png")
    run(folder, "search", "photographs.nc", QUERY, "-k", "5", "--html", "sheet.html")
    with camera() as taken:
        taken.sheet(folder / "sheet.html", IMAGES / "search.png", (1000, 610))
        with served(folder, "photographs.nc", "other.nc") as address:
            piano = id_of(address, REGION_QUERY)
            with taken.page(f"{address}/?id={piano}&k=18", (1100, 740)) as page:
                taken.take(page, IMAGES / "page-results.jpg")
            with taken.page(f"{address}/?id={piano}&crop={REGION}&k=18", (1100, 620)) as page:
                page.locator("#r1 .why").click()
                page.locator("img[alt^='Heat map']").last.wait_for()
                page.evaluate("scrollTo(0, 0)")
                taken.take(page, IMAGES / "page-why.jpg")
        with served(folder, "clothes.nc") as address:
            trousers = id_of(address, TROUSERS)
            with taken.page(f"{address}/?id={trousers}", (360, 740), dark=True) as page:
                taken.take(page, IMAGES / "page-phone.jpg")


def take_photographs(options: argparse.Namespace, folder: Path) -> None:
    """The photographs' near-duplicates, in results/collections/."""
    link(options.photographs, folder / "photos.zip", "--photographs")
    index(folder, "photos.zip", "photographs.nc", options.code)
    run(folder, "duplicates", "photographs.nc", "--html", "sheet.html")
    style = ".nc-sheet{max-width:none;columns:4;zoom:.68}.nc-sheet figure{break-inside:avoid}"
    with camera() as taken:
        out = options.sheets / "duplicates-photographs.png"
        taken.sheet(folder / "sheet.html", out, (1100, 786), style)


def take_drawings(options: argparse.Namespace, folder: Path) -> None:
    """A search and the near-duplicates among drawings, in results/collections/."""
    link(options.drawings, folder / "drawings", "--drawings")
    index(folder, "drawings", "drawings.nc", options.code)
    run(folder, "search", "drawings.nc", APPLE, "-k", "8", "--html", "search.html")
    run(folder, "duplicates", "drawings.nc", "--html", "sheet.html")
    style = (
        ".nc-sheet{max-width:none;columns:2;zoom:.5}.nc-sheet figure{border:0}"
        ".nc-sheet figcaption{display:none}.nc-sheet .grid{break-inside:avoid}"
    )
    with camera() as taken:
        taken.sheet(folder / "search.html", options.sheets / "search-drawings.png", (1100, 880))
        out = options.sheets / "duplicates-drawings.png"
        taken.sheet(folder / "sheet.html", out, (800, 509), style)


def draw_recorded(options: argparse.Namespace, folder: Path) -> None:
    """Plots of recorded figures."""
    del options, folder
    sys.path.insert(0, "benchmarks")
    from compression_figures import write_figures

    from neuralcodes.codes.probability import load_probability
    from neuralcodes.reports.reliability import reliability_figure
    from neuralcodes.reports.style import png_bytes

    write_figures(Path("results/compression"), read_json(Path("results/compression.json")))
    known = load_probability(Path("results/calibration/caltech-L7.json"))
    about = {"Code": f"{known.spec.name} ({known.spec.fingerprint()})"}
    with atomic_write(IMAGES / "reliability.png") as file:
        file.write(png_bytes(reliability_figure(known), about))


def link(place: Path | None, name: Path, option: str) -> None:
    """A short name for pictures that lie elsewhere.

    Raises:
        UserError: they were not given, or are not there.
    """
    if place is None or not place.exists():
        raise UserError(f"{option} {place or ''}: give where the pictures are")
    name.symlink_to(place.resolve())


WHAT: dict[str, Callable[[argparse.Namespace, Path], None]] = {
    "docs": take_docs,
    "recorded": draw_recorded,
    "photographs": take_photographs,
    "drawings": take_drawings,
}


def main() -> None:
    """Read the options and do it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=WHAT, nargs="+")
    parser.add_argument(
        "--photographs", type=Path, default=os.environ.get("NEURALCODES_CALTECH"),
        help="Caltech-101 as a zip file [NEURALCODES_CALTECH]",
    )  # fmt: skip
    parser.add_argument("--drawings", type=Path, help="folder of openclipart-png")
    parser.add_argument("--code", default="shipped")
    parser.add_argument("--other-code", default="shipped@pooled", help="that pages switch to")
    parser.add_argument("--sheets", type=Path, default=SHEETS, help="where contact sheets go")
    options = parser.parse_args()
    for name in options.what:
        with tempfile.TemporaryDirectory() as folder:
            WHAT[name](options, Path(folder))


if __name__ == "__main__":
    run_script(main)
