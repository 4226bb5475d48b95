"""The websocket feed: connections, subscriptions, the liveness of products."""
