"""What one does with a NIR graph besides converting it; torch and frameworks are not needed."""
