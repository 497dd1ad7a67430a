"""Children: started, bounded, ended for certain or left behind; nothing here knows of actions."""
