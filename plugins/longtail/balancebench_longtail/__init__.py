"""Losses, schedules, samplers, heads and mixing for long-tailed recognition, as balancebench balancers."""
