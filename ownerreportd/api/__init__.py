"""HTTP on the Unix socket, for the daemon that `daemon.Daemon` describes."""
