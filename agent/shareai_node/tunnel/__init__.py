"""The tunnel between a node and its console, sans I/O: bytes in, events out. Both ends import it from here."""
