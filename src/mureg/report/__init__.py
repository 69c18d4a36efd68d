"""Pictures and pages of one study."""
