// The trainer of the bundled model lives in this room.
