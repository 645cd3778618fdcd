"""`python -m nirgen.console`."""

from nirgen.console.main import main

main()
