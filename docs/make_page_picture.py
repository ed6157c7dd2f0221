"""Takes the picture of the server's page in README.md and docs/serve.md, with the default model.

pip install playwright pillow
python docs/make_page_picture.py --chromium /usr/bin/chromium
"""

from __future__ import annotations

import argparse
import io
import re
import subprocess
import sys
from pathlib import Path

TEXT = "The food was great. The waiter was rude. We will come back."
OUTPUT = Path(__file__).with_name("page.png")
WIDTH, HEIGHT = 1100, 600


def main() -> None:
    """Start a server, use the page, write the picture."""
    from PIL import Image
    from playwright.sync_api import sync_playwright

    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--chromium", help="executable; by default playwright's own")
    arguments = parser.parse_args()
    command = [sys.executable, "-m", "nlpsuite", "serve", "--port", "0"]
    server = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        assert server.stderr is not None
        found = re.search(r"http://\S+", server.stderr.readline())
        assert found
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=arguments.chromium, args=["--no-sandbox"])
            page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT}, color_scheme="light")
            page.goto(f"{found[0]}/#sentiment")
            page.wait_for_selector("[data-task=sentiment][aria-current=true]")
            page.fill("#input", TEXT)
            for _ in range(2):  # the first time includes loading the model
                page.click("#explain")
                page.wait_for_timeout(500)
                page.wait_for_selector("#explain:enabled", timeout=120_000)
                page.wait_for_selector(".sentence")
            page.mouse.move(0, 0)
            picture = Image.open(io.BytesIO(page.screenshot(full_page=True)))
            picture.convert("P", palette=Image.Palette.ADAPTIVE, colors=64).save(OUTPUT, optimize=True)
            browser.close()
    finally:
        server.terminate()
        server.wait()
    print(OUTPUT)


if __name__ == "__main__":
    main()
