// Transformers, VAEs and schedulers live in this room.
