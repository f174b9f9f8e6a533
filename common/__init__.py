"""Ground floor: pure Python that every room may use. Knows no Django and no room above it."""
