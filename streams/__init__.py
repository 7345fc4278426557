"""Where machines meet the world: the log, the stage loop, what runs contracts, and what clients use."""
