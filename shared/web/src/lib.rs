//! What HTTP functions share: parsing, problems, cache headers, cursors, tokens, OpenAPI.
