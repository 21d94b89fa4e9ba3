"""What a session is: its files, records, identifiers and names. Pure: no network, no processes, no waiting."""
