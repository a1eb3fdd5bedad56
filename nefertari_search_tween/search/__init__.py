"""Reading: request -> decision -> query -> backend -> documents."""
