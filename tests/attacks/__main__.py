"""What becomes of each attack, as a table: `python -m tests.attacks [-v] [part of a name]`."""

from __future__ import annotations

import collections
import sys

from tests.attacks.judging import judged
from tests.attacks.loading import attacks


def main(*arguments: str) -> int:
    """Print the table; the number of attacks that are not as they must be."""
    verbose = "-v" in arguments
    part = next((word for word in arguments if not word.startswith("-")), "")
    counts: collections.Counter[str] = collections.Counter()
    failed = 0
    for name, attack in attacks().items():
        if part not in name:
            continue
        verdict = judged(attack)
        counts[f"{attack.expect} {verdict.outcome}"] += 1
        good = verdict.holds(attack)
        failed += not good
        if verbose or not good:
            message = verdict.message if verbose else " ".join(verdict.message.split())[:150]
            left = f" LEFT {', '.join(verdict.left)}" if verdict.left else ""
            unnamed = verdict.outcome == attack.expect.upper() == "REFUSED" and not good
            named = f" (names {attack.names})" if unnamed else ""
            sign = "ok  " if good else "FAIL"
            sys.stdout.write(
                f"{sign} {name}: expected {attack.expect}, "
                f"{verdict.outcome}{named}{left} {message}\n"
            )
    sys.stdout.write(f"{dict(counts)}, {failed} not as they must be\n")
    return failed


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]) > 0)
