"""Anthropic's Messages API, spoken in front of the chat endpoint: what is asked is asked as a chat, and told back.

Any target that serves chats answers, and any target that serves Anthropic's models by OpenAI's dialect does too.
"""
