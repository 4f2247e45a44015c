"""The annette command: one thin file a command."""
