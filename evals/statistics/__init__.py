"""How sure a figure is: block bootstrap, Sharpe ratios that know their trials, looks that are paid for."""
