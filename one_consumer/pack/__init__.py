"""The policy pack: one queue, one consumer, judged from outside over any stack. It imports no other folder."""
