"""A session as data: events, notes, steps, turns, options, outcomes. Pure: no I/O, nothing above `errors`."""
