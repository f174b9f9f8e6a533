"""A double of Stripe: a real HTTP server with a memory, for the demo and for tests. No money moves.

state       customers, checkout sessions, payments, refunds, disputes, events: what each call changes
cards       cards that are saved, and charged when nobody is there
connect     accounts of those who are paid, and transfers to them
server      Stripe's API over it
pages       the hosted pages
deliveries  webhooks that are signed, repeated and out of order
"""
