"""The subcommands of `nir-exchange`, a module each; a module is loaded when its command is run."""
