"""What the studio does with a network: weights, training, evaluation, export. Free of Qt."""
