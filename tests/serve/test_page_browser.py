"""The page in a browser: a real server, the system's Chromium, every path through it."""

from __future__ import annotations

import base64
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from painted import save_small
from PIL import Image
from serving import Running

from neuralcodes.collection.collection import Collection
from neuralcodes.images.photographs import clothing_photographs

playwright_api = pytest.importorskip("playwright.sync_api", reason="needs playwright (extra dev)")
axe_api = pytest.importorskip("axe_playwright_python.base", reason="needs axe (extra dev)")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
if CHROMIUM is None:
    pytest.skip("needs chromium on the PATH", allow_module_level=True)

from playwright.sync_api import Browser, Page, expect  # noqa: E402

PATIENCE = 60_000.0  # ms; machines that are busy
FOLDERS = ("hat", "shoes", "skirt", "dress")
PHONE = {"width": 360, "height": 740}
DROPPED = """([kind, name, data]) => {
  const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
  const carrier = new DataTransfer();
  carrier.items.add(new File([bytes], name, { type: "image/jpeg" }));
  const given = { bubbles: true, cancelable: true };
  if (kind === "paste") {
    document.body.dispatchEvent(new ClipboardEvent("paste", { ...given, clipboardData: carrier }));
  } else {
    for (const step of ["dragenter", "dragover", "drop"]) {
      document.body.dispatchEvent(new DragEvent(step, { ...given, dataTransfer: carrier }));
    }
  }
}"""

Opener = Callable[..., Page]


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty photographs, three of them once more and smaller."""
    root = tmp_path_factory.mktemp("browser") / "clothing"
    files = sorted(file for name in FOLDERS for file in (clothing_photographs() / name).glob("*"))
    for file in files:
        (root / file.parent.name).mkdir(parents=True, exist_ok=True)
        shutil.copy(file, root / file.parent.name)
    for number, file in enumerate(files[::15]):
        with Image.open(file) as image:
            small = image.resize((image.width * 3 // 4, image.height * 3 // 4))
            small.save(root / file.parent.name / f"copy{number}.jpg")
    return root


@pytest.fixture(scope="module")
def server(photographs: Path) -> Iterator[Running]:
    folder = photographs.parent
    code = f"{save_small(folder / 'small.safetensors')}@L6"
    with Collection.create(folder / "clothes.nc", code, device="cpu") as made:
        (photographs / "hat" / "damaged.jpg").write_bytes(b"no picture")
        made.sync([photographs])
        made.set_metadata([{"id": n, "stars": n % 5 + 1} for n in range(1, len(made) + 1)])
        made.calibrate()
        made.calibrate_distances()
    with Collection.create(folder / "flat.nc", code.replace("@L6", "@L5"), device="cpu") as made:
        # hats are not in it, the others are under other ids
        made.sync([photographs / name for name in FOLDERS[:0:-1]])
    cache = str(folder / "cache")
    running = Running(folder / "clothes.nc", None, folder / "flat.nc", NEURALCODES_CACHE=cache)
    yield running
    if running.process.poll() is None:
        running.stop()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with playwright_api.sync_playwright() as playwright:
        started = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"]
        )
        yield started
        started.close()


@pytest.fixture
def opened(browser: Browser, server: Running) -> Iterator[Opener]:
    """Open pages; at the end no script may have failed and the policy not been broken."""
    contexts = []
    wrong: list[str] = []

    def open_page(path: str, **options: object) -> Page:
        context = browser.new_context(**{"viewport": {"width": 1100, "height": 800}, **options})  # type: ignore[arg-type]
        contexts.append(context)
        context.set_default_timeout(PATIENCE)
        page = context.new_page()
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on(
            "console",
            lambda said: wrong.append(said.text) if "Security Policy" in said.text else None,
        )
        page.on(
            "request",
            lambda asked: (
                None if asked.url.startswith((server.address, "blob:")) else wrong.append(asked.url)
            ),
        )
        page.goto(server.address + path)
        return page

    expect.set_options(timeout=PATIENCE)
    yield open_page
    for context in contexts:
        context.close()
    assert not wrong


def _first_hat(photographs: Path) -> Path:
    return sorted((photographs / "hat").glob("*.jpg"))[0]


def test_choose_drop_and_paste_a_picture(opened: Opener, photographs: Path) -> None:
    page = opened("/")
    picture = _first_hat(photographs)
    page.set_input_files("#choose", picture)
    page.wait_for_url("**/?upload=*")
    expect(page.locator(".cell")).to_have_count(24)
    expect(page.locator(".cell .name").first).to_have_text(picture.name)
    expect(page.locator(".score").first).to_contain_text("0.000")
    by_choice = page.url
    data = base64.b64encode(picture.read_bytes()).decode()
    for kind in ("drop", "paste"):
        page.goto(by_choice.partition("?")[0])
        page.evaluate(DROPPED, [kind, "mine.jpg", data])
        page.wait_for_url(by_choice)
    page.evaluate(DROPPED, ["drop", "x.txt", ""])  # empty: the service says so
    expect(page.locator("h1")).to_have_text("That did not work")
    page.go_back()
    expect(page.locator(".cell")).to_have_count(24)


def test_click_through_results_and_back(opened: Opener) -> None:
    page = opened("/?id=3&k=12")
    expect(page.locator(".score .chance").first).to_contain_text("%")
    third = page.locator(".cell").nth(2)
    name = third.locator(".name").inner_text()
    third.locator(".details").click()
    expect(page.locator("h1")).to_have_text(name)
    expect(page.locator(".stage img")).to_be_visible()
    page.click("#back")
    expect(page.locator("#r3 .hit")).to_be_focused()
    page.locator("#r3 .add").click()
    expect(page.locator(".chip")).to_have_count(2)
    page.locator("#r2 .unlike").click()
    expect(page.locator(".chip.unlike")).to_have_count(1)
    assert page.url.count("id=") == 2 and "exclude=" in page.url
    page.locator(".chip.unlike .remove").click()
    expect(page.locator(".chip")).to_have_count(2)
    page.locator("#r1 .hit").click()
    expect(page.locator(".chip")).to_have_count(1)
    page.go_back()
    expect(page.locator(".chip")).to_have_count(2)
    page.locator("#r1 .why").click()
    expect(page.locator("#maps")).to_contain_text("apart")
    heat = page.locator("img[alt^='Heat map']")
    expect(heat).to_have_count(3)  # of both that were searched by, and of the result
    for number in range(3):
        heat.nth(number).evaluate("async (image) => image.decode()")
    page.click("#back")
    page.click("#clear")
    expect(page.locator(".hero")).to_be_visible()


def test_a_region_by_pointer_and_by_keyboard(opened: Opener) -> None:
    page = opened("/?id=3")
    whole = page.locator(".score").nth(3).inner_text()
    page.click("#crop-link")
    stage = page.locator("#stage")
    stage.locator("img").evaluate("async (image) => image.decode()")
    box = stage.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] * 0.05, box["y"] + box["height"] * 0.05)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.55, box["y"] + box["height"] * 0.45, steps=4)
    page.mouse.up()
    drawn = [float(page.input_value(f"#{name}")) for name in ("left", "top", "width", "height")]
    assert drawn == pytest.approx([5, 5, 50, 40], abs=1.5)
    page.focus("#region")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Shift+ArrowDown")
    assert float(page.input_value("#left")) == pytest.approx(drawn[0] + 1, abs=0.11)
    assert float(page.input_value("#height")) == pytest.approx(drawn[3] + 1, abs=0.11)
    page.keyboard.press("Enter")
    page.wait_for_url("**crop=**")
    expect(page.locator(".chip")).to_contain_text("region of")
    assert page.locator(".score").nth(3).inner_text() != whole
    page.locator("#r1 .why").click()
    expect(page.locator("#maps")).to_contain_text("apart")
    expect(page.locator(".frame rect")).to_have_count(1)
    page.locator("img[alt^='Heat map']").first.evaluate("async (image) => image.decode()")


def test_another_code_by_pointer_and_by_keyboard(opened: Opener) -> None:
    """By its image where the other collection has it, else by an upload of it."""
    page = opened("/?is.label=shoes&k=6")
    page.locator(".hit").first.click()
    page.wait_for_url("**/?id=*")
    name = page.locator(".chip span").last.inner_text()
    nearest = page.locator(".score").first.inner_text()
    page.locator(".codes a", has_text="flat").click()
    page.wait_for_url("**/c/flat/?id=*")
    assert page.url.endswith("is.label=shoes&k=6")
    expect(page.locator(".chip span").last).to_have_text(name)
    expect(page.locator(".codes [aria-current]")).to_contain_text("small.safetensors@L5")
    assert page.locator(".score").first.inner_text() != nearest
    page.locator(".hit").first.evaluate("async (link) => link.querySelector('img').decode()")
    page.locator(".hit").first.click()
    page.wait_for_url("**/c/flat/?id=*")  # it stays there
    page.keyboard.press("v")
    page.wait_for_url(lambda url: "/c/" not in url)
    expect(page.locator(".codes [aria-current]")).to_contain_text("clothes")
    page.goto(page.url.partition("?")[0] + "?is.label=hat&k=6")
    page.locator(".hit").first.click()
    page.wait_for_url("**/?id=*")
    page.keyboard.press("v")
    page.wait_for_url("**/c/flat/?upload=*")
    expect(page.locator(".cell")).to_have_count(0)  # of the filter by label nothing is there
    page.click("text=Without filters")
    expect(page.locator(".cell")).to_have_count(6)
    page.go_back()
    page.go_back()
    expect(page.locator(".codes [aria-current]")).to_contain_text("clothes")


def test_a_picture_that_cannot_be_shown_keeps_its_place(opened: Opener) -> None:
    page = opened("/jobs")
    page.route("**/images/3/thumbnail*", lambda route: route.abort())
    page.goto(page.url.replace("/jobs", "/?order=path&k=42"))
    cell = page.locator("#i3")
    cell.scroll_into_view_if_needed()
    expect(cell.locator("img.broken")).to_be_visible()
    box, other = cell.bounding_box(), page.locator("#i4").bounding_box()
    assert box and other and box["width"] == other["width"] and box["height"] > 150
    expect(cell.locator(".name")).not_to_be_empty()
    cell.locator(".hit").click()
    page.wait_for_url("**/?id=3*")


def test_filters_and_the_slider_change_the_address(opened: Opener) -> None:
    page = opened("/?id=3")
    page.locator("#k").focus()
    page.keyboard.press("Home")
    expect(page.locator(".cell")).to_have_count(6)
    assert page.url.endswith("?id=3&k=6")
    expect(page.locator("#k")).to_be_focused()
    page.click("summary")
    page.select_option("select[name='is.label']", "shoes")
    expect(page.locator(".line").first).to_contain_text("pictures pass the filters")
    shown = page.locator(".name + .meta").all_inner_texts()
    assert shown and all("shoes" in text for text in shown)
    page.fill("#filter", "stars > 9")
    page.keyboard.press("Enter")
    expect(page.locator(".empty h2")).to_have_text("No picture passes the filters")
    page.fill("#filter", "stars >")
    page.keyboard.press("Enter")
    expect(page.locator(".empty")).to_contain_text("a value is missing")
    assert page.input_value("#filter") == "stars >"
    page.go_back()
    expect(page.locator(".empty h2")).to_have_text("No picture passes the filters")
    page.click("text=Without filters")
    expect(page.locator(".cell")).to_have_count(6)
    page.click("#next")
    expect(page.locator(".cell").first).to_have_id("r7")


def test_search_by_keyboard_alone(opened: Opener) -> None:
    page = opened("/?k=6")
    page.keyboard.press("Tab")
    expect(page.locator(".skip")).to_be_focused()
    page.keyboard.press("ArrowRight")
    expect(page.locator(".hit").first).to_be_focused()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowLeft")
    below = page.evaluate("document.activeElement.closest('.cell').id")
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/?id={below.removeprefix('i')}&k=6")
    page.keyboard.press("]")
    page.wait_for_url("**page=2")
    page.keyboard.press("[")
    expect(page.locator("#r1")).to_be_visible()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    expect(page.locator("#r2 .hit")).to_be_focused()
    page.keyboard.press("a")
    expect(page.locator(".chip")).to_have_count(2)
    page.keyboard.press("n")  # the first, where none has the focus
    expect(page.locator(".chip.unlike")).to_have_count(1)
    page.locator(".chip.unlike .remove").press("Enter")
    expect(page.locator(".chip")).to_have_count(2)
    page.keyboard.press("/")
    expect(page.locator("#filter")).to_be_focused()
    page.keyboard.type("a?")  # letters for the field, not for the page
    assert page.input_value("#filter") == "a?"
    page.fill("#filter", "")
    page.locator("#r1 .hit").focus()
    page.keyboard.press("?")
    expect(page.locator("#keys")).to_be_visible()
    address = page.url
    page.keyboard.press("d")  # an open list owns its keys
    page.keyboard.press("Escape")
    expect(page.locator("#keys")).not_to_be_visible()
    assert page.url == address
    page.keyboard.press("?")
    page.locator("#keys-on").uncheck()
    page.keyboard.press("Escape")
    page.keyboard.press("d")
    page.keyboard.press("?")
    expect(page.locator("#keys")).not_to_be_visible()
    assert page.url == address
    page.click("#show-keys")
    page.locator("#keys-on").check()
    page.keyboard.press("Escape")
    page.locator("#r1 .hit").focus()
    page.keyboard.press("d")
    page.wait_for_url("**/image/**")
    page.keyboard.press("b")
    expect(page.locator("#r1 .hit")).to_be_focused()


def test_duplicates_by_keyboard(opened: Opener) -> None:
    page = opened("/duplicates")
    page.click("text=Look for duplicates")
    expect(page.locator("text=To the duplicates")).to_be_visible()
    page.click("text=To the duplicates")
    groups = page.locator(".groups li")
    count = groups.count()
    assert count >= 3
    groups.first.locator("a").click()
    page.wait_for_url("**/duplicates/*")
    first = page.url
    page.evaluate(axe_api.AXE_SCRIPT)
    assert not _broken(page)
    page.keyboard.press("2")
    expect(page.locator("#choose-keep")).to_have_text("Keep 2, let 0 go")
    page.keyboard.press("1")
    expect(page.locator("#choose-keep")).to_have_text("Keep 1, let 1 go")
    page.keyboard.press("2")
    expect(page.locator("#choose-keep")).to_be_disabled()
    page.keyboard.press("2")
    page.keyboard.press("k")
    expect(page.locator(".done")).to_contain_text("1 kept, 1 may go")
    page.keyboard.press("x")
    expect(page.locator(".done")).to_contain_text("not the same")
    page.keyboard.press("s")
    expect(page.locator(".done")).to_contain_text("skipped")
    page.keyboard.press("u")
    expect(page.locator(".done")).to_have_count(0)
    page.goto(first)
    expect(page.locator("main")).to_contain_text("Decided: the ticked ones are kept")
    page.goto(page.url.partition("/duplicates")[0] + "/duplicates/decided")
    with page.expect_download() as download:
        page.click("text=Save the list")
    lines = [json.loads(line) for line in Path(download.value.path()).read_text().splitlines()]
    assert len(lines) == 1 and lines[0]["path"] not in lines[0]["keep"]
    while page.locator(".decisions button").count():
        page.locator(".decisions button").first.click()
        page.goto(page.url.partition("/duplicates")[0] + "/duplicates/decided")
    expect(page.locator(".empty")).to_contain_text("None yet")


def test_the_map_by_pointer_and_keyboard(opened: Opener) -> None:
    page = opened("/map?at=3")
    says = page.locator("#map-says")
    expect(says).to_contain_text("in sight")
    page.click("[data-map=fit]")
    expect(says).to_have_text("43 of 43 pictures in sight.")
    page.locator("#map canvas").focus()
    for _ in range(5):
        page.keyboard.press("+")
    expect(says).not_to_have_text("43 of 43 pictures in sight.")
    page.keyboard.press("0")
    expect(says).to_have_text("43 of 43 pictures in sight.")
    for _ in range(12):
        page.keyboard.press("ArrowLeft")
    expect(says).to_have_text("0 of 43 pictures in sight.")
    page.keyboard.press("0")
    page.locator("[data-label='0']").uncheck()
    expect(says).not_to_have_text("43 of 43 pictures in sight.")
    expect(page.locator("#middle a")).to_have_count(12)
    page.locator("#middle a").first.click()
    page.wait_for_url("**/?id=*")
    expect(page.locator(".chip")).to_have_count(1)


# few pictures a page: more of the same only make axe slow
PAGES = ("/?k=6", "/?id=3&id=4&exclude=9&is.label=hat&k=6", "/?id=3&k=6",
         "/image/3?back=id%3D4&rank=2", "/crop?id=3", "/why?image=3&by=4&by=5&now=true",
         "/c/flat/?id=3&k=6", "/duplicates", "/map", "/quality", "/collection", "/jobs",
         "/no-such-page")  # fmt: skip


def _broken(page: Page, rules: str = "") -> dict[str, list[str]]:
    """Accessibility rules that a page with axe's script breaks, and where."""
    result = page.evaluate(f"axe.run({{ {rules} resultTypes: ['violations'] }})")
    return {
        one["id"]: [node["html"][:200] for node in one["nodes"]] for one in result["violations"]
    }


@pytest.mark.parametrize("device", ["desk", "phone"])
def test_accessible_and_never_wider_than_the_window(opened: Opener, device: str) -> None:
    """On a desk light, and then the colours again in the dark, without loading the page anew."""
    phone = {"viewport": PHONE, "has_touch": True, "is_mobile": True} if device == "phone" else {}
    page = opened(PAGES[0], **phone)
    base = page.url.rstrip("/")
    found = {}
    for path in PAGES:
        page.goto(base + path)
        if page.locator("#filters").count():
            page.locator("#filters").evaluate("(box) => { box.open = true; }")
        if device == "desk" or path in PAGES[:3]:
            page.evaluate(axe_api.AXE_SCRIPT)
            found |= {f"{path} {name}": places for name, places in _broken(page).items()}
        if device == "desk":
            page.emulate_media(color_scheme="dark", reduced_motion="reduce")  # no colours between
            dark = _broken(page, "runOnly: ['color-contrast'],")
            found |= {f"{path} dark {name}": places for name, places in dark.items()}
            page.emulate_media(color_scheme="light")
        width = page.evaluate("document.documentElement.scrollWidth")
        assert width <= page.evaluate("innerWidth"), path
    assert not found, json.dumps(found, indent=1)


def test_touch_on_a_phone(opened: Opener) -> None:
    page = opened("/", viewport=PHONE, has_touch=True, is_mobile=True)
    page.locator(".hit").first.tap()
    expect(page.locator(".chip")).to_have_count(1)
    columns = page.evaluate(
        "getComputedStyle(document.querySelector('.grid')).gridTemplateColumns.split(' ').length"
    )
    assert columns == 2
    small = page.evaluate(
        "[...document.querySelectorAll('main a, main button, main select')]"
        ".map((one) => one.getBoundingClientRect()).filter((box) => box.width && box.height < 24)"
        ".length"
    )
    assert small == 0
    page.locator(".cell .details").first.tap()
    expect(page.locator("h1")).to_be_visible()


def test_without_scripts_it_searches(opened: Opener) -> None:
    page = opened("/?id=3", java_script_enabled=False)
    page.click("summary")
    page.select_option("select[name='is.label']", "hat")
    page.click("#controls noscript button")
    assert "is.label=hat" in page.url
    expect(page.locator(".name + .meta").first).to_contain_text("hat")
    page.goto(page.url.partition("/?")[0] + "/why?image=3&by=4")
    page.click("noscript a")
    expect(page.locator("#maps")).to_contain_text("apart")


def test_a_service_that_is_gone_says_so(opened: Opener, server: Running) -> None:
    """The last: it ends the server."""
    page = opened("/?id=3")
    server.stop()
    page.locator("#k").focus()
    page.keyboard.press("Home")
    expect(page.locator("#offline")).to_be_visible()
    expect(page.locator(".cell")).to_have_count(24)
