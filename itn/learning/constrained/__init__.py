"""The constrained objective: go as far as possible, and lose no more than is tolerated.

What is lost, the drop, is the criterion's: how far accuracy falls, or the share of images that are broken.

- *Maximized* is the product of the displacements of all parts, in the mean over k. A product needs no
  weights: a gain counts in proportion to what a part already has, so no part starves another. Where a single
  transformation reaches its bound, the bound and not the classifier limits that part: gains beyond it count
  for little, or they would use up the tolerance.
- *Constrained* is the drop at full strength, and at the worst k that is known: calibration will hold the
  family to both. The target is twice the tolerated odds: few images change
  at the tolerance itself, and directions that spare just those few go less far on others. Calibration shrinks
  the family afterwards.
- *Scale and direction are learned apart*, because displacement and drop grow together along every ray
  of k. The scale follows the target: it grows while the drop is below it. The direction ascends
  displacement minus a multiplier times the drop.
- *The multiplier* says how much displacement a higher drop must bring. At the constrained optimum the
  slope along the scale vanishes (Karush, Kuhn and Tucker), which gives the multiplier at every step. Dual
  ascent would have to search for it, and oscillates because the drop lags behind. Of both conditions the one
  that loses more gets it.
- *How far the scale may grow* is estimated by a Kalman filter. A drop is the difference of two shares that
  may be far larger, so a single batch says little of it, and least where the family is still small.
- *The worst k* of each restart is searched again and again, one k after the other.
- *Both entries of k* shall lead somewhere: a penalty on pushing along the same line, and one where an entry
  by itself has less than 30 % of the displacement of full strength.
- *Importance sampling*: images near the decision boundary teach most. They are drawn more often and weighted
  less, so all means stay unbiased. The drop has no gradient; a sigmoid of the margin stands in for it.
- *Restarts* are learned side by side and pruned; several problems, such as one for each class, share a batch.
"""
