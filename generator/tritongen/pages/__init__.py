"""Pages of HTML: drawings, and the frame around them."""
