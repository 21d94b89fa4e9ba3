"""What runs on an instance: it boots, provides releases, runs jobs, reports, saves, and goes away."""
