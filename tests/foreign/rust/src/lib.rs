//! Programs and servers that know nothing of Saggar; each is an example, since examples become components.
