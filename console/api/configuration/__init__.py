"""An organisation's configuration as one file: written out, looked at, and put into the same or another organisation.

Secrets never leave, and people, machines and keys are not made of a file: what is bound to them is set where one of
the same name is there. Nothing is removed by an import.
"""
