"""Question to answer: the index of candidates, feasibility, ranking, frontier, relaxations and explanations. Pure."""
