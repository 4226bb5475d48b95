"""What can be said to a server about a table: definitions, changes of rows, statements; and how often each is drawn."""
