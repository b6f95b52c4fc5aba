"""The report as one HTML page that needs no network.

`content` decides what stands on it, as plain data; `page.html`, `page.css` and `page.js` show it.
"""
