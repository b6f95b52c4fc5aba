"""Records of runs, the published numbers, and the tables made of both."""
