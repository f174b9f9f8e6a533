"""What people type, checked for shape only; whether it is allowed is decided in the rooms below."""
