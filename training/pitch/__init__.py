"""The pitch of the voice: salience by teachers, and what is read from it."""
