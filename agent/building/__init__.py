"""Makes what the console serves: a wheel, a zipapp, a Debian package. The standard library is all it needs.

The same sources in the same environment give the same bytes: times, owners, modes and order are fixed.
"""
