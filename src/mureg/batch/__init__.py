"""Many studies in one go: what is done, what failed, and one page that shows the worst first."""
