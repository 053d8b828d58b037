"""Stage one: photographs through a frozen backbone, once, into the feature cache."""
