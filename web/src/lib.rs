//! The pages people see, and the page that carries the discovery meta tags.
