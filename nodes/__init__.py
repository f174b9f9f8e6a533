"""Own machines: enrolment, presence and the server end of the tunnel."""
