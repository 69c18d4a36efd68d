"""Virtual patients on disk: a case and its header, and the cohort that they make up."""
