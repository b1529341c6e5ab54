"""What the harness finds: a promise that was not kept."""


class Finding(Exception):
    """A promise of the daemon that was broken. `kind` is counted in the results' table, `what` is for people."""

    def __init__(self, kind: str, what: str):
        super().__init__(f"{kind}: {what}")
        self.kind = kind
        self.what = what
