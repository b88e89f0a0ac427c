"""Tests of the rules themselves, on small made-up workspaces."""
