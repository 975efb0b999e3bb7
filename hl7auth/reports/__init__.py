"""What a check found, drawn as text, JSON, JUnit XML and HTML: pure functions from values to text."""
