"""`nir-exchange`: the command line for people with models."""
