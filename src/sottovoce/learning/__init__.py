"""What is learned from many voices, and how well it is known: pure functions of numbers, the speaker as the unit.

Read `units` and `intervals` first (what an estimate is), then `fitting` and `selection` (how a model is made),
`conformal` (sets that say "not determined") and `evaluation` (what is measured of a model).
"""
