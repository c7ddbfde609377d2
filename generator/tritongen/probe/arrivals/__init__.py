"""When requests are sent: closed and open loops, schedules, due times."""
