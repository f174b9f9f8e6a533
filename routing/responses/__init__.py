"""OpenAI's Responses API, spoken in front of the chat endpoint: what is asked is asked as a chat, and told back.

Nothing of it is kept: a conversation is what the caller sends. What would need memory here is refused by name.
"""
