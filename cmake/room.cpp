// Every room has at least this source, so that its target exists from the start.
