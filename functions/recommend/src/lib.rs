//! HTTP reads: /recommend, /similar, /trending, /latest.
