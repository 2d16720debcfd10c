"""The parts of a shadow evaluation: who the incumbent is, two runs beside each other, what tells them apart."""
