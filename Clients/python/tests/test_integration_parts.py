"""What the integrations share, without any engine."""

from __future__ import annotations

import unittest
import unittest.mock
from dataclasses import dataclass

from larder.integrations.backoff import Backoff
from larder.integrations.elements import element_type_of
from larder.integrations.options import read_options
from larder.integrations.recent import Recent
from larder.integrations.said import MOST_KINDS, Said


class BackoffTests(unittest.TestCase):
    def test_pauses_double_to_a_bound_and_begin_anew(self) -> None:
        now = 1000.0
        with unittest.mock.patch("time.monotonic", lambda: now):
            backoff = Backoff(0.5, 3.0)
            self.assertFalse(backoff.is_waiting)
            for pause in (0.5, 1.0, 2.0, 3.0, 3.0):
                backoff.failed()
                now += pause - 0.125
                self.assertTrue(backoff.is_waiting, pause)
                now += 0.125
                self.assertFalse(backoff.is_waiting, pause)
            backoff.succeeded()
            backoff.failed()
            now += 0.5
            self.assertFalse(backoff.is_waiting)
            backoff.stop()
            now += 1e9
            self.assertTrue(backoff.is_waiting)


class SaidTests(unittest.TestCase):
    def test_each_kind_is_said_once_until_it_is_over(self) -> None:
        said = Said()
        self.assertEqual([said.note("a"), said.note("a"), said.note("b")], [1, 2, 1])
        self.assertEqual(said.counts, {"a": 2, "b": 1})
        self.assertEqual([said.over("a"), said.over("a"), said.over("never")], [True, False, False])
        self.assertEqual(said.note("a"), 1)
        said.all_over()
        self.assertEqual((said.counts, said.note("b")), ({}, 1))

    def test_kinds_are_bounded(self) -> None:
        said = Said()
        counts = [said.note(f"kind {number}") for number in range(3 * MOST_KINDS)]
        self.assertEqual(counts[: MOST_KINDS + 2], [1] * (MOST_KINDS + 1) + [2])
        self.assertEqual(len(said.counts), MOST_KINDS + 1)
        self.assertEqual(said.note("kind 0"), 2)


class RecentTests(unittest.TestCase):
    def test_the_first_in_order_goes(self) -> None:
        recent: Recent[str, int] = Recent(2)
        recent["a"], recent["b"] = 1, 2
        recent["a"] = 3
        recent.move_to_end("a")
        recent["c"] = 4
        self.assertEqual(list(recent.items()), [("a", 3), ("c", 4)])


@dataclass(frozen=True)
class Options:
    name: str = "x"
    count: int = 1
    seconds: float = 0.5
    is_on: bool = False


class OptionsTests(unittest.TestCase):
    def test_values_are_of_their_defaults_types(self) -> None:
        self.assertEqual(read_options(Options, {}), Options())
        given = {"name": "y", "count": "7", "seconds": 2, "is_on": True}
        self.assertEqual(read_options(Options, given), Options("y", 7, 2.0, True))

    def test_mistakes_are_named(self) -> None:
        for given in (
            {"nmae": "y"},
            {"name": 7},
            {"count": "many"},
            {"count": True},
            {"count": float("inf")},
            {"count": None},
            {"seconds": "nan"},
            {"is_on": 1},
        ):
            with self.subTest(given), self.assertRaisesRegex(ValueError, next(iter(given))):
                read_options(Options, given)


class ElementTests(unittest.TestCase):
    def test_names_with_and_without_torch(self) -> None:
        for name, kind in (("bfloat16", "bf16"), ("float8_e5m2", "f8e5m2"), ("float64", "bytes"), ("uint8", "bytes")):
            self.assertEqual([element_type_of(name), element_type_of(f"torch.{name}")], [kind, kind])


if __name__ == "__main__":
    unittest.main()
