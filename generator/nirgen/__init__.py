"""Converters between spiking-network frameworks and NIR, generated from declarative mappings.

`nirgen.mapping` reads and checks mappings, `nirgen.emit` writes converters from them, and
`nir_runtime` is what a written converter calls.
"""
