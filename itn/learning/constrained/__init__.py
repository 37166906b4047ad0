"""The constrained objective: go as far as possible, and lose no more than is tolerated.

What is lost, the drop, is the criterion's: how far accuracy falls, or the share of images that are broken.

- *Maximized* is the product of the displacements of all parts, in the mean over k. A product needs no
  weights: a gain counts in proportion to what a part already has, so no part starves another. Where a single
  transformation reaches its bound, the bound and not the classifier limits that part: gains beyond it count
  for little, or they would use up the tolerance.
- *Constrained* is the drop at full strength. The target is twice the tolerated odds: few images change
  at the tolerance itself, and directions that spare just those few go less far on others. Calibration shrinks
  the family afterwards.
- *Scale and direction are learned apart*, because displacement and drop grow together along every ray
  of k. The scale follows the target: it grows while the drop is below it. The direction ascends
  displacement minus a multiplier times the drop.
- *The multiplier* says how much displacement a higher drop must bring. At the constrained optimum the
  slope along the scale vanishes (Karush, Kuhn and Tucker), which gives the multiplier at every step. Dual
  ascent would have to search for it, and oscillates because the drop lags behind. The multiplier is
  raised at vertices of k where too much is lost, and lowered at those where little is.
- *Importance sampling*: images near the decision boundary teach most. They are drawn more often and weighted
  less, so all means stay unbiased. The drop has no gradient; a sigmoid of the margin stands in for it.
- *Restarts* are learned side by side and pruned; several problems, such as one for each class, share a batch.
"""
