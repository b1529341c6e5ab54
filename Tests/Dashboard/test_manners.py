"""How the dashboard behaves towards the daemon, the network, and who cannot see or point: in a headless Chromium."""

from __future__ import annotations

import json
import time
import unittest
from typing import Any

import larder
from checks import CONTRAST, FOCUS, TABBABLE
from sample import TOKEN
from support import ELSEWHERE, DashboardTest


class ManneredTests(DashboardTest):
    """How the page behaves towards the daemon, the network, and who cannot see or point."""

    def test_asks_nothing_of_others_and_one_thing_at_a_time(self) -> None:
        page = self.open()
        page.evaluate(f"location.hash = '#session={self.sessions['root'].id}'")
        page.wait("document.querySelector('#session-tree svg.tree') !== null")
        # Another round or two of everything that is asked for often.
        seen = len(page.requests)
        deadline = time.monotonic() + 60
        while len(page.requests) < seen + 6 and time.monotonic() < deadline:
            time.sleep(0.1)
        self.assertGreaterEqual(len(page.requests), seen + 6)
        self.assertEqual([url for url in page.requests if not url.startswith(self.address)], [])
        self.assertEqual(page.complaints, [])
        self.assertEqual(page.most_at_once, 1)

    def test_rests_while_it_is_paused_or_hidden(self) -> None:
        page = self.open()
        page.click("#pause")
        page.wait("document.querySelector('#connection').textContent === 'Paused'")
        time.sleep(0.5)
        seen = len(page.requests)
        time.sleep(5)
        self.assertEqual(len(page.requests), seen, "it asks while it is paused")
        page.click("#pause")
        page.wait("document.documentElement.dataset.state === 'live'")
        page.evaluate("""Object.defineProperty(document, "hidden", { configurable: true, get: () => true });
            document.dispatchEvent(new Event("visibilitychange"));""")
        time.sleep(1)
        seen = len(page.requests)
        time.sleep(5)
        self.assertLessEqual(len(page.requests), seen + 1, "it asks often while it is hidden")
        page.evaluate("delete document.hidden; document.dispatchEvent(new Event('visibilitychange'));")
        deadline = time.monotonic() + 30
        while len(page.requests) < seen + 3 and time.monotonic() < deadline:
            time.sleep(0.1)
        self.assertGreaterEqual(len(page.requests), seen + 3, "it does not wake up")

    def test_keeps_no_more_as_time_goes_by(self) -> None:
        page = self.open()
        page.send("Performance.enable")
        client = larder.connect(self.daemon.socket)
        self.addCleanup(client.close)
        model = client.declare_model(self.sessions["root"].model.model)

        def rounds(count: int) -> dict[str, float]:
            """After so many looks at the status, with something that happens in each, and what is kept then."""
            seen = sum("/v1/status" in url for url in page.requests)
            deadline = time.monotonic() + 120
            while sum("/v1/status" in url for url in page.requests) < seen + count and time.monotonic() < deadline:
                client.open_session("passing", f"s{time.monotonic_ns()}", model).drop()
                time.sleep(0.02)
            page.send("HeapProfiler.collectGarbage")
            return {one["name"]: one["value"] for one in page.send("Performance.getMetrics")["metrics"]}

        # The lists of events and sessions are full by then.
        first, last = rounds(4), rounds(8)
        for name, slack in (("Nodes", 200), ("JSEventListeners", 20), ("JSHeapUsedSize", 1_500_000)):
            self.assertLess(last[name], first[name] + slack, f"{name}: {first[name]} to {last[name]}")

    def test_asks_for_the_token_and_says_when_it_is_refused(self) -> None:
        page = self.browser.open()
        self.addCleanup(page.close)
        address = f"http://127.0.0.1:{self.daemon.port}/"
        page.go(address)
        page.wait("!document.querySelector('#door').hidden")
        self.assertTrue(page.evaluate("document.querySelector('#main').hidden"))
        self.assertEqual(page.evaluate("document.activeElement.id"), "token")
        self.assertEqual(page.text("#door-why"), "")
        page.type("not the token")
        page.press("Enter")
        page.wait("document.querySelector('#door-why').textContent.includes('no spaces')")
        page.type("0123456789abcdef-not-the-token")
        page.press("Enter")
        page.wait("document.querySelector('#door-why').textContent.includes('refused this token')")
        self.assertIsNone(page.evaluate("sessionStorage.getItem('larder-token')"))
        page.type(TOKEN)
        page.press("Enter")
        self.shown(page)
        self.assertTrue(page.evaluate("document.querySelector('#door').hidden"))
        # Kept for this tab only, and sent in no address.
        self.assertEqual(page.evaluate("sessionStorage.getItem('larder-token')"), TOKEN)
        self.assertNotIn(TOKEN, page.evaluate("JSON.stringify(localStorage) + document.cookie"))
        page.go(address)
        self.shown(page)
        self.assertEqual([url for url in page.requests if TOKEN in url or not url.startswith(address)], [])
        self.assertEqual([text for text in page.complaints if "401" not in text], [])

    def test_does_not_answer_to_names_of_others(self) -> None:
        for port in (self.forwarder.port, self.daemon.port):
            page = self.browser.open()
            self.addCleanup(page.close)
            page.go(f"http://{ELSEWHERE}:{port}/")
            self.assertIn("forbidden_host", page.evaluate("document.body.innerText"))

    def test_says_when_the_daemon_is_gone_and_comes_back_with_its_history(self) -> None:
        page = self.open()
        page.click("#chart-saved summary")
        page.wait("document.querySelector('#chart-saved table') !== null")
        before = self.rows(page, "#chart-saved")
        self.daemon.stop()
        page.wait("document.documentElement.dataset.state === 'gone'")
        self.assertIn("No daemon", page.text("#connection"))
        # What was known stays in sight.
        self.assertEqual(self.rows(page, "#chart-saved")[5:], before[5:])
        self.daemon.start()
        page.wait("document.documentElement.dataset.state === 'live'")
        page.go(self.address)
        self.shown(page)
        page.click("#chart-saved summary")
        page.wait("document.querySelector('#chart-saved table') !== null")
        after = {moment: cells for moment, *cells in self.rows(page, "#chart-saved")}
        self.assertGreater(len(before), 60)
        for moment, *cells in before[2:-3]:
            self.assertEqual(after.get(moment), cells, moment)
        self.assertNotIn("parts of the history", self.daemon.log())
        gone = [text for text in page.complaints if "ERR_" not in text and "net::" not in text]
        self.assertEqual(gone, [])

    def test_is_legible_in_both_themes(self) -> None:
        page = self.browser.open()
        self.addCleanup(page.close)
        page.prefer("dark")
        page.go(f"{self.address}#session={self.sessions['root'].id}")
        self.shown(page)
        page.wait("document.querySelector('#session-tree svg.tree') !== null")
        grounds = {}
        for preferred, chosen in (("dark", "auto"), ("light", "auto"), ("light", "dark"), ("dark", "light")):
            page.prefer(preferred)
            page.click(f"#theme input[value={chosen}]")
            found = page.evaluate(CONTRAST)
            self.assertGreater(found["texts"], 200)
            self.assertEqual(found["faults"], [], f"{chosen} where {preferred} is preferred")
            grounds[preferred, chosen] = page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
        self.assertEqual(grounds["dark", "auto"], grounds["light", "dark"])
        self.assertEqual(grounds["light", "auto"], grounds["dark", "light"])
        self.assertNotEqual(grounds["dark", "auto"], grounds["light", "auto"])
        # The choice is remembered.
        page.go(self.address)
        page.wait("document.querySelector('#theme input[value=light]').checked")
        self.assertEqual(
            page.evaluate("getComputedStyle(document.documentElement).backgroundColor"), grounds["dark", "light"]
        )

    def test_works_with_the_keyboard_alone(self) -> None:
        page = self.open()
        page.press("Tab")
        self.assertEqual(page.evaluate("document.activeElement.className"), "skip")
        page.press("Enter")
        self.assertEqual(page.evaluate("document.activeElement.id"), "main")
        page.evaluate("document.activeElement.blur(); scrollTo(0, 0); document.querySelector('.skip').focus()")
        expected = page.evaluate(TABBABLE)
        self.assertGreater(len(expected), 50)
        walked = [page.evaluate(FOCUS)]
        for _ in range(len(expected) + 5):
            page.press("Tab")
            here = page.evaluate(FOCUS)
            if here is None:
                break
            walked.append(here)
        self.assertEqual([one["name"] for one in walked], expected)
        self.assertEqual([one["name"] for one in walked if not one["visible"]], [], "the focus does not show")

        # A chart says its values.
        page.evaluate("document.querySelector('#chart-paging .plot').focus()")
        page.press("ArrowLeft")
        page.press("ArrowLeft")
        said = page.evaluate("document.querySelector('#chart-paging [aria-live]').textContent")
        self.assertRegex(said, r"^\d\d:\d\d: Page in .*/s, Page out .*/s$")
        page.press("Escape")
        # A session is opened and closed, and the focus is where one was.
        page.evaluate("document.querySelector('#sessions tbody a').focus()")
        key = page.evaluate("document.activeElement.dataset.key")
        page.press("Enter")
        page.wait("document.activeElement.id === 'session-title'")
        page.wait("document.querySelector('#session-tree svg.tree') !== null")
        page.evaluate("document.querySelector('#session-close').focus()")
        page.press("Enter")
        page.wait(f"document.activeElement.dataset.key === {json.dumps(key)}")
        self.assertTrue(page.evaluate("document.querySelector('#session').hidden"))

    def test_names_every_control(self) -> None:
        page = self.open(f"{self.address}#session={self.sessions['root'].id}")
        page.wait("document.querySelector('#session-tree svg.tree') !== null")
        nodes = [node for node in page.send("Accessibility.getFullAXTree")["nodes"] if not node["ignored"]]

        def role(node: dict[str, Any]) -> str:
            return node["role"]["value"]

        wanted = {
            "button",
            "ToggleButton",
            "link",
            "textbox",
            "searchbox",
            "combobox",
            "MenuListPopup",
            "radio",
            "DisclosureTriangle",
            "image",
            "img",
            "table",
            "figure",
            "region",
            "navigation",
            "group",
            "radiogroup",
            "spinbutton",
            "checkbox",
            "main",
        } - {"main", "MenuListPopup"}
        nameless = [
            (role(node), node.get("backendDOMNodeId"))
            for node in nodes
            if role(node) in wanted and not node.get("name", {}).get("value", "").strip()
        ]
        self.assertEqual(nameless, [], f"controls without names; {len(nodes)} nodes")
        roles = [role(node) for node in nodes]
        for one, least in (("button", 4), ("link", 30), ("radio", 10), ("combobox", 2), ("table", 5), ("figure", 7)):
            self.assertGreaterEqual(roles.count(one), least, one)
        self.assertEqual((roles.count("main"), roles.count("banner")), (1, 1))
        levels = page.evaluate("""[...document.querySelectorAll("h1, h2, h3")].filter((one) => one.offsetParent !== null)
            .map((one) => Number(one.tagName[1]))""")
        self.assertEqual(levels[0], 1)
        self.assertTrue(all(after <= before + 1 for before, after in zip(levels, levels[1:])), levels)
        # What speaks up by itself: how the daemon is, and a chart that is walked through. Figures that change do not.
        live = page.evaluate("""[...document.querySelectorAll("[aria-live], [role=status], [role=alert], [role=log]")]
            .map((one) => one.closest("figure") ? "chart" : one.id)""")
        self.assertEqual(set(live), {"connection", "door-why", "chart"})
        self.assertEqual(page.complaints, [])


if __name__ == "__main__":
    unittest.main()
