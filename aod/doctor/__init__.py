"""What `aod doctor` finds: whether aod can watch here, why not, and what it would see."""
