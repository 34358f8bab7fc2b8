"""Recipes: how a surrogate is made from its parent, its maker's data and a seed; one file each.

The four tunings are those of the watermarking and fingerprinting literature (FTLL, FTAL, RTLL, RTAL: fine-tune or
retrain, the last layer or all layers; Adi et al., USENIX Security 2018): "retrain" draws the last layer anew first.
Students learn from their teacher's answers: all of them ("distill"), its labels alone ("extract-hard") or its answers
to inputs that are none of the task ("extract-ood"), the last two after KnockoffNets (Orekondy et al., CVPR 2019).
"""
