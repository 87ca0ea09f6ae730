"""What leaves the process: a bounded queue with one thread behind it, and the ways to the server."""
