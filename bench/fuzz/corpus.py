"""The corpora in this repository: a file of text for each target, a line an input, its name and base64.

Names begin with what an input is: `seed-` (seeds.py writes them anew), `found-` (a fuzzer found that it reaches code
that no other does; `run.py --keep-new` writes them), `fixed-` (it once broke something; `run.py --add` writes them).
"""

import base64
import os

HERE = os.path.dirname(os.path.abspath(__file__))
DIRECTORY = os.path.join(HERE, "corpus")
# What the whole of a corpus may have, so that a clone stays small.
CORPUS_BYTES = 128 << 10


def path(target: str) -> str:
    """The file of a target's corpus."""
    return os.path.join(DIRECTORY, f"{target}.txt")


def read(target: str) -> dict[str, bytes]:
    """Its inputs by name."""
    if not os.path.exists(path(target)):
        return {}
    with open(path(target)) as file:
        lines = [line.split(" ") for line in file.read().split("\n") if line and not line.startswith("#")]
    return {name: base64.b64decode(text, validate=True) for name, text in lines}


def write(target: str, inputs: dict[str, bytes]) -> None:
    """Replaces it. What was fixed comes first, then seeds, then what was found."""
    order = ("fixed-", "seed-", "found-")
    names = sorted(inputs, key=lambda name: (next(i for i, kind in enumerate(order) if name.startswith(kind)), name))
    with open(path(target), "w") as file:
        file.write(f"# Inputs of the target {target}: see bench/fuzz/corpus.py.\n")
        for name in names:
            file.write(f"{name} {base64.b64encode(inputs[name]).decode()}\n")


def unpack(target: str, directory: str) -> int:
    """Writes each input to a file of its own, as fuzzers want them. Returns how many there are."""
    os.makedirs(directory, exist_ok=True)
    inputs = read(target)
    for name, content in inputs.items():
        with open(os.path.join(directory, name), "wb") as file:
            file.write(content)
    return len(inputs)
