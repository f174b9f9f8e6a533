"""The agent of a node: offers the models of this machine to its organisation through one outbound connection.

It knows no Django and nothing of the console but its address and the protocol of `shareai_node.tunnel`.
"""

__version__ = "0.1.0"
