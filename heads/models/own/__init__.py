"""Heads of one's own: estimators of scikit-learn, classes with the protocol `Head`, networks."""
