"""Two networks, run side by side: `verify.verify` is the way in."""
