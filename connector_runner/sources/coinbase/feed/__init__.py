"""The websocket feed: connections, subscriptions, whether products are alive."""
