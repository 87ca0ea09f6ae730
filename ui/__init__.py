"""The Streamlit console of Custodes. It reaches the server only through ``custodes_sdk.Client``."""
