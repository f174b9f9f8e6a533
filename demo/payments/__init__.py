"""A double of Stripe: a real HTTP server with a memory, for the demo and for tests. No money moves.

state   customers, checkout sessions, payments, refunds, disputes, events: what each call changes
server  Stripe's API over it, the hosted pages, webhooks that are signed, repeated and out of order
"""
