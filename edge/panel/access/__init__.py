"""Who may use the panel: accounts, their roles, sessions, and the pace of logins."""
