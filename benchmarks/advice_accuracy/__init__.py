"""How good the advice is: estimated against true ceilings, predicted against trained networks."""
