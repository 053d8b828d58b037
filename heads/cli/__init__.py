"""The `heads` command, one file a subcommand."""
