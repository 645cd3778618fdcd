"""`python -m nir_runtime.console`."""

from nir_runtime.console.main import main

main()
