"""What pages share. Beside `app.py` and `pages/`, the only room that knows streamlit."""
