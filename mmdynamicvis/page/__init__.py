"""A local web page for trying models on single images. Requires gradio."""
