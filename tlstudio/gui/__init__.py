"""The window. Uses the core only; the engine runs in a process of its own."""
