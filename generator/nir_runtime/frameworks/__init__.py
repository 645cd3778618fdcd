"""What single frameworks need besides their mappings."""
