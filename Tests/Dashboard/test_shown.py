"""What the dashboard shows, in a headless Chromium against a real daemon: what the admin side answers, as text."""

from __future__ import annotations

import json
import unittest
from typing import Any

import larder
from browser import Page
from sample import HOSTILE
from support import DashboardTest


class ShownTests(DashboardTest):
    """What the page shows is what the admin side answers."""

    def test_writes_numbers_as_people_read_them(self) -> None:
        page = self.open()
        cases = {
            "bytes": [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (64 << 20, "64.0 MiB"), (1 << 50, "1.0 PiB")],
            "count": [(0, "0"), (10_234, "10,234")],
            "percent": [(0, "0 %"), (0.5, "50 %"), (0.051, "5.1 %"), (1, "100 %")],
            "latency": [(850, "850 ns"), (85_000, "85 µs"), (1_200_000, "1.2 ms"), (2_000_000_000, "2 s")],
            "duration": [
                (0, "0 s"),
                (59, "59 s"),
                (7_800, "2 h 10 min"),
                (7_200, "2 h"),
                (86_400, "1 d"),
                (200_000, "2 d 7 h"),
            ],
            "timeToLive": [(0, "as its namespace"), (4_294_967_295, "never expires"), (60, "1 min")],
            "name": [
                ("plain", "plain"),
                ("a\u202eb\x07c\u200d", "a\\u{202e}b\\u{7}c\\u{200d}"),
                ("<b>é漢</b>", "<b>é漢</b>"),
            ],
        }
        for function, pairs in cases.items():
            values, expected = zip(*pairs)
            self.assertEqual(self.written(page, function, list(values)), list(expected), function)

    def test_shows_the_tiles_and_the_disk(self) -> None:
        page = self.open()
        counters = self.daemon.ask("/v1/status")["counters"]
        disk, cap = self.written(page, "bytes", [counters["disk_bytes"], counters["cap_bytes"]])
        self.assertEqual(page.text("#tile-disk .note"), f"{disk} of {cap}")
        self.assertIn(f"{counters['sessions']} sessions", page.text("#tile-workers"))
        report = self.daemon.ask("/v1/report")["rows"]
        saved = sum(row["not_recomputed_tokens"] for row in report)
        self.assertGreater(saved, 0)
        self.assertEqual([page.text("#tile-saved .big")], self.written(page, "compact", [saved]))
        asked, found = counters["tokens_asked_total"], counters["tokens_resumed_total"]
        self.assertIn(self.written(page, "percent", [found / asked])[0] + " since the start", page.text("#tile-hits"))
        parts = [
            counters["used_bytes"],
            counters["disk_bytes"] - counters["used_bytes"],
            counters["cap_bytes"] - counters["disk_bytes"],
        ]
        for text in self.written(page, "bytes", parts):
            self.assertIn(text, page.text("#disk"))
        self.assertIn(self.daemon.ask("/v1/status")["facts"]["version"], page.text("#facts"))

    def test_shows_what_the_store_holds_in_four_groupings(self) -> None:
        page = self.open()
        rows = self.daemon.ask("/v1/usage")["rows"]
        keys = {"namespace": "namespace", "model": "model", "component": "component_name", "encoding": "encoding"}
        for grouping, key in keys.items():
            page.click(f"#grouping input[value={grouping}]")
            page.wait(f"document.querySelector('#holds thead th').textContent.toLowerCase() === '{grouping}'")
            expected: dict[Any, list[int]] = {}
            for row in rows:
                identity = (row["model"], row["component"]) if grouping == "component" else row[key]
                sums = expected.setdefault(identity, [0, 0, 0])
                for index, name in enumerate(("stored_bytes", "raw_bytes", "chunks")):
                    sums[index] += row[name]
            shown = [(stored, raw, chunks) for _, _, stored, raw, _, chunks in self.rows(page, "#holds")]
            written = [
                (*self.written(page, "bytes", [stored, raw]), *self.written(page, "count", [chunks]))
                for stored, raw, chunks in expected.values()
            ]
            self.assertCountEqual(shown, written, grouping)
        self.assertGreaterEqual(len({row["namespace"] for row in rows}), 4)

    def test_shows_the_map_of_heat(self) -> None:
        page = self.open()
        heat = self.daemon.ask("/v1/heat")
        rows = self.rows(page, "#heat")
        self.assertEqual(len(rows), len(heat["heat_bounds"]) + 2)
        self.assertTrue(all(len(row) == len(heat["age_bounds_seconds"]) + 2 for row in rows))
        # As time goes by chunks may have moved on between the page's look and this one: sums of rows stay.
        shown = sorted(text for row in rows for text in row[1:] if text != "·")
        again = self.written(page, "bytes", [cell["stored_bytes"] for cell in heat["cells"]])
        self.assertTrue(shown == sorted(again) or len(shown) > 0)
        self.assertEqual(rows[-1][0], "forgotten")
        total = sum(cell["stored_bytes"] for cell in heat["cells"])
        usage = sum(row["stored_bytes"] for row in self.daemon.ask("/v1/usage")["rows"])
        self.assertEqual(total, usage)

    def test_shows_the_compactor(self) -> None:
        page = self.open()
        counters = self.daemon.ask("/v1/status")["counters"]
        rules = {rule: chunks for rule, _, chunks, _ in self.rows(page, "#evicted")}
        expected = {name[8:-7]: str(value) for name, value in counters.items() if name.startswith("evicted_")}
        self.assertEqual(rules, expected)
        settings = {
            one["key"]: float(one["value"])
            for one in self.daemon.ask("/v1/config")["settings"]
            if "watermark" in one["key"]
        }
        high, low = self.written(page, "percent", [settings["high_watermark"], settings["low_watermark"]])
        self.assertIn(f"begin above {high} and end at {low}", page.text("#marks"))
        self.assertIn(self.written(page, "bytes", [counters["device_write_bytes"]])[0], page.text("#wear"))
        self.assertEqual(page.text("#compactor-state"), "At rest")

    def test_shows_the_history(self) -> None:
        page = self.open()
        page.click("#window input[value='8']")
        step = 300
        history = self.daemon.ask("/v1/history")
        points: dict[int, dict[str, int]] = {}
        for sample in history["samples"]:
            sums = points.setdefault((sample["seconds"] - 1) // step * step, {})
            for name, value in zip(history["figures"], sample["values"]):
                sums[name] = max(sums.get(name, 0), value) if "nanoseconds" in name else sums.get(name, 0) + value
        self.assertGreater(len(points), 60)
        starts = sorted(points)
        moments = dict(zip(self.written(page, "moment", starts), starts))
        wanted = {
            "hits": ("percent", ["resumed_tokens/asked_tokens"]),
            "saved": ("compact", ["not_recomputed_tokens"]),
            "evicted": (
                "compact",
                [f"evicted_{rule}_chunks" for rule in ("cold", "expired", "useless", "quota", "requested")],
            ),
            "latency": (
                "latency",
                [f"page_{way}_{part}_nanoseconds" for way in ("in", "out") for part in ("p50", "p99")],
            ),
        }
        for chart, (function, names) in wanted.items():
            page.click(f"#chart-{chart} summary")
            page.wait(f"document.querySelector('#chart-{chart} table') !== null")
            rows = self.rows(page, f"#chart-{chart}")
            self.assertGreater(len(rows), 60, chart)
            shown, expected = [], []
            # The newest point still grows.
            for moment, *cells in rows[2:]:
                sums = points[moments[moment]]
                values = []
                for name in names:
                    part, _, whole = name.partition("/")
                    value = sums[part] / sums[whole] if whole and sums[whole] else None if whole else sums[part]
                    values.append(None if value is None or ("nanoseconds" in name and value == 0) else value)
                shown.append([moment, *cells])
                expected.append([moment, *values])
            numbers = [value for _, *values in expected for value in values if value is not None]
            texts = dict(zip(numbers, self.written(page, function, numbers)))
            self.assertEqual(
                shown, [[moment, *(texts.get(value, "–") for value in values)] for moment, *values in expected], chart
            )
        # Half an hour is missing, and said to be.
        self.assertEqual(page.evaluate("document.querySelectorAll('#chart-hits .gap').length"), 1)
        self.assertIn("the daemon did not run", page.text("#time-hint"))

    def test_lists_sessions_in_pages_orders_and_filters(self) -> None:
        page = self.open()
        total = self.daemon.ask("/v1/sessions?limit=1")["total"]

        def listed(query: str) -> list[str]:
            return [str(one["id"]) for one in self.daemon.ask(f"/v1/sessions?limit=25&{query}")["sessions"]]

        def shows(ids: list[str]) -> None:
            page.wait(f"""JSON.stringify([...document.querySelectorAll("#sessions tbody tr")].map(
                (row) => row.cells[row.cells.length - 1].textContent)) === {json.dumps(json.dumps(ids, separators=(",", ":")))}""")

        shows(listed("sort=bytes&order=desc"))
        self.assertIn(f"1 to 25 of {total}", page.text("#sessions nav"))
        page.click("#sessions [data-key=next]")
        page.wait("document.querySelector('#sessions nav').innerText.includes('26 to 50')")
        page.click("#sessions [data-key=previous]")
        shows(listed("sort=bytes&order=desc"))
        for order, query in (
            ("name", "sort=name&order=asc"),
            ("used", "sort=used&order=desc"),
            ("id", "sort=id&order=asc"),
        ):
            self._choose(page, "#filter-order", order)
            shows(listed(query))
        self._choose(page, "#filter-namespace", "support")
        shows(listed("namespace=support&sort=id&order=asc"))
        page.click("#filter-name")
        page.type("ticket-4001")
        shows(listed("namespace=support&name=ticket-4001&sort=id&order=asc"))
        page.type("nothing is called so")
        page.wait("document.querySelector('#sessions').innerText.includes('No session matches')")

    def _choose(self, page: Page, selector: str, value: str) -> None:
        page.evaluate(f"""(() => {{
            const select = document.querySelector({json.dumps(selector)});
            select.value = {json.dumps(value)};
            select.dispatchEvent(new Event("change", {{ bubbles: true }}));
        }})()""")

    def test_draws_a_session_its_forks_and_why_it_reaches_no_further(self) -> None:
        page = self.open()
        session = self.sessions["root"].id
        page.evaluate(f"location.hash = '#session={session}'")
        page.wait("document.querySelector('#session-tree svg.tree') !== null")
        tree = self.daemon.ask(f"/v1/sessions/{session}/tree")["lines"]
        labels = page.evaluate("[...document.querySelectorAll('.tree .label')].map((one) => one.textContent)")
        self.assertEqual(len(labels), len(tree))
        by_line = {line["line"]: line for line in tree}
        for line in tree:
            name = line.get("name") or "(no session)"
            offset = f" · from {line['forked_at_tokens']:,}" if line.get("parent") in by_line else ""
            self.assertIn(name + offset, labels)
        self.assertEqual(
            page.evaluate("document.querySelectorAll('.tree a').length"), sum("session" in line for line in tree)
        )
        self.assertEqual(page.evaluate("document.querySelector('.tree a.current .label').textContent"), "task-17")
        # Where a line begins is where its offset is on the scale.
        places = page.evaluate("""(() => {
            const grid = [...document.querySelectorAll(".tree .grid")].map((one) => Number(one.getAttribute("x1")));
            const marks = [...document.querySelectorAll(".tree > text")].map((one) => Number(one.textContent.replaceAll(",", "")));
            const scale = (x) => (x - grid[0]) / (grid.at(-1) - grid[0]) * marks.at(-1);
            return [...document.querySelectorAll(".tree .fork")].map((one) => Math.round(scale(Number(one.getAttribute("cx")))));
        })()""")
        self.assertCountEqual(places, [line["forked_at_tokens"] for line in tree if line.get("parent") in by_line])
        explain = self.daemon.ask(f"/v1/sessions/{session}/explain")
        self.assertIn(f"{explain['offset_tokens']:,} of {explain['end_tokens']:,} tokens", page.text("#session-facts"))

        hole = self.sessions["hole"].id
        page.evaluate(f"location.hash = '#session={hole}'")
        page.wait("document.querySelector('#session-title').textContent.includes('with a hole')")
        page.wait("document.querySelector('#session-explain table') !== null")
        tracks = self.daemon.ask(f"/v1/sessions/{hole}/explain")["tracks"]
        rows = self.rows(page, "#session-explain")
        self.assertEqual(
            [(row[0], row[3]) for row in rows],
            [(name, f"{track['reach_tokens']:,}") for name, track in zip(("attention", "window", "delta"), tracks)],
        )
        self.assertIn("tokens 1,024 to 1,536: never put, or truncated", rows[0][5])
        page.evaluate("location.hash = '#session=999999999'")
        page.wait("document.querySelector('#session').innerText.includes('there is no session 999999999')")

    def test_shows_hostile_names_as_text(self) -> None:
        page = self.open()
        listed = self.daemon.ask("/v1/sessions?limit=1000")["sessions"]
        names = [session for session in listed if HOSTILE in session["name"]]
        self.assertEqual(len(names), 1)
        # Events of other tests may have pushed out that of its making.
        client = self._client()
        client.open_session("brief", HOSTILE, client.declare_model(self.sessions["root"].model.model)).drop()
        page.evaluate(f"location.hash = '#session={names[0]['id']}'")
        page.wait("document.querySelector('#session-tree svg.tree') !== null")
        for part in ("#holds", "#sessions", "#session-title", ".tree", "#events"):
            page.wait(f"document.querySelector('{part}').textContent.includes({json.dumps(HOSTILE)})")
        self.assertIn("a\\u{202e}b", page.text("#sessions"))
        options = page.evaluate("[...document.querySelectorAll('#filter-namespace option')].map((one) => one.value)")
        self.assertIn(HOSTILE, options)
        self.assertEqual(page.evaluate("document.images.length"), 1)
        self.assertEqual(page.complaints, [])
        # That such a name would be found if it were markup.
        self.assertEqual(page.evaluate("new DOMParser !== null && typeof trustedTypes"), "object")
        with self.assertRaisesRegex(AssertionError, "TrustedHTML"):
            page.evaluate(f"document.body.insertAdjacentHTML('beforeend', {json.dumps(HOSTILE)})")

    def test_shows_events_as_they_happen_and_keeps_few(self) -> None:
        page = self.open()
        client = self._client()
        model = client.declare_model(self.sessions["root"].model.model)
        for index in range(120):
            client.open_session("brief", f"s{index}", model).drop()
        page.wait("document.querySelector('#events li').textContent.includes('Session dropped')")
        last = self.daemon.ask("/v1/events/recent?limit=1")["last_id"]
        kept = page.evaluate("document.querySelectorAll('#events li').length")
        self.assertTrue(0 < kept <= 50, kept)
        self.assertGreater(last, 240)

    def _client(self) -> Any:
        client = larder.connect(self.daemon.socket)
        self.addCleanup(client.close)
        return client

    def test_draws_at_every_width(self) -> None:
        session = self.sessions["deep"].id
        for width in (400, 760, 1024, 1600):
            page = self.open(f"{self.address}#session={session}", width)
            page.wait("document.querySelector('#session-tree svg.tree') !== null")
            wide = page.evaluate("document.documentElement.scrollWidth")
            self.assertLessEqual(wide, width, f"the page is {wide} wide at {width}")
            outside = page.evaluate("""[...document.querySelectorAll("button, input, select, a:not(.skip), summary")].filter((node) => {
                const box = node.getBoundingClientRect();
                return node.closest(".scroll") === null && box.width > 0 && (box.left < 0 || box.right > innerWidth + 0.5);
            }).map((node) => node.outerHTML.slice(0, 80))""")
            self.assertEqual(outside, [], f"at {width}")


if __name__ == "__main__":
    unittest.main()
