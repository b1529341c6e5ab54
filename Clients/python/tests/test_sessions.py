"""Models, sessions, and what can be asked of them, against a live daemon."""

from __future__ import annotations

import hashlib
import unittest

import larder
from larder.wire.structures import MODEL

from support import DaemonTest, attention, hybrid, noise


class SessionTests(DaemonTest):
    """Opening, going back, branching, forgetting."""

    def fill(self, session: larder.Session, chunks: int = 4, tokens: int = 8) -> list[bytes]:
        """Puts so many chunks from 0 on."""
        size = session.model.model.components[0].byte_count(tokens)
        data = [noise(size, index) for index in range(chunks)]
        for index, one in enumerate(data):
            session.put(index * tokens, tokens, one)
        return data

    def test_models(self) -> None:
        declared = self.client.declare_model(hybrid())
        self.assertEqual(declared.model, hybrid())
        self.assertEqual(declared.fingerprint, hashlib.sha256(MODEL.encode(hybrid())).digest())
        self.assertEqual(self.client.declare_model(hybrid()), declared)
        self.assertIn((declared.id, declared.fingerprint, hybrid()), list(self.client.list_models()))
        for wrong in (attention(""), attention(page_tokens=0), attention(components=()), attention(rank=1)):
            self.assertRaises(larder.InvalidModel, self.client.declare_model, wrong)
        component = attention().components[0]
        for change in ({"kind": "magic"}, {"element_type": "f64"}, {"layers": -1}, {"row_bytes": 2**32}):
            bent = larder.Component(**{**component.__dict__, **change})
            self.assertRaises(ValueError, self.client.declare_model, attention(components=(bent,)))
        self.assertTrue(self.client.is_open)

    def test_byte_counts(self) -> None:
        full, near, state = hybrid().components
        self.assertEqual(full.byte_count(3), 1 * 2 * 3 * 32)
        self.assertEqual(near.byte_count(3, layers=2), 2 * 2 * 3 * 32)
        self.assertEqual(state.byte_count(3), 2 * 256)
        self.assertEqual((full.element_bytes, state.element_bytes), (2, 4))

    def test_open(self) -> None:
        declared = self.client.declare_model(attention())
        self.assertRaises(
            larder.UnknownSession, self.client.open_session, self.namespace, "new", declared, create=False
        )
        first = self.client.open_session(self.namespace, "new", declared)
        again = self.client.open_session(self.namespace, "new", declared, create=False)
        self.assertEqual((first.created, again.created, first.id), (True, False, again.id))
        self.assertEqual((again.namespace, again.name, again.rank), (self.namespace, "new", 0))
        self.assertRaises(larder.InvalidArgument, self.client.open_session, self.namespace, "", declared)
        self.assertRaises(larder.InvalidArgument, self.client.open_session, "a\nb", "new", declared)
        unknown = declared._replace(id=4_000_000)
        self.assertRaises(larder.UnknownModel, self.client.open_session, self.namespace, "new", unknown)

    def test_another_model_under_the_same_name(self) -> None:
        session = self.session()
        data = self.fill(session)
        for change, field in (
            ({"weights": "others"}, "weights"),
            ({"revision": "2"}, "revision"),
            ({"name": "other"}, "name"),
            ({"components": hybrid().components}, "component"),
        ):
            with self.assertRaisesRegex(larder.ModelMismatch, field):
                self.session(model=attention(**{"name": "plain", **change}))
        self.assertEqual(session.get(0), data[0])

    def test_resume_and_truncate(self) -> None:
        session = self.session()
        self.assertEqual(session.resume().offset, 0)
        self.fill(session)
        resume = session.resume(prefill_rate=1_000)
        self.assertEqual((resume.offset, resume.complete, resume.prefill_rate), (32, True, 1_000))
        self.assertEqual([one.offset for one in resume.chunks], [0, 8, 16, 24])
        self.assertEqual(resume.raw_bytes, sum(one.raw_bytes for one in resume.chunks))
        self.assertEqual(resume.reaches, [larder.Reach(0, 0, 32)])
        self.assertEqual({one.session for one in resume.chunks}, {session.id})
        self.assertEqual(session.resume(at_most=13).offset, 13)
        session.truncate(20)
        self.assertEqual(session.resume().offset, 16)
        session.truncate(0)
        self.assertEqual((session.resume().offset, list(session.chunks())), (0, []))

    def test_fork_and_drop(self) -> None:
        session = self.session("trunk")
        data = self.fill(session)
        branch = session.fork(16, "branch")
        self.assertEqual((branch.created, branch.name, branch.resume().offset), (True, "branch", 16))
        self.assertEqual(branch.get(8), data[1])
        self.assertEqual([(one.session, one.offset) for one in branch.chunks()], [(branch.id, 0), (branch.id, 8)])
        self.assertEqual([one.session for one in branch.resume().chunks], [branch.id] * 2)
        self.assertRaises(larder.Miss, branch.get, 16)
        branch.put(16, 8, data[0])
        self.assertEqual(session.get(16), data[2])
        self.assertRaises(larder.Exists, session.fork, 8, "branch")
        self.assertRaises(larder.InvalidArgument, session.fork, 33, "beyond")
        session.drop()
        self.assertRaises(larder.UnknownSession, session.resume)
        self.assertEqual(branch.get(0), data[0])

    def test_hybrid_resume_points(self) -> None:
        """Every component must reach: full from 0, the window, and a state at the very offset."""
        session = self.session(model=hybrid())
        sizes = [one.byte_count(64) for one in hybrid().components]
        for offset in (0, 64, 128):
            for component in (0, 1):
                session.put(offset, 64, noise(sizes[component], offset), component=component)
        self.assertEqual(session.resume().offset, 0)
        state = noise(sizes[2])
        session.put(128, 0, state, component=2)
        resume = session.resume()
        self.assertEqual(resume.offset, 128)
        self.assertEqual([(one.component, one.offset, one.tokens) for one in resume.chunks][-1], (2, 128, 0))
        self.assertNotIn((1, 0), [(one.component, one.offset) for one in resume.chunks])

    def test_missing_layers(self) -> None:
        """A cache that holds half of the model's components restores nothing, and says which is missing."""
        session = self.session(model=hybrid())
        session.put(0, 64, noise(hybrid().components[0].byte_count(64)))
        self.assertEqual(session.resume().offset, 0)
        explanation = session.explain(64)
        self.assertEqual((explanation.at, explanation.offset), (64, 0))
        causes = {one.component: one.cause for one in explanation.tracks}
        self.assertEqual(causes, {0: "none", 1: "noState", 2: "noState"})

    def test_explain(self) -> None:
        session = self.session()
        self.fill(session)
        session.truncate(8)
        size = session.model.model.components[0].byte_count(8)
        session.put(16, 8, noise(size))
        explanation = session.explain(model=self.client.declare_model(attention(weights="others")))
        self.assertEqual((explanation.at, explanation.end, explanation.offset), (24, 24, 8))
        self.assertIn("weights", explanation.model_difference)
        (track,) = explanation.tracks
        self.assertEqual(
            (track.cause, track.missing_start, track.missing_end, track.rule), ("neverStored", 8, 16, None)
        )
        group = self.session("group", attention("group", group_size=3, rank=1))
        self.assertEqual(group.explain().missing_ranks, [0, 2])

    def test_plan_snapshots(self) -> None:
        self.assertEqual(self.session().plan_snapshots(100, 0, 16), [])
        session = self.session("hybrid", hybrid())
        plan = session.plan_snapshots(100, 10, 16, stride=32)
        self.assertEqual(plan[-1], 96)
        self.assertEqual(plan, sorted(plan))
        self.assertTrue(all(one % 16 == 0 and 10 < one <= 100 for one in plan))
        self.assertEqual(session.plan_snapshots(100, 10, 16, budget=1), [96])
        self.assertEqual(session.plan_snapshots(100, 150, 16), [])
        self.assertRaises(larder.InvalidArgument, session.plan_snapshots, 100, 0, 0)

    def test_chunks_over_pages(self) -> None:
        session = self.session()
        size = session.model.model.components[0].byte_count(1)
        items = [larder.PageOut(session, index, 1, noise(size, index)) for index in range(2_000)]
        self.client.put_from(items)
        self.assertEqual([one.offset for one in session.chunks()], list(range(2_000)))
        resume = session.resume()
        self.assertEqual((resume.offset, len(resume.chunks)), (2_000, 2_000))

    def test_time_to_live(self) -> None:
        session = self.session()
        for seconds in (60, larder.NEVER, 0):
            session.configure(ttl_seconds=seconds)
            (summary,) = self.client.list_sessions(self.namespace)
            self.assertEqual(summary.ttl_seconds, seconds)
        self.assertRaises(ValueError, session.configure, ttl_seconds=-1)


class QuestionTests(DaemonTest):
    """Listings, counters, checks."""

    def test_sessions(self) -> None:
        session = self.session("é漢🦊")
        session.put(0, 1, noise(session.model.model.components[0].byte_count(1)))
        (summary,) = self.client.list_sessions(self.namespace)
        self.assertEqual((summary.session, summary.name, summary.chunks), (session.id, "é漢🦊", 1))
        self.assertEqual(summary.models, [larder.SessionModel(0, session.model.id)])
        self.assertIn(session.id, [one.session for one in self.client.list_sessions()])
        self.assertEqual(list(self.client.list_sessions("no such namespace")), [])

    def test_many_sessions(self) -> None:
        declared = self.client.declare_model(attention())
        for index in range(1_100):
            self.client.open_session(self.namespace, f"{index}", declared)
        ids = [one.session for one in self.client.list_sessions(self.namespace)]
        self.assertEqual((len(ids), ids), (1_100, sorted(ids)))

    def test_stat_and_sync(self) -> None:
        before = self.client.stat()
        self.assertEqual(before.facts["store_id"], self.client.store_id)
        self.assertIn(before.facts["version"], self.client.server_name)
        session = self.session()
        session.put(0, 1, noise(session.model.model.components[0].byte_count(1)))
        self.client.sync()
        after = self.client.stat().counters
        self.assertEqual(after["page_out_chunks_total"], before.counters["page_out_chunks_total"] + 1)

    def test_verify(self) -> None:
        session = self.session()
        size = session.model.model.components[0].byte_count(4)
        for index in range(5):
            session.put(4 * index, 4, noise(size, index))
        steps = list(self.client.verify(session))
        self.assertEqual(sum(one.checked for one in steps), 5)
        self.assertEqual(sum(one.raw_bytes for one in steps), 5 * size)
        self.assertEqual([one for step in steps for one in step.damaged], [])
        self.session("second").put(0, 4, noise(size))
        everything = sum(one.chunks for one in self.client.list_sessions())
        self.assertEqual(sum(one.checked for one in self.client.verify()), everything)
        session.drop()
        self.assertRaises(larder.UnknownSession, lambda: list(self.client.verify(session)))

    def test_report(self) -> None:
        session = self.session()
        size = session.model.model.components[0].byte_count(8)
        session.put(0, 8, noise(size))
        self.client.set_prefill_rate(session.model, 100)
        session.resume()
        session.get(0)
        report = self.client.report(namespace=self.namespace, declared=session.model)
        (row,) = report.rows
        self.assertEqual((row.namespace, row.model_id, row.stored_tokens), (self.namespace, session.model.id, 8))
        self.assertEqual((row.not_recomputed_tokens, row.prefill_rate, row.rate_origin), (8, 100, "declared"))
        self.assertEqual((row.page_in_raw_bytes, row.prefill_avoided_ms), (size, 80))
        self.assertEqual(session.report().rows[0].restored_tokens, 8)
        self.assertEqual(session.resume(at_most=4).prefill_rate, 100)
        self.client.set_prefill_rate(session.model, 0)
        self.assertEqual(session.resume().prefill_rate, 0)

    def test_the_cap(self) -> None:
        counters = self.client.stat().counters
        cap = self.client.set_cap(counters["cap_bytes"] // 2)
        self.assertEqual(cap.cap_bytes, counters["cap_bytes"] // 2)
        self.assertGreater(cap.disk_bytes, 0)
        self.assertRaises(larder.InvalidArgument, self.client.set_cap, 1)
        self.assertEqual(self.client.set_cap(counters["cap_bytes"]).cap_bytes, counters["cap_bytes"])


class NamespaceTests(DaemonTest):
    """Policies."""

    def test_policy(self) -> None:
        self.assertRaises(larder.UnknownSession, self.client.namespace_policy, self.namespace)
        self.session()
        first = self.client.namespace_policy(self.namespace)
        self.assertEqual(first, larder.Policy("shared", False, 0, 0, 0, 0, "everything"))
        changed = self.client.configure_namespace(self.namespace, sharing="off", salt=bytes(16), ttl_seconds=60)
        self.assertEqual(changed, larder.Policy("off", True, 60, 0, 0, 0, "everything"))
        everything = self.client.configure_namespace(
            self.namespace,
            sharing="shared",
            salt=b"",
            ttl_seconds=0,
            min_bytes=1 << 20,
            max_bytes=1 << 30,
            max_sessions=1,
            admission="secondTouch",
        )
        self.assertEqual(everything, larder.Policy("shared", False, 0, 1 << 20, 1 << 30, 1, "secondTouch"))
        self.assertRaises(larder.Full, self.session, "second")
        (summary,) = [one for one in self.client.list_namespaces() if one.name == self.namespace]
        self.assertEqual((summary.sessions, summary.policy), (1, everything))
        self.assertRaises(larder.InvalidArgument, self.client.configure_namespace, self.namespace, max_bytes=1)
        self.assertRaises(ValueError, self.client.configure_namespace, self.namespace, salt=bytes(33))
        self.assertRaises(ValueError, self.client.configure_namespace, self.namespace, sharing="some")  # type: ignore[arg-type]

    def test_second_touch(self) -> None:
        session = self.session()
        self.client.configure_namespace(self.namespace, admission="secondTouch")
        data = noise(session.model.model.components[0].byte_count(1))
        self.assertRaises(larder.Declined, session.put, 0, 1, data)
        self.assertGreater(session.put(0, 1, data), 0)

    def test_a_salt_hides_keys(self) -> None:
        session = self.session()
        keys = larder.prefix_keys([1], 1)
        session.put(0, 1, noise(session.model.model.components[0].byte_count(1)), prefix_key=keys[0])
        self.assertEqual(self.client.match(self.namespace, session.model, keys), 1)
        self.client.configure_namespace(self.namespace, salt=b"pepper")
        self.assertEqual(self.client.match(self.namespace, session.model, keys), 0)


class HintTests(DaemonTest):
    """What is to come of state."""

    def setUp(self) -> None:
        super().setUp()
        self.line = self.session()
        self.size = self.line.model.model.components[0].byte_count(8)
        for index in range(4):
            self.line.put(8 * index, 8, noise(self.size, index))

    def test_retain(self) -> None:
        result = self.line.retain(40, priority=10)
        self.assertEqual((result.outcome, result.start, result.end, result.seconds), ("accepted", 0, 32, 40))
        self.assertGreater(self.client.stat().counters["retained_bytes"], 0)
        clipped = self.line.retain(10**6, start=8, end=16)
        self.assertEqual((clipped.outcome, clipped.bound, clipped.seconds), ("clipped", "limit", 86_400))
        self.assertEqual(self.line.retain(0).outcome, "accepted")
        self.assertEqual(self.client.stat().counters["retained_bytes"], 0)

    def test_pins_end_with_the_client(self) -> None:
        with self.daemon.connect() as other:
            session = other.open_session(self.namespace, "session", other.declare_model(attention()))
            self.assertEqual(session.pin(600).outcome, "accepted")
            self.assertEqual(self.client.stat().counters["pinned_blobs"], 4)
            self.assertEqual(session.pin(600, end=8).end, 8)
        self.assertEqual(self.line.pin(0).outcome, "accepted")
        while self.client.stat().counters["pinned_blobs"]:
            pass  # The daemon learns of the end of a connection in its own time.

    def test_prefetch_demote_share(self) -> None:
        self.assertIn(self.line.prefetch(16).outcome, ("accepted", "deferred"))
        self.assertEqual(self.line.demote(start=16).outcome, "accepted")
        keys = larder.prefix_keys(range(32), 8)
        self.assertEqual(self.client.match(self.namespace, self.line.model, keys), 0)
        shared = self.line.share(keys[:2], end=16)
        self.assertEqual((shared.outcome, shared.end), ("accepted", 16))
        self.assertEqual(self.client.match(self.namespace, self.line.model, keys), 2)
        more = self.line.share(keys, start=0)
        self.assertIn(more.outcome, ("accepted", "clipped"))
        self.assertEqual(self.client.match(self.namespace, self.line.model, keys), 4)
        self.assertEqual(self.line.share(keys[2:] + keys[:2]).bound, "conflict")

    def test_many_at_once(self) -> None:
        keys = larder.prefix_keys(range(8), 8)
        self.line.share(keys)
        results = self.client.hint(
            [
                larder.Hint.of_tokens("retain", self.line, 0, 8, seconds=5),
                larder.Hint.of_keys("pin", self.namespace, self.line.model, keys, seconds=5),
                larder.Hint.of_tokens("demote", self.line, 8, 8),
            ]
        )
        self.assertEqual([one.outcome for one in results], ["accepted", "accepted", "rejected"])
        self.assertEqual(results[2].bound, "argument")
        self.assertTrue(results[2].reason)
        self.assertEqual(self.client.hint([]), [])
        self.line.drop()
        self.assertEqual(self.line.retain(1).outcome, "missing")
        self.assertRaises(ValueError, self.line.retain, -1)
        self.assertRaises(ValueError, self.line.retain, 1, priority=200)


if __name__ == "__main__":
    unittest.main()
