"""Training and prediction: generators that yield reports and stop when they are closed."""
