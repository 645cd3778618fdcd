"""`python -m nirgen`."""

import sys

from nirgen.cli import main

sys.exit(main())
