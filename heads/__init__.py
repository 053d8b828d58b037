"""Stage two: aesthetic heads trained on cached features, compared with their floors."""
