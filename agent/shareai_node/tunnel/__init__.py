"""The tunnel between a node and its console, sans I/O: bytes in, events out. Both ends import it from here.

    frames   one message of the WebSocket is one frame: encoding and strict decoding
    window   credit: how many bytes may be sent, how many may come
    stream   one request and its answer, as one end sees them
    session  the state of a whole connection: `receive` a message, `take` the messages to send

It opens no socket, starts no timer and reads no clock; whoever carries the bytes does that.
"""
