"""The demo: seeded history, live traffic of three example services, and a webhook receiver."""
