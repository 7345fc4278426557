"""What both parties must compute alike, bit for bit."""
