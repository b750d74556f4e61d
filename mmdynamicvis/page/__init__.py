"""A local web page for trying models on images and pairs of them. Requires gradio."""
