"""What a generated converter calls: tracing, shapes, graphs, files, execution and errors."""
