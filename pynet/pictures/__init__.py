"""Pictures as a network takes them: decoded, the ink found and fitted, the same for training and prediction."""
