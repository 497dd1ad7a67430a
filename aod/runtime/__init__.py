"""What any long-running service needs: supervision, queues, systemd, the journal, audit, counts."""
