"""A local web page that shows what models make of an image. Needs gradio."""
