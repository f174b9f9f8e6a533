"""What money buys and earns: Stripe, settlement, rewards, payouts. Writes entitlements."""
