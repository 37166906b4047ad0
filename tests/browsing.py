"""Pages in a real Chromium: what they say and what they ask for is written down."""

import shutil

import pytest

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
WAIT = 180  # seconds; a busy machine is slow
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium: apt-get install chromium")


class Visits:
    """The pages that a browser has open."""

    def __init__(self, browser):
        self.browser, self.contexts = browser, []
        self.allowed = ["data:"]
        """How addresses may begin that are asked for."""
        self.said, self.asked = [], []
        """Messages and errors of all pages, and the addresses that they have asked for."""

    def open(self, address, width, scheme):
        """Open an address in a window of its own."""
        context = self.browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
        self.contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(WAIT * 1000)
        page.on("console", lambda message: self.said.append(message.text))
        page.on("pageerror", lambda error: self.said.append(str(error)))
        page.on("request", lambda request: self.asked.append(request.url))
        page.goto(address)
        return page

    def close(self):
        """Close all pages; they must have said nothing, and asked for nothing else than is allowed."""
        for context in self.contexts:
            context.close()
        assert self.said == []
        assert [url for url in self.asked if not url.startswith(tuple(self.allowed))] == []
