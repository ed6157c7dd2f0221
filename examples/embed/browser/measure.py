"""What the page costs: bytes to download, and seconds to load and to the first token, for each task and precision.

    pip install playwright; npm install --ignore-scripts --prefix ../nlpsuite-js
    python measure.py ../../../exported/sentiment ../../../exported/summarize

Chromium runs without a window. The bundles come from this machine, so loading is reading, compiling and optimizing. The first text
also warms up; the second is the one that a table should have.
"""

import argparse
import os
import re
import shutil
import subprocess
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from playwright.sync_api import sync_playwright

HERE = Path(__file__).parent
TEXT = (
    "The ferry to Skarn sails again from Monday, eleven weeks after a storm broke the island's pier. Repairs cost 2.4 "
    "million crowns, a third more than planned, because the old piles had rotted below the water line. Until the autumn "
    "the ferry will take 40 cars instead of 60, and lorries have to book a day ahead."
)
TEXTS = {"complete": "def mean(values):\n    "}
TIMEOUT = 600_000  # milliseconds
WEBGPU = ["--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader", "--enable-features=Vulkan"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bundles", nargs="+", type=Path)
    parser.add_argument("--webgpu", action="store_true", help="on the GPU, or Chromium's software for one")
    parser.add_argument("--precisions", help="only these, separated by commas")
    options = parser.parse_args()
    wanted = options.precisions.split(",") if options.precisions else None
    names = ("chromium", "chromium-browser", "google-chrome")
    executable = next(filter(None, map(shutil.which, names)), None)
    flags = [*(["--no-sandbox"] if os.geteuid() == 0 else []), *(WEBGPU if options.webgpu else [])]
    print("| task | weights | download | to load | first token, first text | second text | all |")
    print("|---|---|---|---|---|---|---|")
    with server(options.bundles) as url, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=flags)
        for bundle in options.bundles:
            for precision in wanted or precisions(browser, url, bundle.name):
                row = measure(browser, url, bundle.name, precision, options.webgpu)
                print(f"| {bundle.name} | {precision} | {' | '.join(row)} |", flush=True)
        browser.close()


@contextmanager
def server(bundles):
    """The page's address."""
    command = ["node", str(HERE / "server.mjs"), *map(str, bundles)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env=os.environ | {"PORT": "0"}
    ) as process:
        try:
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


def open_page(browser, url, task):
    page = browser.new_page()
    page.set_default_timeout(TIMEOUT)
    page.goto(url)
    page.wait_for_selector("#dtype option", state="attached")
    with page.expect_response(lambda response: response.url.endswith("/task.json")):
        page.select_option("#task", task)
        page.dispatch_event("#task", "change")
    return page


def precisions(browser, url, task):
    page = open_page(browser, url, task)
    page.wait_for_timeout(500)
    found = page.locator("#dtype option").all_inner_texts()
    page.close()
    return found


def measure(browser, url, task, precision, webgpu):
    page = open_page(browser, url, task)
    if webgpu and not page.evaluate("async () => Boolean(await navigator.gpu?.requestAdapter())"):
        raise SystemExit("There is no WebGPU adapter.")
    fetched = {}  # by address: transformers.js asks twice, first for the size only

    def count(response):
        path, length = urlsplit(response.url).path, int(response.headers.get("content-length", 0))
        if path.startswith("/tasks/"):
            fetched[path] = max(length, fetched.get(path, 0))

    page.on("response", count)
    page.select_option("#dtype", label=precision)
    page.set_checked("#webgpu", webgpu)
    page.click("#load")
    page.wait_for_function("!/^(|Loading …)$/.test(document.getElementById('status').textContent)")
    loaded = page.inner_text("#status")
    if "can't" in loaded:
        raise SystemExit(loaded)
    firsts = [answer(page, TEXTS.get(task, TEXT)) for _ in range(2)]
    page.close()
    megabytes = f"{sum(fetched.values()) / 1e6:.0f} MB"
    return [megabytes, loaded.rpartition(" in ")[2].rstrip("."), *(each[0] for each in firsts), firsts[1][1]]


def answer(page, text):
    """Seconds to the first token, or the label, and to the end."""
    page.fill("#text", text)
    page.evaluate("document.getElementById('status').textContent = ''")
    page.click("#run")
    page.wait_for_function("document.getElementById('status').textContent.includes(' in ')")
    found = re.findall(r"[0-9.]+ s", page.inner_text("#status"))
    return found[0], found[-1]


if __name__ == "__main__":
    main()
