"""Object proposals: Selective Search, and the files that hold its boxes."""
