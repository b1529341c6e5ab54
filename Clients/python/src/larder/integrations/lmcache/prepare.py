"""Seeing to it, before the first chunk, that the daemon and the namespace are fit for use."""

from __future__ import annotations

from .layout import OPAQUE
from .link import Connection, Link
from .objects import Objects


def prepare(link: Link) -> None:
    """Connects; makes the namespace where it is new; sets its time to live if that is an option; and says so if nothing
    can be found in it. Never raises."""

    def see(connection: Connection) -> None:
        client, settings = connection.client, connection.settings
        # A namespace comes to be with its first session.
        model = connection.declared(Objects(link, "lmcache").model(OPAQUE))
        client.open_session(settings.namespace, "about: chunks of LMCache", model)
        policy = client.namespace_policy(settings.namespace)
        if 0 <= settings.ttl_seconds != policy.ttl_seconds:
            policy = client.configure_namespace(settings.namespace, ttl_seconds=settings.ttl_seconds)
        if policy.sharing != "shared":
            link.complaints.say(
                "sharing",
                f"namespace {settings.namespace!r} does not share state by key, so that NOTHING WILL BE FOUND in it. "
                f"Use another, or set its sharing to 'shared'",
            )

    link.run(see, None)
