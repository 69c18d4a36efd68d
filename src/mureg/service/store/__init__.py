"""The store of a service: its folders and its queue, which the service alone writes."""
