"""How much a request may ask for, and how much all of them together."""

from dataclasses import dataclass

MOST_OUTPUTS = 20
"""Widest beam and longest n-best list of a request."""
BATCH_TEXTS = 64
"""Texts that are answered together, at most: larger batches gain little, and others wait for them."""
BATCH_PREFIXES = 320
"""Texts of a batch times the width of their beam, at most."""
ATTENTIONS = 8
"""Texts of a request whose attention may be asked for: each is searched for once more, by itself."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """What the server refuses beyond; each refusal names its limit.

    window (seconds) is how long a text waits for others to be answered with; seconds is how long a request may take,
    from its first byte; waiting counts texts of all requests, requests and connections those that are open.
    """

    texts: int = 64
    characters: int = 5000
    waiting: int = 1000
    seconds: float = 30.0
    window: float = 0.005
    requests: int = 256
    connections: int = 800

    @property
    def body(self) -> int:
        """The bytes of the largest body: of each character, six where it is written as an escape."""
        return 6 * self.texts * self.characters + 65536
