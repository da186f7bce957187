"""The pose of one photo against another, in metres, from their matches and the depth of both."""
